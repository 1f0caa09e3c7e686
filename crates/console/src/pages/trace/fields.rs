//! The form of a search: one field for each parameter of the API, which are those of `gatepost trace`.

use insight::Status;
use maud::{Markup, html};
use protocol::text::clean;

use super::Given;
use crate::{api::SEARCH, pages::shell::Visit};

/// Each parameter with the name of its field, in the order of the form. The first ones are always shown.
const TITLES: [(&str, &str); 20] = [
    ("recipient", "Recipient"),
    ("sender", "Sender"),
    ("subject", "Subject contains"),
    ("since", "Since"),
    ("until", "Until"),
    ("status", "Status"),
    ("message_id", "Message-ID"),
    ("message", "Network message id"),
    ("subject_starts_with", "Subject starts with"),
    ("subject_ends_with", "Subject ends with"),
    ("connector", "Connector"),
    ("from_ip", "Client address"),
    ("to_ip", "Destination address"),
    ("node", "Node"),
    ("policy", "TLS policy"),
    ("tls_version", "TLS version"),
    ("cipher", "Cipher suite"),
    ("code", "Reply code"),
    ("size_min", "Minimum size"),
    ("size_max", "Maximum size"),
];
const SHOWN: usize = 6;

/// The status of messages of this gateway; others are in files of other systems only.
const STATUSES: [Status; 4] = [Status::Pending, Status::Delivered, Status::Failed, Status::Removed];

pub(super) fn form(visit: &Visit, given: &Given) -> Markup {
    let (shown, more) = TITLES.split_at(SHOWN);
    let is_more = more.iter().any(|(name, _)| given.text(name).is_some());
    html! {
        form.fields method="get" action="/trace" role="search" aria-label="Trace messages" {
            @for (name, title) in shown { (field(given, name, title)) }
            details open[is_more] {
                summary { "More conditions" }
                div.fields { @for (name, title) in more { (field(given, name, title)) } }
            }
            p { button.primary { "Search" } }
        }
        datalist #connectors {
            @for connector in visit.node.config.load().connectors.iter().take(50) { option value=(connector.name); }
        }
    }
}

fn field(given: &Given, name: &str, title: &str) -> Markup {
    let parameter = SEARCH.iter().find(|parameter| parameter.name == name);
    let about = parameter.map(|parameter| parameter.about).unwrap_or_default();
    if name == "status" {
        return statuses(given, name, title);
    }
    html! {
        p {
            label for=(name) { (title) }
            input id=(name) name=(name) value=(clean(given.text(name).unwrap_or_default())) title=(about) autocomplete="off" spellcheck="false"
                list=[(name == "connector").then_some("connectors")];
        }
    }
}

fn statuses(given: &Given, name: &str, title: &str) -> Markup {
    let chosen: Vec<&str> = given.text(name).unwrap_or_default().split(',').collect();
    html! {
        fieldset {
            legend { (title) }
            @for status in STATUSES {
                label {
                    input type="checkbox" name=(name) value=(status.lower_case_name()) checked[chosen.contains(&status.lower_case_name())];
                    " " (status.name())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All filters of the command are in the form, except those of pages.
    #[test]
    fn each_parameter_has_a_field() {
        let mut titles: Vec<&str> = TITLES.iter().map(|(name, _)| *name).chain(["limit", "after"]).collect();
        let mut parameters: Vec<&str> = SEARCH.iter().map(|parameter| parameter.name).collect();
        titles.sort_unstable();
        parameters.sort_unstable();
        assert_eq!(titles, parameters);
    }
}
