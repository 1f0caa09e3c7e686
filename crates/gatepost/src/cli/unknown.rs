//! Conditions that name something of which nothing is on record: an error with the names that are most alike.

use anyhow::Context as _;
use insight::{By, Conditions, Search, Summary, Wanted, export::sender};
use jiff::Timestamp;
use node::config::Config;
use store::{DeliveryRecord, QueueQuery, Selection, Store, TraceQuery};
use uuid::Uuid;

use super::similar::no_match;

/// Deliveries whose names are suggested, at most.
const COMPARED_MAX: u32 = 500;

pub(super) fn no_such_message(id: Uuid) -> String {
    format!("there is no message {id}")
}

/// Checks a command that changed nothing.
pub(super) async fn refuse_selection<S: Store>(
    selection: &Selection,
    store: &S,
    config: &Config,
) -> anyhow::Result<()> {
    if let Some(id) = selection.message {
        store.message(id).await?.with_context(|| no_such_message(id))?;
    }
    refuse_names(selection, false, store, config).await
}

/// Checks the names that select deliveries in the queue, which may be empty.
pub(super) async fn refuse_names<S: Store>(
    selection: &Selection,
    may_be_empty: bool,
    store: &S,
    config: &Config,
) -> anyhow::Result<()> {
    if let Some(connector) = &selection.connector {
        let by = Selection { connector: Some(connector.clone()), ..Selection::default() };
        if list(by, store).await?.is_empty() {
            let counts = store.counts().await?;
            refuse_connector(connector, counts.iter().map(|count| count.connector.as_str()), config)?;
        }
    }
    if selection.recipient.is_none() && selection.sender.is_none() {
        return Ok(());
    }
    let all = list(Selection::default(), store).await?;
    if may_be_empty && all.is_empty() {
        return Ok(());
    }
    if let Some(recipient) = &selection.recipient {
        let to = Selection { recipient: Some(recipient.clone()), ..Selection::default() };
        if list(to, store).await?.is_empty() {
            return Err(no_address("no delivery in the queue is to", recipient, &all, recipient_of));
        }
    }
    if let Some(from) = &selection.sender {
        let of = Selection { sender: Some(from.clone()), ..Selection::default() };
        if list(of, store).await?.is_empty() {
            return Err(no_address("no delivery in the queue is from", from, &all, sender));
        }
    }
    Ok(())
}

/// Checks what the store cannot select by. In an empty queue, nothing is wrong with any name.
pub(super) async fn refuse_conditions<S: Store>(
    conditions: &Conditions,
    wanted: &Wanted,
    store: &S,
    now: Timestamp,
) -> anyhow::Result<()> {
    let asked = [
        (By::Destination, &conditions.destination, "no delivery in the queue has the destination"),
        (By::Cause, &conditions.cause, "no delivery in the queue has the cause"),
    ];
    for (by, name, lacking) in asked {
        let Some(name) = name else { continue };
        let all = Summary::read(store, Selection::default(), wanted.of_any(), Some(by), now).await;
        let known: Vec<String> =
            all.context("failed to read the queue")?.views(&[]).into_iter().map(|view| view.group).collect();
        if !known.is_empty() && !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(no_match(lacking, name, known.iter().map(String::as_str)));
        }
    }
    Ok(())
}

/// Checks a search of the history that finds nothing. In an empty history, nothing is wrong with an address.
pub(super) async fn refuse_search<S: Store>(
    search: &Search,
    query: &TraceQuery,
    store: &S,
    config: &Config,
) -> anyhow::Result<()> {
    let has_names = search.connector.is_some() || search.recipient.is_some() || search.sender.is_some();
    let read = |query: TraceQuery| async { store.trace(query).await.context("failed to read the history") };
    let any = |query: TraceQuery| read(TraceQuery { limit: 1, ..query });
    if !has_names || !any(query.clone()).await?.is_empty() {
        return Ok(());
    }
    let newest = || read(TraceQuery { limit: COMPARED_MAX, ..TraceQuery::default() });
    if let Some(connector) = &search.connector {
        let of = TraceQuery { connector: Some(connector.clone()), ..TraceQuery::default() };
        if any(of).await?.is_empty() {
            let known = newest().await?;
            refuse_connector(connector, known.iter().map(|record| record.delivery.connector.as_str()), config)?;
        }
    }
    if let Some(recipient) = search.recipient.as_deref().filter(|name| is_name(name)) {
        let to = TraceQuery { recipient: Some(recipient.to_owned()), ..TraceQuery::default() };
        if any(to).await?.is_empty() {
            let known = newest().await?;
            let error = no_address("no message on record is to", recipient, &known, recipient_of);
            return if known.is_empty() { Ok(()) } else { Err(error) };
        }
    }
    if let Some(from) = search.sender.as_deref().filter(|name| is_name(name)) {
        let of = TraceQuery { sender: Some(from.to_owned()), ..TraceQuery::default() };
        if any(of).await?.is_empty() {
            let known = newest().await?;
            let error = no_address("no message on record is from", from, &known, sender);
            return if known.is_empty() { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

async fn list<S: Store>(selection: Selection, store: &S) -> anyhow::Result<Vec<DeliveryRecord>> {
    let query = QueueQuery { selection, limit: COMPARED_MAX, after: None };
    store.list(query).await.context("failed to read the queue")
}

fn refuse_connector<'a>(
    wanted: &str,
    on_record: impl Iterator<Item = &'a str>,
    config: &'a Config,
) -> anyhow::Result<()> {
    let configured = config.connectors.iter().map(|connector| connector.name.as_str());
    let known: Vec<&str> = configured.chain(on_record).collect();
    if known.contains(&wanted) { Ok(()) } else { Err(no_match("no connector is named", wanted, known)) }
}

fn recipient_of(record: &DeliveryRecord) -> &str {
    record.delivery.recipient.as_str()
}

/// Checks an address that nothing was found for among those that are known.
pub(super) fn refuse_absent(lacking: &str, wanted: Option<&str>, known: &[String]) -> anyhow::Result<()> {
    let Some(wanted) = wanted.filter(|wanted| is_name(wanted)) else { return Ok(()) };
    let names: Vec<&str> = known.iter().map(|address| alike(wanted, address)).collect();
    let is_known = names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    if names.is_empty() || is_known { Ok(()) } else { Err(no_match(lacking, wanted, names)) }
}

fn no_address(
    lacking: &str,
    wanted: &str,
    records: &[DeliveryRecord],
    name: impl Fn(&DeliveryRecord) -> &str,
) -> anyhow::Error {
    no_match(lacking, wanted, records.iter().map(|record| alike(wanted, name(record))))
}

/// Not a pattern, nor the null sender.
fn is_name(wanted: &str) -> bool {
    !wanted.contains('*') && wanted != "<>"
}

/// The domain of an address where a domain is wanted, such as `@onprem.test`.
fn alike<'a>(wanted: &str, address: &'a str) -> &'a str {
    address.rfind('@').filter(|_| wanted.starts_with('@')).map_or(address, |at| &address[at..])
}
