//! `/trace`: what happened to messages, with all filters of `gatepost trace`. A search ends within its budget: the page says how far
//! back it has looked, and the next one goes on from there.

mod export;
mod fields;
mod search;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use insight::{Id, Search, Status, WaitReasons, cursor_text, export::sender};
use jiff::Timestamp;
use maud::{Markup, html};
use store::{DeliveryRecord, Store};

pub(super) use export::download;
pub(super) use search::lead;

use super::{
    Refusal,
    asked::{Asked, link},
    shell::{Section, Visit},
    status::{status_name, waits},
    words::{clock, foreign, number, time},
};
use crate::api::{Found, SEARCH_BUDGET, page_within, read_parameters};

/// Rows of one page. Even with the longest subjects and replies they stay below 60 KB.
const ROWS_MAX: u32 = 30;

/// Searches that people make every day.
const COMMON: [(&str, &str); 7] = [
    ("Waiting now", "status=pending"),
    ("Waiting for more than 1 hour", "status=pending&until=1h"),
    ("Bounced in the last 24 hours", "status=failed&since=24h"),
    ("Greylisted or deferred with 451", "code=451&since=24h"),
    ("Delivered in plaintext today", "status=delivered&tls_version=none&since=24h"),
    ("Delivered with TLS 1.0", "status=delivered&tls_version=1.0&since=24h"),
    ("Removed by operators in the last 7 days", "status=removed&since=7d"),
];

/// The conditions as a person has given them.
struct Given(Vec<(String, String)>);

impl Given {
    /// Several values of `status` are one, because each has a checkbox. Empty fields are none.
    fn new(asked: &Asked) -> Self {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in asked.iter().filter(|(_, value)| !value.trim().is_empty()) {
            match given.iter_mut().find(|(other, _)| name == "status" && other == name) {
                Some((_, values)) => *values = format!("{values},{value}"),
                None => given.push((name.to_owned(), value.to_owned())),
            }
        }
        Self(given)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn but(&self, left_out: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| *name != left_out)
    }

    fn search(&self) -> Result<Search, String> {
        let query = link("", self.but(""));
        read_parameters(query.trim_start_matches('?'))
    }
}

pub(super) async fn show(visit: Visit, asked: Asked) -> Result<Response, Refusal> {
    let given = Given::new(&asked);
    let now = Timestamp::now();
    match find(&visit, &given, now).await? {
        Ok(found) => {
            let config = visit.node.config.load_full();
            let reasons = WaitReasons::read(&visit.node.store, &*config, now).await?;
            let results = Results { given: &given, found: &found, reasons: &reasons, now };
            Ok(page(&visit, &given, &results.fragment()))
        }
        Err(fault) => {
            let fault = html! { p.fault role="alert" { (foreign(&insight::sentence(&fault))) } };
            Ok((StatusCode::BAD_REQUEST, page(&visit, &given, &fault)).into_response())
        }
    }
}

/// What a search finds, or what is wrong with it.
async fn find(visit: &Visit, given: &Given, now: Timestamp) -> Result<Result<Found, String>, Refusal> {
    let search = match given.search() {
        Ok(search) if search.limit == 0 => return Ok(Err("limit: must be at least 1".to_owned())),
        Ok(search) => search,
        Err(fault) => return Ok(Err(fault)),
    };
    let search = match whole_id(search, &visit.node.store).await? {
        Ok(search) => Search { limit: search.limit.min(ROWS_MAX), ..search },
        Err(fault) => return Ok(Err(fault)),
    };
    match search.query(now) {
        Ok(query) => Ok(Ok(page_within(&visit.node.store, query, SEARCH_BUDGET, now).await?)),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// The search with the whole id, where the person gave only the beginning.
async fn whole_id<S: Store>(search: Search, store: &S) -> store::Result<Result<Search, String>> {
    let Some(id) = search.message.filter(|id| id.whole().is_none()) else { return Ok(Ok(search)) };
    let found = store.ids_between(id.first, id.last, 2).await?;
    Ok(match found.as_slice() {
        [one] => Ok(Search { message: Some(Id::from(*one)), ..search }),
        [] => Err(format!("message: there is no message whose id begins with {id}")),
        _ => Err(format!("message: several messages have ids that begin with {id}; give more digits of the id")),
    })
}

fn page(visit: &Visit, given: &Given, results: &Markup) -> Response {
    let body = html! {
        h1 { "Trace" }
        @if given.0.is_empty() { (common()) }
        (fields::form(visit, given))
        (results)
        @if !given.0.is_empty() { (common()) }
    };
    visit.page(Section::Trace, "Trace", &body)
}

fn common() -> Markup {
    html! {
        nav.common aria-label="Common searches" {
            span.quiet { "Common searches" }
            @for (name, query) in COMMON { a href=(format!("/trace?{query}")) { (name) } }
        }
    }
}

struct Results<'a> {
    given: &'a Given,
    found: &'a Found,
    reasons: &'a WaitReasons<'a>,
    now: Timestamp,
}

impl Results<'_> {
    fn fragment(&self) -> Markup {
        let rows = &self.found.records;
        html! {
            section #trace-rows aria-label="Results" {
                @if !rows.is_empty() {
                    table.stack {
                        thead {
                            tr {
                                th scope="col" { "Received" }
                                th scope="col" { "Status" }
                                th scope="col" { "Recipient" }
                                th scope="col" { "Sender" }
                                th scope="col" { "Subject" }
                                th scope="col" { "Why" }
                            }
                        }
                        tbody { @for record in rows { (self.row(record)) } }
                    }
                }
                (self.end())
                @if !rows.is_empty() { p { a href=(link("/trace.csv", self.given.but("after"))) download { "Download as CSV" } } }
            }
        }
    }

    fn row(&self, record: &DeliveryRecord) -> Markup {
        let DeliveryRecord { message, delivery, .. } = record;
        html! {
            tr data-row=(delivery.key.0) {
                td.short data-label="Received" { (clock(message.received, self.now)) }
                td data-label="Status" { (status_name(record.state)) }
                th.address scope="row" data-label="Recipient" {
                    a href=(format!("/messages/{}", message.network_message_id)) { (foreign(delivery.recipient.as_str())) }
                }
                td.address data-label="Sender" { (foreign(sender(record))) }
                td.subject data-label="Subject" { (foreign(message.subject.as_deref().unwrap_or_default())) }
                td.why data-label="Why" { (self.why(record)) }
            }
        }
    }

    /// Pending: what the delivery waits for and the original cause. Otherwise: how it ended.
    fn why(&self, record: &DeliveryRecord) -> Markup {
        let failure = self.reasons.cause(record).map(|failure| foreign(&failure.summary()));
        html! {
            @match Status::from(record.state) {
                Status::Delivered => @if let Some(reply) = &record.reply { (foreign(&reply.to_string())) },
                Status::Removed => "removed from the queue by an operator",
                Status::Pending => {
                    @if let Some(waiting) = self.reasons.waiting(record) { (waits(&waiting, self.now)) }
                    @if let Some(failure) = failure { ": " (failure) }
                }
                _ => @if let Some(failure) = failure { (failure) }
            }
        }
    }

    /// Whether there is more, and how to get it.
    fn end(&self) -> Markup {
        let rows = self.found.records.len() as u64;
        let next = self.found.next.map(cursor_text);
        let further = |next: &str| {
            let others = self.given.but("after").map(|(name, value)| (name.to_owned(), value.to_owned()));
            link("/trace", others.chain([("after".to_owned(), next.to_owned())]))
        };
        html! {
            @match (&next, self.found.searched_since) {
                (Some(next), Some(since)) => {
                    p.notice role="status" {
                        "Searched back to " (time(since)) " so far: " (number(rows)) @if rows == 1 { " row. " } @else { " rows. " }
                        a rel="next" href=(further(next)) { "Search further back" }
                    }
                }
                (Some(next), None) => p.pages { a rel="next" href=(further(next)) { "Next page" } },
                (None, _) if rows == 0 => {
                    p { "No messages match." (self.other_side()) }
                }
                (None, _) => {}
            }
        }
    }

    /// An address that is not found as a recipient may be a sender.
    fn other_side(&self) -> Markup {
        let swap = |from: &str, to: &'static str| {
            let value = self.given.text(from)?;
            Some((link("/trace", self.given.but(from).chain([(to, value)])), to))
        };
        let both = self.given.text("sender").is_some() && self.given.text("recipient").is_some();
        let other = swap("recipient", "sender").or_else(|| swap("sender", "recipient")).filter(|_| !both);
        html! { @if let Some((href, to)) = other { " " a href=(href) { "Search for this address as the " (to) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_searches_can_be_made() {
        let now = Timestamp::now();
        for (name, query) in COMMON {
            assert!(read_parameters(query).unwrap().query(now).is_ok(), "{name}");
        }
    }
}
