//! `/queue`: what waits, in groups and in rows, and what can be done about it.

mod act;
mod filter;
mod groups;
mod notice;
mod rows;

pub(super) use act::{buttons, form_of_buttons, remove, resume, retry, suspend};
pub(super) use groups::{GROUPS, show as groups};
pub(super) use notice::{DONE, notice};
pub(super) use rows::{ROWS, show as rows};

use insight::Choice;
use maud::{Markup, html};

use super::{asked::link, fragment::Fragment, shell::Visit, words::number};
use crate::choice::fields;

/// `1 delivery`, `61 deliveries`
fn deliveries(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "delivery" } else { "deliveries" })
}

/// A choice as fields of a form that nobody sees.
fn hidden(choice: &Choice) -> Markup {
    html! { @for (name, value) in fields(choice) { input type="hidden" name=(name) value=(protocol::text::clean(&value)); } }
}

/// A part of a page that changes, of the question in its address.
async fn live(visit: &Visit, fragment: &Fragment, address: &str) -> store::Result<Markup> {
    let (_, of) = address.split_once('?').unwrap_or_default();
    visit.fragment(fragment, of).await
}

fn rows_link(choice: &Choice) -> String {
    link("/queue/list", fields(choice))
}
