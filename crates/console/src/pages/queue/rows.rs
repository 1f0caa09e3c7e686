//! `/queue/list`: the rows of `gatepost queue list`, a page at a time.

use axum::response::Response;
use insight::{Choice, ChosenPage, WaitReasons, cursor_text, export::sender, read_cursor};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{DeliveryRecord, Right, State, TraceCursor};

use super::{
    DONE, NotRead,
    act::{TICKED, buttons, form_of_boxes, form_of_buttons, row_button},
    deliveries, filter, notice, rows_link, shown,
};
use crate::{
    choice::fields,
    pages::{
        Refusal,
        asked::{Asked, link},
        fragment::{Fragment, Look, Shape, Snapshot},
        shell::{Section, Visit},
        status::waits,
        words::{ago, foreign, number},
    },
};

/// Rows of one page. Even with the longest addresses and replies they stay below 60 KB.
const ROWS_MAX: u32 = 30;

/// Of a question, as after the `?` of the page.
pub(in crate::pages) const ROWS: Fragment =
    Fragment { name: "queue-rows", needs: Right::Tracer, shape: Shape::Rows, render: |look| Box::pin(fragment(look)) };

async fn fragment(look: &Look) -> store::Result<Markup> {
    shown(read(&look.snapshot, look.right, Asked::of(&look.of)).await.map(|(_, _, rows)| rows))
}

/// The choice, whether there are rows, and the rows.
async fn read(snapshot: &Snapshot, right: Right, mut asked: Asked) -> Result<(Choice, bool, Markup), NotRead> {
    let after = asked.take("after")?.map(|after| read_cursor(&after)).transpose();
    let after = after.map_err(|error| Refusal::bad_request(format!("after: {error}")))?;
    let choice = filter::read(right, &asked)?;
    let (node, now) = (&snapshot.node, snapshot.at);
    let config = node.config.load_full();
    let reasons = WaitReasons::read(&node.store, &*config, now).await?;
    // The place of a row in the queue is written like that of a row in the history.
    let after = after.map(|TraceCursor { received: due, delivery }| (due, delivery));
    let page = choice.page(&node.store, &reasons, ROWS_MAX, after, now).await?;
    let rows = Rows { right, choice: &choice, page: &page, reasons: &reasons, now };
    let rows = rows.fragment(after.is_some());
    Ok((choice, !page.records.is_empty(), rows))
}

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let done = asked.take(DONE)?;
    let of = asked.question();
    let (choice, has_rows, rows) = read(&visit.snapshot, visit.person.right, asked).await?;
    let body = html! {
        p.kicker { a href="/queue" { "Queue" } " / rows" }
        h1 { @if choice.is_everything() { "All rows of the queue" } @else { "Rows of the queue" } }
        (notice(done.as_deref()))
        (ROWS.around(&of, &rows))
        @if visit.person.may(Right::Operator) {
            (form_of_buttons(&visit.person, &rows_link(&choice)))
            @if has_rows { (form_of_boxes(&visit.person, &rows_link(&choice))) }
        }
        (filter::form(&visit, "/queue/list", &[], &choice))
    };
    Ok(visit.page(Section::Queue, "Queue", &body))
}

struct Rows<'a> {
    right: Right,
    choice: &'a Choice,
    page: &'a ChosenPage,
    reasons: &'a WaitReasons<'a>,
    now: Timestamp,
}

impl Rows<'_> {
    /// What changes while somebody looks.
    fn fragment(&self, is_later: bool) -> Markup {
        let totals = &self.page.totals;
        let may_act = self.right >= Right::Operator;
        html! {
            section {
                p.lead {
                    b { (deliveries(totals.deliveries)) }
                    @if self.choice.is_everything() { " in the queue" } @else { @if totals.deliveries == 1 { " matches" } @else { " match" } }
                    @if totals.suspended > 0 { ", " (number(totals.suspended)) " suspended" }
                    @if totals.leased > 0 { ", " (number(totals.leased)) " being sent now" }
                    "."
                }
                (filter::conditions("/queue/list", &[], self.choice))
                @if may_act && totals.deliveries > 0 {
                    (buttons(self.right, self.choice, totals.deliveries))
                }
                @if !self.page.records.is_empty() {
                    (self.table(may_act))
                }
                (self.pages(is_later))
            }
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
