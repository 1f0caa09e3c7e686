//! Message traces in the form of Microsoft Graph (v1.0, `exchangeMessageTrace`), so that scripts written for Exchange
//! Online work with Gatepost after a change of the base address.
//!
//! <https://learn.microsoft.com/en-us/graph/api/messagetracingroot-list-messagetraces>

mod detail;
mod error;
mod filter;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, OriginalUri, Path, RawQuery, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use insight::{
    Search, Status, cursor_text,
    export::{message_id as message_id_field, sender},
    read_cursor,
};
use jiff::{SignedDuration, Timestamp};
use node::Node;
use serde::Serialize;
use store::{DeliveryRecord, History as _, Right, TraceQuery};
use uuid::Uuid;

use super::{
    ROWS_MAX, SEARCH_BUDGET,
    form::Form,
    problem::Problem,
    query::{Parameter, Query},
    within::{Found, page_within},
};
use crate::{access::Client, connection::Connection};

use filter::Filter;

/// Number of rows of a page without `$top`.
const ROWS: u32 = 1000;
/// Microsoft describes them; OpenAPI says nothing about what they may contain.
const PARAMETERS: [Parameter; 3] = [
    Parameter::new("$filter", "OData clauses, joined with and", Form::Prose(10_000)),
    Parameter::new("$top", "Maximum number of rows", Form::Count { min: 1, max: ROWS_MAX as u64 }),
    Parameter::new("$skiptoken", "Start of the page, from @odata.nextLink", Form::Text(100)),
];
/// Time range of a search without a time.
const DEFAULT_WINDOW: SignedDuration = SignedDuration::from_hours(48);

/// One message for one recipient: the resource `exchangeMessageTrace` of Graph.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageTrace<'a> {
    /// Network message id.
    id: Uuid,
    sender_address: &'a str,
    recipient_address: &'a str,
    /// Message-ID header field.
    message_id: String,
    received_date_time: Timestamp,
    subject: &'a str,
    status: &'static str,
    /// Size in bytes.
    size: i32,
    #[serde(rename = "fromIP")]
    from_ip: Option<String>,
    #[serde(rename = "toIP")]
    to_ip: Option<String>,
}

impl<'a> From<&'a DeliveryRecord> for MessageTrace<'a> {
    fn from(record: &'a DeliveryRecord) -> Self {
        let message = &record.message;
        let to_ip = record.last_attempt.as_ref().and_then(|attempt| attempt.to_ip);
        Self {
            id: message.network_message_id,
            sender_address: sender(record),
            recipient_address: record.delivery.recipient.as_str(),
            message_id: message_id_field(record),
            received_date_time: message.received,
            subject: message.subject.as_deref().unwrap_or_default(),
            status: match Status::from(record.state) {
                Status::Delivered => "delivered",
                Status::Pending => "pending",
                // Graph has no status for messages that an operator removed.
                Status::Failed | Status::Removed => "failed",
                Status::Expanded => "expanded",
                Status::Quarantined => "quarantined",
                Status::FilteredAsSpam => "filteredAsSpam",
                Status::GettingStatus => "gettingStatus",
            },
            // Graph's Int32.
            size: message.size_bytes.try_into().unwrap_or(i32::MAX),
            from_ip: message.client.map(|ip| ip.to_string()),
            to_ip: to_ip.map(|ip| ip.to_string()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Collection<T> {
    value: Vec<T>,
    /// Address of the next page; absent on the last page.
    #[serde(rename = "@odata.nextLink", skip_serializing_if = "Option::is_none")]
    next_link: Option<String>,
}

use detail::Detail;
pub(super) use error::speak_odata;

pub(super) async fn list(
    State(node): State<Arc<Node>>,
    Extension(client): Extension<Client>,
    Extension(connection): Extension<Connection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    client.must(Right::Tracer)?;
    let now = Timestamp::now();
    let asked = Asked::read(query.as_deref().unwrap_or_default(), now)?;
    // In OData, a page may have fewer rows than were asked for, or none, as long as there is a next one.
    let Found { records, next, .. } = page_within(&node.store, asked.query.clone(), SEARCH_BUDGET, now).await?;
    let next_link = next.map(|next| next_link(&uri, &headers, &connection, &asked, &cursor_text(next)));
    Ok(Json(Collection { value: records.iter().map(MessageTrace::from).collect(), next_link }).into_response())
}

/// Reads a `$filter` with its time range.
pub fn read_filter(text: &str, now: Timestamp) -> Result<Search, String> {
    Filter::parse(text)?.search(now)
}

/// A parsed request.
#[derive(Debug)]
struct Asked {
    /// Contains the time range even if it is the default, because the next page must have the same range.
    filter: String,
    top: u32,
    query: TraceQuery,
}

impl Asked {
    fn read(query: &str, now: Timestamp) -> Result<Self, Problem> {
        // In OData, parameters without $ belong to the client.
        let pairs =
            form_urlencoded::parse(query.as_bytes()).filter(|(name, value)| name.starts_with('$') && !value.is_empty());
        let query = Query::named(pairs, &PARAMETERS)?.checked(&PARAMETERS)?;
        let mut filter = query.owned("$filter").unwrap_or_default();
        let top = query.parsed("$top")?.unwrap_or(ROWS);
        let after = query.text("$skiptoken").map(read_cursor).transpose();
        let after =
            after.map_err(|_| Problem::bad_request("$skiptoken is not from this API; follow @odata.nextLink"))?;
        let mut read = Filter::parse(&filter).map_err(Problem::bad_request)?;
        if read.has_no_time() {
            read.since(now - DEFAULT_WINDOW);
            let window = format!("receivedDateTime ge {} and receivedDateTime le {now}", now - DEFAULT_WINDOW);
            filter = if filter.trim().is_empty() { window } else { format!("({filter}) and {window}") };
        }
        let search = Search { limit: top, after, ..read.search(now).map_err(Problem::bad_request)? };
        let query = search.query(now).map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(Self { filter, top, query })
    }
}

/// An absolute address, because clients follow it; the host is the name that the client used for this node.
fn next_link(uri: &Uri, headers: &HeaderMap, connection: &Connection, asked: &Asked, next: &str) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_tls = connection.is_tls || text("x-forwarded-proto") == Some("https");
    let scheme = if is_tls { "https" } else { "http" };
    let host = text(header::HOST.as_str()).map_or_else(|| connection.here.to_string(), str::to_owned);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("$filter", &asked.filter)
        .append_pair("$top", &asked.top.to_string())
        .append_pair("$skiptoken", next)
        .finish();
    format!("{scheme}://{host}{}?{query}", uri.path())
}

pub(super) async fn details(
    State(node): State<Arc<Node>>,
    Extension(client): Extension<Client>,
    Path((id, call)): Path<(String, String)>,
) -> Result<Response, Problem> {
    client.must(Right::Tracer)?;
    let id: Uuid = id
        .parse()
        .map_err(|_| Problem::bad_request(format!("\"{}\" is not a network message id", protocol::text::clean(&id))))?;
    let recipient = detail::recipient(&call)
        .ok_or_else(|| Problem::not_found("no such call; use getDetailsByRecipient(recipientAddress='…')"))?;
    let no_message = || Problem::not_found(format!("there is no message {id} for {recipient}"));
    let record = node.store.message(id).await?.ok_or_else(no_message)?;
    let is_meant = |delivery: &&DeliveryRecord| delivery.delivery.recipient.as_str().eq_ignore_ascii_case(&recipient);
    let delivery = record.deliveries.iter().find(is_meant).ok_or_else(no_message)?;
    let events = node.store.events(id).await?;
    let value = events.iter().filter_map(|event| Detail::new(delivery, event)).collect();
    Ok(Json(Collection { value, next_link: None }).into_response())
}

#[cfg(test)]
mod tests {
    use store::State;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_page_names_the_next_one_by_what_was_asked() {
        let asked = Asked::read("$filter=status+eq+%27failed%27&$top=2&client-request-id=1", now()).unwrap();
        let query = asked.query.clone();
        assert_eq!((asked.top, query.limit, query.since), (2, 2, Some(now() - DEFAULT_WINDOW)));
        assert_eq!(query.states, Some(vec![State::Failed, State::Removed]));
        let connection =
            Connection { client: "127.0.0.1:1".parse().unwrap(), here: "127.0.0.1:2".parse().unwrap(), is_tls: true };
        let headers = [(header::HOST, "mail.test".parse().unwrap())].into_iter().collect();
        let uri = "/v1.0/admin/exchange/tracing/messageTraces?$top=2".parse().unwrap();
        let link = next_link(&uri, &headers, &connection, &asked, "5-7");
        let (address, query) = link.split_once('?').unwrap();
        assert_eq!(address, "https://mail.test/v1.0/admin/exchange/tracing/messageTraces");
        let next = Asked::read(query, now()).unwrap();
        assert_eq!(next.filter, asked.filter);
        let next = next.query;
        assert_eq!(
            (next.since, next.states, next.limit),
            (Some(now() - DEFAULT_WINDOW), asked.query.states.clone(), 2)
        );
        assert_eq!(next.after.map(cursor_text).as_deref(), Some("5-7"));
    }

    #[test]
    fn unsupported_parameters_are_errors() {
        for query in ["$top=0", "$top=5001", "$top=x", "$top=1&$top=1", "$skiptoken=x", "$orderby=size", "$filter=x"] {
            assert!(Asked::read(query, now()).is_err(), "{query}");
        }
    }
}
