//! `/policies`, `/policies/{name}/impact`: the TLS policies, the ledger, and which destinations a policy would break.

use std::time::Duration;

use axum::{extract::Path, response::Response};
use insight::Effect;
use jiff::Timestamp;
use maud::{Markup, html};
use node::{FORECAST_DAYS, Forecast};
use protocol::{host_port, tls::TlsPolicy};
use store::{Fleet as _, LedgerEntry, Weakness};

use super::{
    Refusal, jobs,
    paths::segment,
    rollout::{impacts, working},
    shell::{Section, Visit},
    words::{ago, foreign, number, time},
};

/// Rows of the ledger that a page shows.
const LEDGER_MAX: usize = 500;
const PATIENCE: Duration = Duration::from_millis(1500);

pub(super) async fn list(visit: Visit) -> Result<Response, Refusal> {
    let config = visit.node.config.load_full();
    let ledger = visit.node.store.ledger().await?;
    let policies: Vec<TlsPolicy> = config.policies().collect();
    let body = html! {
        p.kicker { a href="/rollout" { "Rollout" } " / Policies" }
        h1 { "TLS policies" }
        table.stack {
            thead { tr { th scope="col" { "Policy" } th scope="col" { "Versions" } th scope="col" { "Connectors" } th scope="col" { "Cipher suites up to TLS 1.2" } th scope="col" { "Forecast" } } }
            tbody {
                @for policy in &policies {
                    @let under: Vec<&str> = config.connectors_under(&policy.name).collect();
                    tr {
                        th scope="row" { (foreign(&policy.name)) }
                        td data-label="Versions" { (policy.minimum) " to " (policy.maximum) }
                        td data-label="Connectors" { @if under.is_empty() { "none" } @else { (foreign(&under.join(", "))) } }
                        td data-label="Cipher suites" { code.long { (foreign(&policy.ciphers.replace(':', " "))) } }
                        td data-label="Forecast" { a href=(format!("/policies/{}/impact", segment(&policy.name))) { "Which destinations would break" span.hidden { " under " (foreign(&policy.name)) } } }
                    }
                }
            }
        }
        section #ledger {
            h2 { "Ledger" }
            p.quiet { "Destinations that got mail in plaintext or below the policy modern, the latest first." }
            (ledger_table(&ledger, Timestamp::now()))
        }
    };
    Ok(visit.page(Section::Rollout, "TLS policies", &body))
}

pub(super) fn ledger_table(ledger: &[LedgerEntry], now: Timestamp) -> Markup {
    html! {
        @if ledger.is_empty() { p { "No deliveries in plaintext or below the policy modern." } } @else {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Destination" } th scope="col" { "Connector" } th scope="col" { "Policy" }
                        th scope="col" { "Encryption" } th scope="col" { "Why" } th.number scope="col" { "Deliveries" } th scope="col" { "Last" }
                    }
                }
                tbody { @for entry in ledger.iter().take(LEDGER_MAX) { (ledger_row(entry, now)) } }
            }
            @if ledger.len() > LEDGER_MAX { p.quiet { (ledger.len() - LEDGER_MAX) " more are in " code { "gatepost policy ledger" } "." } }
        }
    }
}

fn ledger_row(entry: &LedgerEntry, now: Timestamp) -> Markup {
    let host = host_port::join(&entry.host, Some(entry.port));
    let encryption = entry.tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.cipher));
    html! {
        tr {
            th scope="row" { a href=(format!("/destinations/{}", segment(&host))) { (foreign(&host)) } }
            td data-label="Connector" { (foreign(&entry.connector)) }
            td data-label="Policy" { (foreign(&entry.tls_policy)) }
            td data-label="Encryption" { (foreign(encryption.as_deref().unwrap_or("plaintext"))) }
            td data-label="Why" { (why(entry.why)) }
            td.number data-label="Deliveries" { (number(entry.deliveries)) }
            td data-label="Last" { (ago(entry.last, now)) " ago" }
        }
    }
}

fn why(why: Weakness) -> &'static str {
    match why {
        Weakness::StartTlsNotOffered => "the destination does not offer STARTTLS",
        Weakness::Configured => "the connector has tls = \"none\"",
        Weakness::HandshakeFailed => "the TLS handshake failed, and the connector allows plaintext",
        Weakness::OldVersion => "the TLS version is older than TLS 1.2",
        Weakness::WeakCipher => "no authenticated encryption, or no forward secrecy",
    }
}

pub(super) async fn impact(visit: Visit, Path(name): Path<String>) -> Result<Response, Refusal> {
    let forecast = visit.node.forecast(&name, PATIENCE).await;
    let forecast =
        forecast.map_err(|error| Refusal::not_found(insight::sentence(&insight::capitalised(&error.to_string()))))?;
    let body = html! {
        p.kicker { a href="/policies" { "TLS policies" } " / " (foreign(&name)) }
        h1 { "Which destinations would break under " (foreign(&name)) }
        div #impact { (facts(&forecast, Timestamp::now())) }
    };
    let mut page = visit.page(Section::Rollout, &format!("Forecast for {name}"), &body);
    if matches!(forecast, Forecast::Reading { .. }) {
        jobs::reload_soon(&mut page);
    }
    Ok(page)
}

fn facts(forecast: &Forecast, now: Timestamp) -> Markup {
    match forecast {
        Forecast::Reading { back_to } => html! {
            p.lead role="status" {
                "Gatepost is reading the handshakes of the last " (FORECAST_DAYS) " days"
                @if let Some(at) = back_to { "; it has come to " (time(*at)) }
                "."
            }
        },
        Forecast::Failed(why) => html! { p.trouble { (foreign(&insight::sentence(why))) } },
        Forecast::Known { at, effect } => html! {
            (whole(effect))
            p.quiet { "Read " (ago(*at, now)) " ago, as in " code { "gatepost policy impact" } "." }
        },
    }
}

fn whole(effect: &Effect) -> Markup {
    html! {
        (impacts(effect))
        (working(effect))
    }
}
