//! `/queue/list`: the rows of `gatepost queue list`, a page at a time.

use axum::response::Response;
use insight::{Choice, ChosenPage, WaitReasons, cursor_text, export::sender, read_cursor};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{DeliveryRecord, Right, State, TraceCursor};

use super::{
    DONE,
    act::{TICKED, buttons, form_of_boxes, form_of_buttons, row_button},
    deliveries, filter, live, notice, rows_link,
};
use crate::{
    choice::fields,
    pages::{
        Refusal,
        asked::{Asked, link},
        fragment::{Fragment, Look, Shape},
        shell::{Section, Visit},
        status::waits,
        words::{ago, foreign, number},
    },
};

/// Rows of one page. Even with the longest addresses and replies they stay below 60 KB.
const ROWS_MAX: u32 = 30;

/// What changes while somebody looks; of the question of the page, as in its address.
pub(in crate::pages) const ROWS: Fragment =
    Fragment { name: "queue-rows", needs: Right::Tracer, shape: Shape::Rows, render: |look| Box::pin(fragment(look)) };

/// What the page is asked for.
struct Question {
    /// The last row of the page before.
    after: Option<TraceCursor>,
    choice: Choice,
}

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let done = asked.take(DONE)?;
    let Question { after, choice } = Question::read(visit.person.right, &mut asked)?;
    let back = rows_link(&choice);
    let of = link("/queue/list", after.map(|after| ("after", cursor_text(after))).into_iter().chain(fields(&choice)));
    let body = html! {
        p.kicker { a href="/queue" { "Queue" } " / rows" }
        h1 { @if choice.is_everything() { "All rows of the queue" } @else { "Rows of the queue" } }
        (notice(done.as_deref()))
        (live(&visit, &ROWS, &of).await?)
        @if visit.person.may(Right::Operator) {
            (form_of_buttons(&visit.person, &back))
            (form_of_boxes(&visit.person, &back))
        }
        (filter::form(&visit, "/queue/list", &[], &choice))
    };
    Ok(visit.page(Section::Queue, "Queue", &body))
}

async fn fragment(look: &Look) -> store::Result<Markup> {
    // Somebody else than the page may have written it.
    let Ok(question) = Question::read(look.right, &mut Asked::read(&look.of)) else { return Ok(html! {}) };
    let Question { after, choice } = question;
    let (now, config) = (look.snapshot.at, look.snapshot.node.config.load_full());
    let store = &look.snapshot.node.store;
    let reasons = WaitReasons::read(store, &*config, now).await?;
    // The place of a row in the queue is written like that of a row in the history.
    let place = after.map(|TraceCursor { received: due, delivery }| (due, delivery));
    let page = choice.page(store, &reasons, ROWS_MAX, place, now).await?;
    let rows = Rows { right: look.right, choice: &choice, page: &page, reasons: &reasons, now };
    Ok(rows.show(after.is_some()))
}

impl Question {
    fn read(right: Right, asked: &mut Asked) -> Result<Self, Refusal> {
        let after = asked.take("after")?.map(|after| read_cursor(&after)).transpose();
        let after = after.map_err(|error| Refusal::bad_request(format!("after: {error}")))?;
        Ok(Self { after, choice: filter::read(right, asked)? })
    }
}

struct Rows<'a> {
    right: Right,
    choice: &'a Choice,
    page: &'a ChosenPage,
    reasons: &'a WaitReasons<'a>,
    now: Timestamp,
}

impl Rows<'_> {
    /// The sentence and the buttons are rows, so that they change although rows stay.
    fn show(&self, is_later: bool) -> Markup {
        let totals = &self.page.totals;
        let may_act = self.right >= Right::Operator;
        html! {
            p.lead data-row="total" {
                b { (deliveries(totals.deliveries)) }
                @if self.choice.is_everything() { " in the queue" } @else { @if totals.deliveries == 1 { " matches" } @else { " match" } }
                @if totals.suspended > 0 { ", " (number(totals.suspended)) " suspended" }
                @if totals.leased > 0 { ", " (number(totals.leased)) " being sent now" }
                "."
            }
            (filter::conditions("/queue/list", &[], self.choice))
            div data-row="buttons" {
                @if may_act && totals.deliveries > 0 { (buttons(self.right, self.choice, totals.deliveries)) }
            }
            @if !self.page.records.is_empty() { (self.table(may_act)) }
            (self.pages(is_later))
        }
    }

    fn table(&self, may_act: bool) -> Markup {
        html! {
            table.stack.queue {
                thead {
                    tr {
                        @if may_act { th scope="col" { span.hidden { "Ticked" } } }
                        th scope="col" { "Recipient" }
                        th scope="col" { "Sender" }
                        th scope="col" { "Connector" }
                        th scope="col" { "Age" }
                        th.number scope="col" { "Attempts" }
                        th scope="col" { "Waits for" }
                        @if may_act { th scope="col" { span.hidden { "Action" } } }
                    }
                }
                tbody { @for record in &self.page.records { (self.row(record, may_act)) } }
            }
        }
    }

    fn row(&self, record: &DeliveryRecord, may_act: bool) -> Markup {
        let DeliveryRecord { message, delivery, .. } = record;
        let recipient = foreign(delivery.recipient.as_str());
        let failure = self.reasons.cause(record);
        html! {
            tr data-row=(delivery.key.0) {
                @if may_act {
                    td.tick {
                        input type="checkbox" name="delivery" value=(delivery.key.0) form=(TICKED)
                            aria-label=(format!("Tick the delivery to {}", clean(delivery.recipient.as_str())));
                    }
                }
                th.address scope="row" {
                    a href=(format!("/messages/{}", message.network_message_id)) { (recipient) }
                    @if record.state == State::Suspended { " " span.tag { "suspended" } }
                }
                td.address data-label="Sender" { (foreign(sender(record))) }
                td data-label="Connector" { (foreign(&delivery.connector)) }
                td.short data-label="Age" { (ago(message.received, self.now)) }
                td.number data-label="Attempts" { (delivery.attempts) }
                td data-label="Waits for" {
                    @if let Some(waiting) = self.reasons.waiting(record) { (waits(&waiting, self.now)) }
                    @if let Some(failure) = failure { div.quiet { (foreign(&failure.summary())) } }
                }
                @if may_act { td.actions { (row_button(record)) } }
            }
        }
    }

    fn pages(&self, is_later: bool) -> Markup {
        let next = self.page.next.map(|(due, delivery)| cursor_text(TraceCursor { received: due, delivery }));
        let others = || fields(self.choice);
        html! {
            @if is_later || next.is_some() {
                p.pages {
                    @if is_later { a href=(link("/queue/list", others())) { "First page" } }
                    @if let Some(next) = next {
                        a rel="next" href=(link("/queue/list", others().into_iter().chain([("after", next)]))) { "Next page" }
                    }
                }
            }
        }
    }
}
