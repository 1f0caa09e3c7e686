//! `/messages/{id}/attempts/{session}`: one connection, with what was said and what was seen of its handshake. The node that made
//! it is asked for the dialogue.

use axum::{extract::Path, response::Response};
use insight::views::{DialogueLineKind, DialogueLineView};
use jiff::Timestamp;
use maud::{Markup, html};
use node::inquiry::{self, Attempted};
use protocol::tls::{Certificate, HandshakeFacts};
use trace::{Attempt, Event};

use super::{ladder::ladder, looked_at, message_id, timeline::result};
use crate::pages::{
    Refusal,
    shell::{Section, Visit},
    status::failure_alone,
    words::{foreign, number, time},
};

/// Lines of a dialogue on one page; the API has all of them.
const LINES_MAX: usize = 100;
/// Recipients with their results.
const RECIPIENTS_MAX: usize = 20;

pub(in crate::pages) async fn show(
    visit: Visit,
    Path((id, session)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let found = inquiry::attempt(&visit.node, id, &session).await.map_err(|error| Refusal::unreadable(&error))?;
    let found = found.ok_or_else(|| Refusal::not_found("This message has no such attempt."))?;
    looked_at(&visit, id).await?;
    let Some((first, attempt)) = first(&found) else { return Err(Refusal::not_found("This is not an attempt.")) };
    let body = html! {
        p.kicker { a href="/trace" { "Trace" } " / " a href=(format!("/messages/{id}")) { "message" } " / attempt" }
        h1 { "Attempt by " (foreign(&found.node)) }
        p.lead { (result(&first.kind)) " at " (time(first.at)) @if let Some(failure) = first.kind.failure() { ": " (failure_alone(failure)) } }
        (circumstances(attempt))
        (recipients(&found.events))
        h2 { "Phases" }
        (ladder(&first.kind, attempt))
        (conversation(&found))
        @if let Some(facts) = attempt.handshake.as_deref() { (handshake(facts)) }
    };
    Ok(visit.page(Section::Trace, "Attempt", &body))
}

/// The event with the phases of the connection: they are in its first attempt only.
fn first(found: &Attempted) -> Option<(&Event, &Attempt)> {
    let all = || found.events.iter().filter_map(|event| Some((event, event.kind.attempt()?)));
    all().find(|(_, attempt)| !attempt.phases.is_empty()).or_else(|| all().next())
}

fn circumstances(attempt: &Attempt) -> Markup {
    html! {
        dl.pairs {
            dt { "Connector" } dd { (foreign(&attempt.connector)) }
            @if let Some(destination) = &attempt.destination { dt { "Destination" } dd { (foreign(&destination.to_string())) } }
            @if let Some(local) = attempt.local { dt { "From" } dd { (local) } }
            dt { "TLS policy" }
            dd {
                (foreign(&attempt.tls_policy))
                @if let Some(version) = attempt.plan_version { " (rollout plan " (version) ")" }
            }
            dt { "TLS" }
            dd {
                @match (&attempt.tls, &attempt.plaintext_because) {
                    (Some(tls), _) => { (foreign(&tls.version)) " " (foreign(&tls.cipher)) }
                    (None, Some(failure)) => { "none: the handshake failed (" (foreign(&failure.kind.to_string())) "), and the connector allows plaintext" }
                    (None, None) => "none"
                }
            }
            dt { "Session" } dd { code { (foreign(&attempt.session)) } }
            dt { "Duration" } dd { (number(attempt.duration_ms)) " ms" }
        }
    }
}

fn recipients(events: &[Event]) -> Markup {
    let of_recipients = events.iter().filter_map(|event| Some((event.recipient.as_ref()?, event)));
    html! {
        @if events.len() > 1 {
            ul.states {
                @for (recipient, event) in of_recipients.take(RECIPIENTS_MAX) {
                    li {
                        (result(&event.kind)) " for " (foreign(recipient.as_str()))
                        @if let Some(failure) = event.kind.failure() { ": " (failure_alone(failure)) }
                    }
                }
            }
            @if events.len() > RECIPIENTS_MAX { p { "And " (events.len() - RECIPIENTS_MAX) " more recipients." } }
        }
    }
}

fn conversation(found: &Attempted) -> Markup {
    html! {
        section #attempt-dialogue {
            h2 { "Dialogue" }
            @match &found.dialogue {
                None => p { (insight::sentence(&insight::capitalised(&found.missing().unwrap_or_default()))) },
                Some(lines) => {
                    pre tabindex="0" aria-label="Dialogue" { @for line in lines.iter().take(LINES_MAX) { (said(line, lines.first().and_then(|line| line.at))) } }
                    @if lines.len() > LINES_MAX { p.quiet { (lines.len() - LINES_MAX) " more lines. The API has all of them." } }
                }
            }
        }
    }
}

/// One line, with the time since the connection began.
fn said(line: &DialogueLineView, begin: Option<Timestamp>) -> Markup {
    let since = line.at.zip(begin).map(|(at, begin)| at.duration_since(begin).as_millis());
    let (sign, who) = match line.kind {
        DialogueLineKind::Sent => ("→", "Gatepost: "),
        DialogueLineKind::Received => ("←", "Destination: "),
        DialogueLineKind::Connected => ("+", "Connected "),
        DialogueLineKind::Disconnected => ("-", "Disconnected "),
        DialogueLineKind::Note => ("*", "Note: "),
    };
    let text = [line.text.as_str(), line.about.as_str()].into_iter().filter(|text| !text.is_empty());
    html! {
        span.line {
            span.quiet { @if let Some(since) = since { (since) " ms " } }
            span aria-hidden="true" { (sign) " " } span.hidden { (who) }
            (foreign(&text.collect::<Vec<_>>().join(" ")))
        }
    }
}

fn handshake(facts: &HandshakeFacts) -> Markup {
    html! {
        section {
            h2 { "TLS handshake" }
            p { (foreign(&insight::sentence(&insight::capitalised(&facts.to_string())))) }
            @if let Some(hello) = &facts.client_hello {
                @let suites: Vec<String> = hello.cipher_suites.iter().map(ToString::to_string).collect();
                @let versions: Vec<String> = hello.versions.iter().map(ToString::to_string).collect();
                details {
                    summary { "The gateway offered " (suites.len()) " cipher suites" }
                    p { "Versions: " (versions.join(", ")) }
                    p { (suites.join(", ")) }
                }
            }
            @if let Some(leaf) = facts.certificates.first() { (certificate(facts, leaf)) }
        }
    }
}

fn certificate(facts: &HandshakeFacts, certificate: &Certificate) -> Markup {
    let at = |seconds| html! { @if let Ok(at) = Timestamp::from_second(seconds) { (time(at)) } };
    html! {
        h3 { "Certificate of the destination" }
        dl.pairs {
            @if let Some(fault) = facts.certificate_fault { dt { "Problem" } dd { "The certificate " (fault) "." } }
            dt { "Subject" } dd { (foreign(&certificate.subject)) }
            dt { "Names" } dd { (foreign(&certificate.names.join(", "))) }
            dt { "Issuer" } dd { (foreign(&certificate.issuer)) }
            dt { "Valid" } dd { (at(certificate.not_before_s)) " to " (at(certificate.not_after_s)) }
            dt { "Key" } dd { (foreign(&certificate.key)) @if certificate.key_bits > 0 { ", " (certificate.key_bits) " bits" } }
            dt { "Signature" } dd { (foreign(&certificate.signature)) }
            dt { "SHA-1" } dd { code { (foreign(&certificate.thumbprint)) } }
            @if facts.certificates.len() > 1 { dt { "Chain" } dd { (facts.certificates.len()) " certificates" } }
        }
    }
}
