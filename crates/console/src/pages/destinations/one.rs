//! One destination: each address with each node, certificates, what it offers, changes, attempts, ledger.

use axum::{extract::Path, response::Response};
use insight::{
    LastAttempt, last_attempts,
    views::{DestinationAddressView, DestinationView, SeenCertificateView, SightView},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use node::validation::EXPIRES_SOON;
use protocol::host_port;
use store::{
    AttemptMatch, ChangeLog as _, ChangeQuery, DeliveryRecord, Fleet as _, LedgerEntry, Right, State, TraceQuery,
};
use trace::{Change, ChangeKind};

use super::super::{
    Refusal,
    jobs::probe_button,
    outcome_table::{Group, outcome_table},
    paths::segment,
    policies::ledger_table,
    shell::{Section, Visit},
    words::{ago, change_text, foreign, number, said, time},
};
use crate::api::{Found, SEARCH_BUDGET, page_within};

/// Addresses whose attempts are searched, and deliveries of each.
const ADDRESSES_MAX: usize = 8;
const DELIVERIES_MAX: u32 = 300;
const SEARCHED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Changes of all destinations that are read, to find those of this one.
const CHANGES_READ: u32 = 1000;
const CHANGES_SHOWN: usize = 20;

pub(in super::super) async fn show(visit: Visit, Path(name): Path<String>) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let Some((host, port)) = read_name(&name) else {
        return Err(Refusal::bad_request("The address must end with a host and a port, such as mail.example:25."));
    };
    let store = &visit.node.store;
    let known = insight::destinations(store, Some(&host)).await?;
    let known = known.into_iter().find(|destination| destination.port == port);
    let mut ledger = store.ledger().await?;
    ledger.retain(|entry| entry.host == host && entry.port == port);
    let connectors = connectors(&visit, &host, port);
    if known.is_none() && ledger.is_empty() && connectors.is_empty() {
        let shown = protocol::text::clean(&name);
        return Err(Refusal::not_found(format!("No node has connected to {shown}, and no connector has that host.")));
    }
    let known = known.unwrap_or(DestinationView { host, port, addresses: Vec::new() });
    let attempts = attempts(&visit, &known, now).await?;
    let changes = store.changes(ChangeQuery {
        kinds: vec!["destination-changed".to_owned()],
        limit: CHANGES_READ,
        ..ChangeQuery::default()
    });
    let changes = changes.await?;
    let nodes = store.members().await?.iter().filter(|member| member.lives).count();
    let body = page(
        &visit,
        &Shown {
            known: &known,
            attempts: &attempts,
            ledger: &ledger,
            changes: &changes,
            connectors: &connectors,
            nodes,
        },
        now,
    );
    Ok(visit.page(Section::Destinations, &host_port::join(&known.host, Some(port)), &body))
}

struct Shown<'a> {
    known: &'a DestinationView,
    attempts: &'a Attempts,
    ledger: &'a [LedgerEntry],
    changes: &'a [Change],
    connectors: &'a [String],
    /// That would probe.
    nodes: usize,
}

fn page(visit: &Visit, shown: &Shown<'_>, now: Timestamp) -> Markup {
    let Shown { known, attempts, ledger, changes, connectors, nodes } = shown;
    let name = host_port::join(&known.host, Some(known.port));
    let changes: Vec<&Change> = changes.iter().filter(|change| is_of(change, known)).take(CHANGES_SHOWN).collect();
    html! {
        p.kicker { a href="/destinations" { "Destinations" } " / " (foreign(&name)) }
        h1 { (foreign(&name)) }
        p {
            @if connectors.is_empty() { "No connector names this host: mail goes there by MX records." }
            @for (at, connector) in connectors.iter().enumerate() {
                @if at == 0 { "Mail goes there by " } @else { ", " }
                a href=(format!("/connectors/{}", segment(connector))) { (foreign(connector)) }
            }
        }
        div.buttons { (probe_button(visit, "destination", &name, *nodes)) }
        div #negotiated { (negotiated(known, attempts, visit.person.right, now)) }
        (offers(known, now))
        section {
            h2 { "Changes" }
            @if changes.is_empty() { p { "No change was seen." } }
            ol.changes { @for change in &changes { li { span.quiet { (time(change.at)) ", " (said(&change.who, visit.person.right)) } span { (change_text(&change.kind, visit.person.right)) } } } }
        }
        section { h2 { "Ledger" } (ledger_table(ledger, now)) }
    }
}

/// `host:port`, as it is in the history: an address has its brackets.
fn read_name(name: &str) -> Option<(String, u16)> {
    let (host, port) = name.rsplit_once(':')?;
    let host_is_whole = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    Some((host.to_owned(), port.parse().ok()?)).filter(|_| host_is_whole)
}

/// The connectors that have this smart host.
fn connectors(visit: &Visit, host: &str, port: u16) -> Vec<String> {
    let config = visit.node.config.load();
    let all = node::connectors(&config).into_iter();
    let name = host_port::join(host, Some(port));
    all.filter(|connector| connector.hosts.iter().any(|one| one.eq_ignore_ascii_case(&name)))
        .map(|one| one.name)
        .collect()
}

/// What the history says, as far as it was searched.
#[derive(Default)]
struct Attempts {
    last: Vec<LastAttempt>,
    /// Failed and worked, by address and TLS policy.
    counts: Vec<Group>,
    /// Set if a search ended early.
    searched_since: Option<Timestamp>,
}

async fn attempts(visit: &Visit, known: &DestinationView, now: Timestamp) -> Result<Attempts, Refusal> {
    let mut all = Attempts::default();
    let budget = SEARCH_BUDGET / known.addresses.len().clamp(1, ADDRESSES_MAX) as u32;
    for DestinationAddressView { address, .. } in known.addresses.iter().take(ADDRESSES_MAX) {
        let query = TraceQuery {
            last_attempt: AttemptMatch { to_ip: Some(address.ip()), ..AttemptMatch::default() },
            since: now.checked_sub(SEARCHED).ok(),
            limit: DELIVERIES_MAX,
            ..TraceQuery::default()
        };
        let Found { records, searched_since, .. } = page_within(&visit.node.store, query, budget, now).await?;
        all.last.extend(last_attempts(&records));
        all.counts.extend(by_policy(&address.to_string(), &records));
        all.searched_since = all.searched_since.max(searched_since);
    }
    Ok(all)
}

fn by_policy(address: &str, records: &[DeliveryRecord]) -> Option<Group> {
    let mut rows: Vec<(String, u64, u64)> = Vec::new();
    for record in records {
        let Some(last) = &record.last_attempt else { continue };
        let (failed, worked) = match record.state {
            State::Delivered => (0, 1),
            State::Removed => continue,
            _ => (1, 0),
        };
        match rows.iter_mut().find(|(policy, ..)| *policy == last.tls_policy) {
            Some(row) => (row.1, row.2) = (row.1 + failed, row.2 + worked),
            None => rows.push((last.tls_policy.clone(), failed, worked)),
        }
    }
    (!rows.is_empty()).then(|| Group { name: address.to_owned(), rows })
}

/// Each address with each node.
fn negotiated(known: &DestinationView, attempts: &Attempts, right: Right, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "What each node last negotiated" }
            @if attempts.last.is_empty() { p { "No attempts in the last 30 days." } } @else {
                table.stack {
                    thead { tr { th scope="col" { "Address" } th scope="col" { "Node" } th scope="col" { "Last attempt" } th scope="col" { "TLS" } th scope="col" { "Policy" } th scope="col" { "When" } } }
                    tbody { @for attempt in &attempts.last { (attempt_row(attempt, known.port, right, now)) } }
                }
                h3 { "By address and TLS policy" }
                p.quiet {
                    "The last attempts of up to " (DELIVERIES_MAX) " deliveries to each address in 30 days"
                    @if let Some(since) = attempts.searched_since { ", searched back to " (time(since)) }
                    "."
                }
                (outcome_table("Address, TLS policy", &attempts.counts))
            }
        }
    }
}

fn attempt_row(attempt: &LastAttempt, port: u16, right: Right, now: Timestamp) -> Markup {
    let LastAttempt { node, address, tls_policy, tls, failure, at } = attempt;
    let address = host_port::join(&address.to_string(), Some(port));
    html! {
        tr {
            th scope="row" { (address) }
            td data-label="Node" { a href=(format!("/nodes/{}", segment(node))) { (foreign(node)) } }
            td data-label="Last attempt" {
                @match failure {
                    None => { span.key.works {} "worked" },
                    Some(why) => { span.key.fails {} "failed: " (said(why, right)) },
                }
            }
            td data-label="TLS" {
                @match tls { Some((version, cipher)) => (foreign(&format!("{version} {cipher}"))), None => "none" }
            }
            td data-label="Policy" { (foreign(tls_policy)) }
            td data-label="When" { (ago(*at, now)) " ago" }
        }
    }
}

/// What it shows of itself. Nodes that have seen the same are in one row.
fn offers(known: &DestinationView, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "What it offers" }
            @if known.addresses.is_empty() { p { "No node has seen it." } }
            @for address in &known.addresses {
                @for (sight, nodes) in alike(&address.seen) {
                    h3 { (address.address) span.quiet { ", seen by " (foreign(&nodes.join(", "))) } }
                    dl.pairs {
                        dt { "STARTTLS" } dd { (offered(&sight.starttls)) }
                        dt { "Greeting" } dd { (foreign(&sight.greeting)) }
                        dt { "Size limit" } dd { @match sight.size { Some(bytes) => { (number(bytes)) " bytes" }, None => "none" } }
                        dt { "EHLO" } dd { (foreign(&sight.extensions.join(", "))) }
                        dt { "Certificate" }
                        dd {
                            @match &sight.certificate {
                                Some(certificate) => { (foreign(&certificate.subject)) ", " (days_left(certificate.expires, now)) },
                                None => "not seen",
                            }
                        }
                        dt { "So since" } dd { (time(sight.since)) }
                    }
                }
            }
        }
    }
}

fn alike(sights: &[SightView]) -> Vec<(&SightView, Vec<&str>)> {
    let mut rows: Vec<(&SightView, Vec<&str>)> = Vec::new();
    let same = |a: &SightView, b: &SightView| {
        (&a.greeting, &a.starttls, a.size, &a.extensions, &a.certificate)
            == (&b.greeting, &b.starttls, b.size, &b.extensions, &b.certificate)
    };
    for sight in sights {
        match rows.iter_mut().find(|(known, _)| same(known, sight)) {
            Some((_, nodes)) => nodes.push(&sight.node),
            None => rows.push((sight, vec![&sight.node])),
        }
    }
    rows
}

pub(super) fn certificates(known: &DestinationView) -> impl Iterator<Item = &SeenCertificateView> {
    known.addresses.iter().flat_map(|address| &address.seen).filter_map(|sight| sight.certificate.as_ref())
}

pub(super) fn offered(starttls: &str) -> Markup {
    match starttls {
        "offered" => html! { span.key.works {} "offered" },
        "masked" => html! { span.key.fails {} "overwritten by a firewall" },
        _ => html! { span.key.fails {} "not offered" },
    }
}

/// Marked if it expires within 30 days.
pub(super) fn days_left(expires: Timestamp, now: Timestamp) -> Markup {
    let left = expires.duration_since(now);
    let days = insight::counted(left.as_hours().unsigned_abs() / 24, "day");
    match () {
        () if left.is_negative() => html! { span.key.fails {} "expired " (days) " ago" },
        () if left < EXPIRES_SOON => html! { span.key.waits {} "expires in " (days) },
        () => html! { "valid for " (days) },
    }
}

fn is_of(change: &Change, known: &DestinationView) -> bool {
    match &change.kind {
        ChangeKind::DestinationChanged(changed) => changed.host == known.host && changed.address.port() == known.port,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_host_and_a_port() {
        for (name, expected) in [
            ("mail.example:25", Some(("mail.example", 25))),
            ("[192.0.2.1]:2525", Some(("[192.0.2.1]", 2525))),
            ("[IPv6:2001:db8::1]:25", Some(("[IPv6:2001:db8::1]", 25))),
            ("mail.example", None),
            (":25", None),
            ("mail.example:", None),
            ("mail.example:70000", None),
            ("2001:db8::1:25", None),
            ("", None),
        ] {
            assert_eq!(read_name(name), expected.map(|(host, port)| (host.to_owned(), port)), "{name}");
        }
    }
}
