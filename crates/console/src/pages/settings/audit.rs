//! `/settings/audit`: what was done, by whom and from where, newest first.

use axum::response::{IntoResponse as _, Response};
use insight::ChangeSearch;
use maud::{Markup, html};
use protocol::text::clean;
use trace::Change;

use super::{Fault, ROWS_MAX, Tab, asked::link, page};
use crate::{
    api::AuditSearch,
    pages::{
        Refusal,
        asked::Asked,
        shell::Visit,
        words::{change_text, foreign, time},
    },
};

/// The conditions as a person has given them. Empty fields are none.
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    pub(super) fn new(asked: &Asked) -> Self {
        let given = asked.iter().filter(|(_, value)| !value.trim().is_empty());
        Self(given.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// All but the place of the page.
    fn conditions(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| *name != "after")
    }

    /// With the parameters of the API; an error names the one that is wrong.
    pub(super) fn search(&self) -> Result<AuditSearch, String> {
        let query = link("", self.0.iter().map(|(name, value)| (name, value)));
        AuditSearch::read(query.trim_start_matches('?')).map_err(|problem| problem.detail().to_owned())
    }
}

pub(in crate::pages) async fn show(visit: Visit, asked: Asked) -> Result<Response, Refusal> {
    let given = Given::new(&asked);
    let search = match given.search() {
        Ok(search) => search.at_most(ROWS_MAX as u32),
        Err(detail) => {
            let fault = html! { p.fault role="alert" { (foreign(&insight::sentence(&detail))) } };
            let Fault(status, _) = Fault::bad("");
            let content = html! { (filter(&given)) (fault) };
            return Ok((status, page(&visit, Tab::Audit, "Audit", None, &content)).into_response());
        }
    };
    let (changes, next) = search.page(&visit.node.store).await?;
    let next = next.map(|next| link("/settings/audit", given.conditions().chain([("after", next.as_str())])));
    let content = html! {
        (filter(&given))
        @if changes.is_empty() { p { "No entries match." } } @else { (table(&changes)) }
        @if next.is_some() || !given.text("after").is_empty() {
            p.pages {
                @if !given.text("after").is_empty() { a href=(link("/settings/audit", given.conditions())) { "First page" } }
                @if let Some(next) = next { a rel="next" href=(next) { "Next page" } }
            }
        }
        @if !changes.is_empty() {
            p { a href=(link("/settings/audit.csv", given.conditions())) download { "Download all matching entries as CSV" } }
        }
    };
    Ok(page(&visit, Tab::Audit, "Audit", None, &content))
}

fn filter(given: &Given) -> Markup {
    let text = |name: &'static str, label: &str, hint: &str| {
        html! {
            p {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(clean(given.text(name))) placeholder=(hint) autocomplete="off" spellcheck="false";
            }
        }
    };
    let kinds = [&ChangeSearch::KINDS[..], &ChangeSearch::AUDIT_KINDS].concat();
    html! {
        form.fields method="get" action="/settings/audit" role="search" aria-label="Filter the audit" {
            (text("who", "Who", "user, token or node"))
            p {
                label for="kind" { "Kind" }
                select #kind name="kind" {
                    option value="" { "all" }
                    @for kind in kinds { option value=(kind) selected[given.text("kind") == kind] { (kind) } }
                }
            }
            (text("since", "Since", "2h, 3d or a time"))
            (text("until", "Until", "2026-07-30T12:00:00Z"))
            p { button.primary { "Filter" } }
        }
    }
}

fn table(changes: &[Change]) -> Markup {
    html! {
        table.stack {
            thead { tr { @for name in ["Time", "Who", "From", "Node", "What"] { th scope="col" { (name) } } } }
            tbody {
                @for change in changes {
                    tr data-row=(change.id) {
                        td data-label="Time" { (time(change.at)) }
                        td data-label="Who" { (foreign(&change.who)) }
                        td data-label="From" { @if let Some(from) = change.from { (from) } @else { span.quiet { "–" } } }
                        td data-label="Node" { @match &change.node { Some(node) => (foreign(node)), None => span.quiet { "fleet" } } }
                        td data-label="What" { (change_text(&change.kind, store::Right::Administrator)) }
                    }
                }
            }
        }
    }
}
