//! `POST /queue/retry|suspend|resume|remove`: a command on the deliveries that a form means, with the number that the page showed.
//! More than that is not changed without asking again, and nothing is removed before the person has typed the number.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use insight::{Acted, Choice, WaitReasons, capitalised};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{Command, DeliveryRecord, Right, State};

use super::{
    DONE, deliveries, hidden,
    notice::{Done, name},
    rows_link,
};
use crate::{
    access::Person,
    choice::{self, fields},
    pages::{
        Refusal,
        asked::link,
        form::{Form, form, form_with_id},
        shell::{Section, Visit},
        words::{foreign, number},
    },
};

/// Fields of a form that are not about which deliveries are meant.
const EXPECT: &str = "expect";
const CONFIRM: &str = "confirm";
/// The page of the console that the person comes back to.
const BACK: &str = "back";
/// The form of ticked rows.
pub(super) const TICKED: &str = "ticked";
/// The form of the other buttons, and what a button means: the fields of a choice and the number that was shown, as in a URL.
const ACT: &str = "act";
const CHOICE: &str = "choice";

pub(in crate::pages) async fn retry(visit: Visit, form: Form) -> Result<Response, Refusal> {
    act(Command::Retry, &visit, &form).await
}

pub(in crate::pages) async fn suspend(visit: Visit, form: Form) -> Result<Response, Refusal> {
    act(Command::Suspend, &visit, &form).await
}

pub(in crate::pages) async fn resume(visit: Visit, form: Form) -> Result<Response, Refusal> {
    act(Command::Resume, &visit, &form).await
}

pub(in crate::pages) async fn remove(visit: Visit, form: Form) -> Result<Response, Refusal> {
    act(Command::Remove, &visit, &form).await
}

/// A request for a command.
struct Wish {
    command: Command,
    choice: Choice,
    back: String,
}

async fn act(command: Command, visit: &Visit, form: &Form) -> Result<Response, Refusal> {
    let (wish, shown) = Wish::read(command, form)?;
    if command == Command::Remove && form.text(CONFIRM).is_none_or(|typed| typed.trim().parse() != Ok(shown)) {
        return Ok(wish.confirm(visit, shown, form.text(CONFIRM)));
    }
    let (now, config) = (Timestamp::now(), visit.node.config.load_full());
    let reasons = WaitReasons::read(&visit.node.store, &*config, now).await?;
    let by = visit.person.actor();
    match wish.choice.act(&visit.node.store, &reasons, command, Some(shown), by, now).await? {
        Acted::Done(done) => {
            let done = Done::new(command, done).to_string();
            let mark = if wish.back.contains('?') { '&' } else { '?' };
            Ok(Redirect::to(&format!("{}{mark}{DONE}={done}", wish.back)).into_response())
        }
        Acted::MoreThanShown(found) => Ok(wish.ask_again(visit, shown, found)),
    }
}

impl Wish {
    /// With the number of deliveries that the page showed; of ticked rows, how many there are.
    fn read(command: Command, form: &Form) -> Result<(Self, u64), Refusal> {
        let of_button = form.text(CHOICE).unwrap_or_default();
        let of_button: Vec<(String, String)> = form_urlencoded::parse(of_button.as_bytes()).into_owned().collect();
        let of_button = of_button.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = form.others(&[CONFIRM, BACK, TICKED, CHOICE]).chain(of_button).collect();
        let choice =
            choice::read(all.iter().copied().filter(|(name, _)| *name != EXPECT)).map_err(Refusal::bad_request)?;
        let shown = match all.iter().find(|(name, _)| *name == EXPECT).map(|(_, shown)| shown.parse()) {
            Some(Ok(shown)) => shown,
            Some(Err(_)) => return Err(Refusal::bad_request("expect: must be the number that the page showed")),
            None if !choice.deliveries.is_empty() => choice.deliveries.len() as u64,
            None if form.text(TICKED).is_some() => {
                return Err(Refusal::bad_request("No row is ticked. Go back, and tick the rows that you mean."));
            }
            None => return Err(Refusal::bad_request("expect: the number that the page showed is missing")),
        };
        let back = form.text(BACK).filter(|path| is_here(path)).map(str::to_owned);
        let back = back.unwrap_or_else(|| {
            // What was ticked may be gone after the command, and its keys make a long address.
            if choice.deliveries.is_empty() { rows_link(&choice) } else { "/queue/list".to_owned() }
        });
        Ok((Self { command, choice, back }, shown))
    }

    fn path(&self) -> String {
        format!("/queue/{}", name(self.command))
    }

    /// The form once more, with another number.
    fn form(&self, visit: &Visit, expect: u64, content: &Markup) -> Markup {
        let fields = html! {
            (hidden(&self.choice))
            input type="hidden" name=(EXPECT) value=(expect);
            input type="hidden" name=(BACK) value=(self.back);
            (content)
        };
        form(&visit.person, &self.path(), &fields)
    }

    /// Nothing was changed yet: the person must type the number.
    fn confirm(&self, visit: &Visit, shown: u64, typed: Option<&str>) -> Response {
        let is_wrong = typed.is_some_and(|typed| !typed.trim().is_empty());
        let content = html! {
            p.fields {
                label for="confirm" { "Type " b { (shown) } " to confirm" }
                input #confirm name=(CONFIRM) inputmode="numeric" autocomplete="off" required
                    aria-describedby=[is_wrong.then_some("wrong")] aria-invalid=[is_wrong.then_some("true")];
            }
            p { button.danger { "Remove " (deliveries(shown)) } }
        };
        let body = html! {
            h1 { "Remove " (deliveries(shown)) "?" }
            (self.meant())
            p { "Removed mail is not delivered, and its senders get no notice. You cannot undo this." }
            @if is_wrong { p #wrong .fault role="alert" { "Nothing was removed: what you typed is not " (shown) "." } }
            (self.form(visit, shown, &content))
            p { a href=(self.back) { "Cancel" } }
        };
        visit.page(Section::Queue, "Remove", &body)
    }

    /// Nothing was changed, because more deliveries match than the page showed.
    fn ask_again(&self, visit: &Visit, shown: u64, found: u64) -> Response {
        let verb = capitalised(name(self.command));
        let body = html! {
            h1 { "More deliveries match now" }
            p.lead {
                "The page showed " b { (number(shown)) } ". Now " b { (number(found)) } " match. Nothing was changed."
            }
            (self.meant())
            (self.form(visit, found, &html! { p { button.primary { (verb) " " (deliveries(found)) } } }))
            p { a href=(rows_link(&self.choice)) { "Show them first" } }
        };
        let mut response = visit.page(Section::Queue, "More deliveries match now", &body);
        *response.status_mut() = StatusCode::PRECONDITION_FAILED;
        response
    }

    fn meant(&self) -> Markup {
        let all = fields(&self.choice);
        let conditions = all.iter().filter(|(name, _)| *name != "delivery" && *name != "message");
        let rows = self.choice.deliveries.len() + self.choice.messages.len();
        html! {
            @if self.choice.is_everything() { p { "This is the whole queue." } }
            @else if rows > 0 { p { "These are the rows that you chose." } }
            ul.conditions aria-label="Conditions" {
                @for (name, value) in conditions { li { span.quiet { (name.replace('_', " ")) } " " (foreign(value)) } }
            }
        }
    }
}

/// A page of this console, and not of another site.
fn is_here(path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
    is_plain && path.starts_with('/') && !path.starts_with("//")
}

/// The form that all buttons of a page belong to: parts of pages that are sent alone carry no token.
pub(in crate::pages) fn form_of_buttons(person: &Person, back: &str) -> Markup {
    form_with_id(person, Some(ACT), "/queue/retry", &html! { input type="hidden" name=(BACK) value=(back); })
}

/// Buttons for all deliveries that are meant.
pub(in crate::pages) fn buttons(right: Right, choice: &Choice, count: u64) -> Markup {
    let expect = (EXPECT, count.to_string());
    let value = link("", fields(choice).into_iter().chain([expect]));
    let value = value.trim_start_matches('?');
    let count = number(count);
    html! {
        div.buttons {
            button form=(ACT) name=(CHOICE) value=(value) { "Retry " (count) }
            details {
                summary { "More" span.hidden { " actions" } }
                div {
                    button form=(ACT) name=(CHOICE) value=(value) formaction="/queue/suspend" { "Suspend " (count) }
                    button form=(ACT) name=(CHOICE) value=(value) formaction="/queue/resume" { "Resume " (count) }
                    @if right >= Right::Administrator {
                        button.danger form=(ACT) name=(CHOICE) value=(value) formaction="/queue/remove" { "Remove " (count) "…" }
                    }
                }
            }
        }
    }
}

/// The form that the boxes of rows belong to.
pub(super) fn form_of_boxes(person: &Person, back: &str) -> Markup {
    html! {
        div.with-ticked {
            (form_with_id(person, Some(TICKED), "/queue/retry", &html! {
                input type="hidden" name=(BACK) value=(back);
                input type="hidden" name=(TICKED) value="yes";
                span.quiet { "Ticked rows:" }
                button { "Retry" }
                button formaction="/queue/suspend" { "Suspend" }
                button formaction="/queue/resume" { "Resume" }
                @if person.may(Right::Administrator) { button.danger formaction="/queue/remove" { "Remove…" } }
            }))
        }
    }
}

/// What helps one delivery.
pub(super) fn row_button(record: &DeliveryRecord) -> Markup {
    let (path, verb) = match record.state {
        State::Suspended => ("/queue/resume", "Resume"),
        _ => ("/queue/retry", "Retry"),
    };
    let recipient = clean(record.delivery.recipient.as_str());
    html! {
        @if record.state != State::Leased {
            button.small form=(ACT) formaction=(path) name=(CHOICE) value=(format!("delivery={}", record.delivery.key.0))
                aria-label=(format!("{verb} the delivery to {recipient}")) { (verb) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_comes_back_to_this_console_only() {
        for (path, expected) in [
            ("/queue/list?connector=a", true),
            ("/messages/1", true),
            ("//evil.test/", false),
            ("/\\evil.test", false),
            ("https://evil.test", false),
            ("/a\r\nSet-Cookie: x", false),
            ("", false),
        ] {
            assert_eq!(is_here(path), expected, "{path}");
        }
    }
}
