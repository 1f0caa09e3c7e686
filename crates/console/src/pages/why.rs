//! `/why?what=&since=`: findings on demand, even where no incident has opened, with the same pictures.

use std::time::Duration;

use axum::response::Response;
use insight::{Moment, capitalised, confidence, counted, ending, sentence, views::FindingView};
use jiff::Timestamp;
use maud::{Markup, html};
use node::question::{Findings, findings};
use store::{Right, StoreError};

use super::{
    Refusal,
    asked::Asked,
    pictures::{Pictures, Subject, prose},
    shell::{Section, Visit},
    words::{number, said, time},
};

/// How long history is read for one page.
const BUDGET: Duration = Duration::from_secs(2);
/// Time range of a request without a time, as text.
const DEFAULT_SINCE: &str = "24h";
/// Findings that are shown with pictures, and findings that are shown.
const PICTURES_MAX: usize = 3;
const SHOWN_MAX: usize = 20;
/// Characters of a question.
const WHAT_MAX: usize = 320;

pub(super) async fn show(mut asked: Asked, visit: Visit) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let (what, since) = (asked.take("what")?, asked.take("since")?);
    asked.end()?;
    let what = what.as_deref().map(str::trim).filter(|what| !what.is_empty());
    if what.is_some_and(|what| what.chars().count() > WHAT_MAX) {
        return Err(Refusal::bad_request(
            "what: is too long; give an address, a domain, a connector, a host or an id.",
        ));
    }
    if what.is_some_and(insight::names_mail) && !visit.person.may(Right::Tracer) {
        return Err(Refusal::forbidden(Right::Tracer));
    }
    let since_text = since.as_deref().map(str::trim).filter(|since| !since.is_empty()).unwrap_or(DEFAULT_SINCE);
    let since: Moment = since_text.parse().map_err(|error| Refusal::bad_request(format!("since: {error}")))?;
    let since = since.timestamp(now);
    if since > now {
        return Err(Refusal::bad_request("since: must be in the past."));
    }
    let found = findings(&visit.node, what, since, BUDGET).await.map_err(refusal)?;
    let shown = results(&visit, &found, what, now).await?;
    let body = html! {
        h1 { "Why" }
        (form(what.unwrap_or_default(), since_text))
        div #findings { (shown) }
    };
    Ok(visit.page(Section::Incidents, "Why", &body))
}

/// What the person has asked for does not exist, or the store could not be read.
fn refusal(error: anyhow::Error) -> Refusal {
    match error.chain().any(|cause| cause.is::<StoreError>()) {
        true => Refusal::unreadable(&format!("{error:#}")),
        false => Refusal::bad_request(format!("what: {}", sentence(&error.to_string()))),
    }
}

fn form(what: &str, since: &str) -> Markup {
    html! {
        form.question method="get" action="/why" role="search" {
            p {
                label for="what" { "What" }
                input #what name="what" value=(what) maxlength=(WHAT_MAX) autocomplete="off"
                    placeholder="address, domain, connector, host, message id";
            }
            p { label for="since" { "Since" } input #since name="since" value=(since) size="12" aria-describedby="since-hint"; }
            p { button.primary { "Look" } }
        }
        p.quiet #since-hint { "Since: a time span such as 2h or 7d, or a time. Without “What”, all mail is compared." }
    }
}

async fn results(visit: &Visit, found: &Findings, what: Option<&str>, now: Timestamp) -> Result<Markup, Refusal> {
    let right = visit.person.right;
    let mut shown = Vec::new();
    for (finding, picture) in found.findings.iter().take(SHOWN_MAX) {
        let subject = Subject { finding, connector: finding.scope.connector.as_deref(), until: now };
        let pictures = match shown.len() < PICTURES_MAX {
            true => Some(Pictures::read(&visit.node.store, picture.clone(), subject).await?),
            false => None,
        };
        shown.push(one(finding, pictures.as_ref(), right, shown.len()));
    }
    let more = found.findings.len().saturating_sub(SHOWN_MAX);
    Ok(html! {
        p.quiet {
            "Compared " (counted(found.read.attempts, "attempt")) " of " (counted(found.read.messages, "message")) "."
            @if let Some(since) = found.read_since {
                " The search ended after " (BUDGET.as_secs()) " seconds, at messages received " (time(since))
                ": earlier ones were not read. Ask about a connector or a shorter time to read all."
            }
        }
        @if found.is_unknown {
            p { "No message, address, domain, connector or host is named " (said(what.unwrap_or_default(), right)) " in this time." }
        } @else if found.findings.is_empty() {
            p { "No findings." }
        }
        @for one in &shown { (one) }
        @if more > 0 { p.quiet { (counted(more as u64, "more finding")) " not shown." } }
    })
}

fn one(finding: &FindingView, pictures: Option<&Pictures>, right: Right, number_of: usize) -> Markup {
    html! {
        article.finding id=(format!("finding-{}", number_of + 1)) {
            h2 { (said(&capitalised(&finding.headline), right)) }
            p.lead { (said(&sentence(&capitalised(&finding.numbers)), right)) }
            dl.figures {
                div { dt { "State" } dd { (capitalised(&finding.state)) } }
                div { dt { "Cause" } dd { code { (said(&finding.cause, right)) } ", " (confidence(&finding.cause, finding.confidence)) } }
                @if finding.messages_known { div { dt { "Waiting" } dd { (number(finding.messages_pending)) } } }
                @if let Some(last) = finding.last_seen { div { dt { "Last failure" } dd { (time(last)) } } }
            }
            @if let Some(ending) = ending(finding) { p { (said(&ending, right)) } }
            @if let Some(pictures) = pictures { (pictures.sections(finding, right, Some(number_of + 1))) }
            (remedies(finding, right))
        }
    }
}

fn remedies(finding: &FindingView, right: Right) -> Markup {
    html! {
        @if !finding.remedy.is_empty() {
            h3 { "What to do" }
            ul {
                @for remedy in &finding.remedy {
                    li { b { (capitalised(&remedy.side)) ": " } (prose(&sentence(&remedy.action), right)) }
                }
            }
            p { "Check: " code { (said(&finding.check, right)) } }
        }
    }
}
