//! The conditions of a queue page: as a form, and as what is set now with a link that leaves each one out.

use insight::{Choice, state_name};
use maud::{Markup, html};
use protocol::text::clean;
use store::Right;

use crate::{
    choice::{self, STATES, fields},
    pages::{Refusal, asked::Asked, asked::link, shell::Visit, words::foreign},
};

/// Names that a field suggests.
const SUGGESTED_MAX: usize = 50;

/// What is left of a question after a page has taken its own fields. Addresses and single messages need the right of a tracer.
pub(super) fn read(right: Right, asked: &Asked) -> Result<Choice, Refusal> {
    let choice = choice::read(asked.iter()).map_err(Refusal::bad_request)?;
    let names_people = choice.selection.recipient.is_some() || choice.selection.sender.is_some();
    if (names_people || !choice.messages.is_empty() || !choice.deliveries.is_empty()) && right < Right::Tracer {
        return Err(Refusal::forbidden(Right::Tracer));
    }
    Ok(choice)
}

/// The conditions that are set. `own`: the fields of the page itself.
pub(super) fn conditions(path: &str, own: &[(&'static str, String)], choice: &Choice) -> Markup {
    let all = fields(choice);
    let without = |left_out: usize| {
        let others = all.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, field)| field);
        link(path, own.iter().chain(others).map(|(name, value)| (*name, value.as_str())))
    };
    html! {
        @if !all.is_empty() {
            ul.conditions aria-label="Conditions" {
                @for (at, (name, value)) in all.iter().enumerate() {
                    li {
                        span.quiet { (name.replace('_', " ")) } " " (foreign(value)) " "
                        a href=(without(at)) { "remove" span.hidden { " the condition " (name.replace('_', " ")) } }
                    }
                }
            }
        }
    }
}

/// A form that leads to the same page with other conditions.
pub(super) fn form(visit: &Visit, path: &str, own: &[(&'static str, String)], choice: &Choice) -> Markup {
    let config = visit.node.config.load();
    let connectors = config.connectors.iter().map(|connector| connector.name.as_str()).take(SUGGESTED_MAX);
    let value = |name: &str| fields(choice).into_iter().find(|(other, _)| *other == name).map(|(_, value)| value);
    let text = |name: &'static str, label: &str, list: Option<&str>| {
        html! {
            p {
                label for=(format!("filter-{name}")) { (label) }
                input id=(format!("filter-{name}")) name=(name) value=(clean(&value(name).unwrap_or_default())) list=[list] autocomplete="off";
            }
        }
    };
    let kept = ["cause", "destination", "older_than", "younger_than"];
    html! {
        details.filter open[*choice != Choice::default()] {
            summary { "Filter" }
            form.fields method="get" action=(path) role="search" aria-label="Filter the queue" {
                @for (name, value) in own { input type="hidden" name=(name) value=(clean(value)); }
                @for name in kept {
                    @if let Some(value) = value(name) { input type="hidden" name=(name) value=(clean(&value)); }
                }
                (text("connector", "Connector", Some("connectors")))
                datalist #connectors { @for name in connectors { option value=(name); } }
                @if visit.person.may(Right::Tracer) {
                    (text("recipient", "Recipient, or @domain", None))
                    (text("sender", "Sender, or @domain", None))
                }
                p {
                    label for="filter-state" { "State" }
                    select #filter-state name="state" {
                        option value="" { "any" }
                        @for state in STATES {
                            option value=(state_name(state)) selected[choice.selection.state == Some(state)] { (in_words(state)) }
                        }
                    }
                }
                p { button { "Show" } }
            }
        }
    }
}

fn in_words(state: store::State) -> &'static str {
    match state {
        store::State::Leased => "being sent",
        store::State::Suspended => "suspended",
        _ => "waiting",
    }
}
