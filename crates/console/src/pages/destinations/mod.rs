//! `/destinations`, `/destinations/{host}:{port}`: what each end negotiates, and how that changed.

mod one;

use axum::response::Response;
use insight::views::DestinationView;
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::host_port;

use super::{
    Refusal, connectors,
    paths::segment,
    shell::{Section, Visit},
    words::foreign,
};
use one::{certificates, days_left, offered};

pub(super) use one::show;

/// Destinations that the list shows: MX records lead to any number.
const SHOWN_MAX: usize = 200;

pub(super) async fn list(visit: Visit) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let destinations = insight::destinations(&visit.node.store, None).await?;
    let body = html! {
        h1 { "Destinations and connectors" }
        (connectors::table(&visit.node.config.load()))
        section {
            h2 { "Destinations" }
            @if destinations.is_empty() { p { "No node has connected to a destination yet." } } @else { (table(&destinations, now)) }
            @if destinations.len() > SHOWN_MAX {
                p.quiet { (destinations.len() - SHOWN_MAX) " more are not shown. To open one, type its address: /destinations/HOST:PORT" }
            }
        }
        p { a href="/policies#ledger" { "Ledger: destinations that got mail in plaintext or below the policy modern" } }
    };
    Ok(visit.page(Section::Destinations, "Destinations", &body))
}

/// Those whose certificates expire first come first.
fn table(destinations: &[DestinationView], now: Timestamp) -> Markup {
    let expires =
        |destination: &DestinationView| certificates(destination).map(|certificate| certificate.expires).min();
    let mut sorted: Vec<&DestinationView> = destinations.iter().collect();
    sorted.sort_by_key(|destination| expires(destination).unwrap_or(Timestamp::MAX));
    html! {
        table.stack {
            thead { tr { th scope="col" { "Destination" } th scope="col" { "Addresses" } th scope="col" { "STARTTLS" } th scope="col" { "Certificate" } } }
            tbody {
                @for destination in sorted.iter().take(SHOWN_MAX) {
                    @let name = host_port::join(&destination.host, Some(destination.port));
                    tr {
                        th scope="row" { a href=(format!("/destinations/{}", segment(&name))) { (foreign(&name)) } }
                        td data-label="Addresses" { (destination.addresses.len()) }
                        td data-label="STARTTLS" { (starttls(destination)) }
                        td data-label="Certificate" {
                            @match expires(destination) { Some(at) => { (days_left(at, now)) }, None => "not seen" }
                        }
                    }
                }
            }
        }
    }
}

/// What all have seen, or that they differ.
fn starttls(destination: &DestinationView) -> Markup {
    let mut seen: Vec<&str> =
        destination.addresses.iter().flat_map(|address| &address.seen).map(|sight| sight.starttls.as_str()).collect();
    seen.sort_unstable();
    seen.dedup();
    match seen.as_slice() {
        [one] => offered(one),
        _ => html! { span.key.waits {} "differs" },
    }
}
