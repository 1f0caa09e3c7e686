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
use protocol::text::clean;
use store::StoreError;

use super::{Refusal, asked::link, words::number};
use crate::choice::fields;

/// `1 delivery`, `61 deliveries`
fn deliveries(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "delivery" } else { "deliveries" })
}

/// Why a part of the queue cannot be shown.
enum NotRead {
    Asked(Refusal),
    Store(StoreError),
}

impl From<Refusal> for NotRead {
    fn from(refusal: Refusal) -> Self {
        Self::Asked(refusal)
    }
}

impl From<StoreError> for NotRead {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotRead> for Refusal {
    fn from(not_read: NotRead) -> Self {
        match not_read {
            NotRead::Asked(refusal) => refusal,
            NotRead::Store(error) => error.into(),
        }
    }
}

/// Nothing for a question that no page asks.
fn shown(read: Result<Markup, NotRead>) -> store::Result<Markup> {
    match read {
        Ok(markup) => Ok(markup),
        Err(NotRead::Asked(_)) => Ok(html! {}),
        Err(NotRead::Store(error)) => Err(error),
    }
}

/// A choice as fields of a form that nobody sees.
fn hidden(choice: &Choice) -> Markup {
    html! { @for (name, value) in fields(choice) { input type="hidden" name=(name) value=(clean(&value)); } }
}

fn rows_link(choice: &Choice) -> String {
    link("/queue/list", fields(choice))
}
