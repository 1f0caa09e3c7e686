//! Which destinations would break, shown before the button that moves nodes.

use insight::{Effect, Impact};
use jiff::Timestamp;
use maud::{Markup, html};
use node::{
    FORECAST_DAYS, Forecast,
    fleet::{Change, Share, Status, members, plan},
};
use protocol::host_port;
use store::Right;

use super::{
    super::{
        form::form,
        paths::segment,
        shell::Visit,
        words::{ago, foreign, number, time},
    },
    act::{Wanted, version},
    percent,
};

/// Destinations of one kind that a page shows.
const SHOWN_MAX: usize = 100;

/// The change that the operator has chosen, what it would break, and the button that does it.
pub(super) fn panel(visit: &Visit, status: &Status, wanted: &Wanted, forecast: Option<&Forecast>) -> Markup {
    let raises = wanted.change.raises(status.rollout());
    // The second press comes after the forecast.
    let is_ready = !raises || !matches!(forecast, Some(Forecast::Reading { .. }));
    let button = html! {
        (version(status))
        (wanted.fields())
        input type="hidden" name="confirmed" value="yes";
        button.primary { (title(&wanted.change)) }
    };
    html! {
        section.notice #rollout-forecast {
            h2 { (title(&wanted.change)) "?" }
            (next_nodes(visit, status, &wanted.change))
            @if let Some(forecast) = forecast.filter(|_| raises) { (facts(forecast)) }
            div.buttons {
                @if is_ready && visit.person.may(Right::Operator) { (form(&visit.person, "/rollout", &button)) }
                a.button href="/rollout" { "Cancel" }
            }
        }
    }
}

/// The same beside the buttons, for the next step.
pub(super) fn beside(policy: &str, forecast: &Forecast) -> Markup {
    html! {
        section #rollout-forecast {
            h2 { "Which destinations would break under " (foreign(policy)) }
            (facts(forecast))
        }
    }
}

fn title(change: &Change) -> String {
    match (change, percent(change)) {
        (Change::Set { to, .. }, Some(percent)) => format!("Move {percent}% of the nodes to {to}"),
        (Change::Resume, _) => "Resume the rollout".to_owned(),
        _ => "Change the rollout".to_owned(),
    }
}

/// The nodes that would move, as the plan would name them.
fn next_nodes(visit: &Visit, status: &Status, change: &Change) -> Markup {
    let config = visit.node.config.load();
    let nodes = members(&status.nodes, Timestamp::now());
    let in_use: Vec<String> = config.connectors.iter().map(|connector| connector.tls_policy.clone()).collect();
    let planned = match plan(status.rollout(), change.clone(), &nodes, &in_use) {
        Ok(planned) => planned,
        Err(refused) => {
            let text = insight::sentence(&insight::capitalised(&refused.to_string()));
            return html! { p.trouble { (foreign(&text)) } };
        }
    };
    let more: Vec<&str> =
        nodes.iter().filter(|node| planned.moves(node) && !status.moves(node)).map(String::as_str).collect();
    let back: Vec<&str> =
        nodes.iter().filter(|node| !planned.moves(node) && status.moves(node)).map(String::as_str).collect();
    html! {
        @if let Change::Set { from, to, share: Share::Percent(_) } = change {
            @if !more.is_empty() { p { "From " strong { (foreign(from)) } " to " strong { (foreign(to)) } ": " (foreign(&more.join(", "))) "." } }
        } @else if !more.is_empty() { p { "Nodes that would move: " (foreign(&more.join(", "))) "." } }
        @if !back.is_empty() { p { "Nodes that would return to the old policy: " (foreign(&back.join(", "))) "." } }
        @if more.is_empty() && back.is_empty() { p { "No node would move now." } }
    }
}

fn facts(forecast: &Forecast) -> Markup {
    let now = Timestamp::now();
    match forecast {
        Forecast::Reading { back_to } => html! {
            p role="status" {
                "Gatepost is reading the handshakes of the last " (FORECAST_DAYS) " days"
                @if let Some(at) = back_to { "; it has come to " (time(*at)) }
                ". "
                a href="" { "Look again" }
            }
        },
        Forecast::Failed(why) => html! {
            p.trouble { "There is no forecast: " (foreign(&insight::sentence(why))) }
        },
        Forecast::Known { at, effect } => html! {
            (impacts(effect))
            @let works = effect.working().count() as u64;
            @if works > 0 { p { (insight::counted(works, "destination")) " would work." } }
            p.quiet {
                "From the handshakes of the last " (FORECAST_DAYS) " days, as in "
                a href=(format!("/policies/{}/impact", segment(&effect.policy))) { "the whole forecast" }
                ", read " (ago(*at, now)) " ago."
            }
        },
    }
}

/// What breaks, then what is not decided.
pub(in super::super) fn impacts(effect: &Effect) -> Markup {
    if effect.impacts.is_empty() {
        return html! { p { "There are no delivery attempts in that time, so nothing can be foreseen." } };
    }
    html! {
        p { (foreign(&effect.summary())) }
        (kind("Would break: mail would wait", "fails", effect, effect.breaking(false)))
        (kind("Would lose encryption: mail would go in plaintext", "fails", effect, effect.breaking(true)))
        (kind("Not decided: a probe shows it", "waits", effect, effect.undecided()))
    }
}

/// What works, one by one.
pub(in super::super) fn working(effect: &Effect) -> Markup {
    kind("Would work", "works", effect, effect.working())
}

fn kind<'a>(title: &str, class: &str, effect: &Effect, impacts: impl Iterator<Item = &'a Impact>) -> Markup {
    let impacts: Vec<&Impact> = impacts.collect();
    if impacts.is_empty() {
        return html! {};
    }
    html! {
        h3 { span class=(format!("key {class}")) {} (title) }
        table.stack {
            thead { tr { th scope="col" { "Destination" } th scope="col" { "Connector" } th.number scope="col" { "Messages" } th.number scope="col" { "A day" } th scope="col" { "The server" } } }
            tbody {
                @for impact in impacts.iter().take(SHOWN_MAX) {
                    @let host = host_port::join(&impact.host, Some(impact.port));
                    tr {
                        th scope="row" { a href=(format!("/destinations/{}", segment(&host))) { (foreign(&host)) } }
                        td data-label="Connector" { (foreign(&impact.connector)) }
                        td.number data-label="Messages" { (number(impact.messages)) }
                        td.number data-label="A day" { (format!("{:.1}", effect.a_day(impact))) }
                        td data-label="The server" { (foreign(&impact.foresight.because)) }
                    }
                }
            }
        }
        @if impacts.len() > SHOWN_MAX { p.quiet { (impacts.len() - SHOWN_MAX) " more are not shown." } }
    }
}
