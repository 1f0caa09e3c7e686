//! `/jobs/{id}`: a probe or a validation, each step when it ends. `/probes` and `/validations` start them.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Redirect, Response},
};
use insight::{
    confidence,
    views::{
        ConnectorValidationView, JobKindView, JobResultView, JobStateView, JobStepStateView, JobStepView, JobView,
        NodesProbeView, ProbedFindingView,
    },
};
use jiff::Timestamp;
use maud::{Markup, html};
use node::{
    Node,
    prober::{NotStarted, ProbeOf},
    validation::{self, Mail},
};
use store::Right;
use uuid::Uuid;

use super::{
    Refusal,
    form::{Form, form},
    shell::{Section, Visit},
    words::{ago, foreign, time},
};

/// A page of something that goes on is loaded again after this time, without a script.
const RELOAD: HeaderValue = HeaderValue::from_static("2");

/// Lets the browser load a page again soon.
pub(super) fn reload_soon(page: &mut Response) {
    page.headers_mut().insert(HeaderName::from_static("refresh"), RELOAD);
}

/// POST: a field `incident` (its id), `destination` (host and port; with `connector`, as its mail goes there) or `connector`.
pub(super) async fn probe(State(node): State<Arc<Node>>, form: Form) -> Result<Response, Refusal> {
    let text = |name| form.text(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let of = match (text("incident"), text("destination"), text("connector")) {
        (Some(id), None, None) => {
            let id = id.parse().map_err(|_| Refusal::bad_request("incident: must be the id of an incident"))?;
            ProbeOf::Incident(id)
        }
        (None, Some(destination), connector) => ProbeOf::Destination { destination, connector },
        (None, None, Some(connector)) => ProbeOf::Connector(connector),
        _ => return Err(Refusal::bad_request("incident, destination or connector: give one of them")),
    };
    started(node.start_probe(of, &form.person.name).await)
}

/// POST: a field `connector`; `recipient`, to go on to RCPT; `test_mail`, to send a message to the recipient.
pub(super) async fn validate(State(node): State<Arc<Node>>, form: Form) -> Result<Response, Refusal> {
    let text = |name| form.text(name).map(str::trim).filter(|value| !value.is_empty());
    let connector = text("connector").ok_or_else(|| Refusal::bad_request("connector: is missing"))?;
    let mail = Mail::read(text("recipient"), text("test_mail").is_some());
    let mail = mail.map_err(|error| Refusal::bad_request(format!("recipient: {error}")))?;
    started(node.start_validation(connector, mail, &form.person.name).await)
}

fn started(started: Result<Uuid, NotStarted>) -> Result<Response, Refusal> {
    match started {
        Ok(id) => Ok(Redirect::to(&format!("/jobs/{id}")).into_response()),
        Err(NotStarted::Store(error)) => Err(error.into()),
        Err(error @ NotStarted::NoIncident) => Err(Refusal::not_found(in_words(&error))),
        Err(error @ NotStarted::TooMany(_)) => Err(Refusal::busy(in_words(&error))),
        Err(error @ NotStarted::NoTarget(_)) => Err(Refusal::bad_request(in_words(&error))),
    }
}

fn in_words(error: &NotStarted) -> String {
    insight::sentence(&insight::capitalised(&error.to_string()))
}

/// The job of the person who looks.
fn own(node: &Node, person: &str, id: &str) -> Result<JobView, Refusal> {
    let job = id.parse().ok().and_then(|id| node.jobs.get(id)).filter(|job| job.owner == person);
    let missing =
        "You have no such job on this node. A node forgets a job one hour after its end, and when it restarts.";
    job.ok_or_else(|| Refusal::not_found(missing))
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refusal> {
    let job = own(&visit.node, &visit.person.name, &id)?;
    let title = title(&job);
    let cancel = html! { button { "Cancel" } };
    let body = html! {
        p.kicker { a href="/destinations" { "Destinations" } " / " (kind(job.kind)) }
        h1 { (foreign(&title)) }
        div #job { (state(&job, Timestamp::now())) }
        @if job.state == JobStateView::Running {
            div.buttons { (form(&visit.person, &format!("/jobs/{}/cancel", job.id), &cancel)) }
        }
    };
    let mut page = visit.page(Section::Destinations, &title, &body);
    if job.state == JobStateView::Running {
        reload_soon(&mut page);
    }
    Ok(page)
}

pub(super) async fn cancel(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    form: Form,
) -> Result<Redirect, Refusal> {
    let job = own(&node, &form.person.name, &id)?;
    node.jobs.cancel(job.id);
    Ok(Redirect::to(&format!("/jobs/{}", job.id)))
}

fn kind(kind: JobKindView) -> &'static str {
    match kind {
        JobKindView::Probe => "Probe",
        JobKindView::Validation => "Validation",
    }
}

fn title(job: &JobView) -> String {
    match job.kind {
        JobKindView::Probe => format!("Probe of {}", job.about),
        JobKindView::Validation => format!("Validation of connector {}", job.about),
    }
}

/// The part that changes while the job runs.
pub(super) fn state(job: &JobView, now: Timestamp) -> Markup {
    html! {
        p.lead role="status" { (lead(job, now)) }
        @match &job.result {
            Some(JobResultView::Probe(probe)) => { (probe_result(probe)) },
            Some(JobResultView::Validation(validation)) => { (validation_result(validation)) },
            None => {},
        }
        section {
            h2 { "Steps" }
            (steps(&job.steps))
            p.quiet {
                "Begun " (time(job.began)) " on node " (foreign(&job.node))
                @if job.kind == JobKindView::Probe { ". A probe sends no mail" }
                "."
                @if let Some(expires) = job.expires { " The node forgets this page in " (ago(expires, now)) "." }
            }
        }
    }
}

fn lead(job: &JobView, now: Timestamp) -> Markup {
    match (job.state, &job.why) {
        (JobStateView::Running, _) => {
            html! { "Running for " (ago(job.began, now)) ". This page shows each step when it ends." }
        }
        (JobStateView::Cancelled, _) => html! { "Cancelled." },
        (JobStateView::Failed, why) => {
            let why = why.as_deref().unwrap_or("the reason is not known");
            html! { "It failed: " (foreign(&insight::sentence(why))) }
        }
        (JobStateView::Done, _) => match &job.result {
            Some(JobResultView::Probe(probe)) => html! { (foreign(&probe_lead(probe))) },
            Some(JobResultView::Validation(validation)) if validation.works => {
                html! { "Mail can leave by this connector, from node " (foreign(&validation.node)) " under the policy " (foreign(&validation.tls_policy)) "." }
            }
            Some(JobResultView::Validation(_)) => html! { "Mail cannot leave by this connector." },
            None => html! { "Done." },
        },
    }
}

fn probe_lead(probe: &NodesProbeView) -> String {
    let asked = probe.nodes.iter().filter_map(|node| node.works);
    let (all, works) = (asked.clone().count(), asked.filter(|works| *works).count());
    let from = match (works, all) {
        (_, 0) => "No node made a connection.".to_owned(),
        (works, all) if works == all => format!("Mail can go there from {}.", insight::counted(all as u64, "node")),
        (0, all) => format!("Mail fails from {}.", insight::counted(all as u64, "node")),
        (works, all) => format!("Mail can go there from {works} of {all} nodes."),
    };
    let change = probe.smallest_change.as_ref();
    let change = change.map(|change| format!(" Under {}, it works {change}.", probe.policy)).unwrap_or_default();
    format!("{from}{change}")
}

/// Solid: failed. Hollow: worked. The word says the same.
pub(super) fn mark(state: JobStepStateView) -> Markup {
    let (class, word) = match state {
        JobStepStateView::Running => ("runs", "running"),
        JobStepStateView::Worked => ("works", "worked"),
        JobStepStateView::Warned => ("waits", "look at it"),
        JobStepStateView::Failed => ("fails", "failed"),
        JobStepStateView::Skipped => ("skipped", "not made"),
    };
    html! { span class=(format!("key {class}")) {} (word) }
}

fn steps(steps: &[JobStepView]) -> Markup {
    let has_nodes = steps.iter().any(|step| step.node.is_some());
    let places = steps.chunk_by(|a, b| a.place == b.place);
    html! {
        @if steps.is_empty() { p { "No step has begun yet." } } @else {
            table.stack.steps {
                thead {
                    tr {
                        @if has_nodes { th scope="col" { "From" } }
                        th scope="col" { "Step" } th scope="col" { "Result" } th scope="col" { "Detail" } th.number scope="col" { "Time" }
                    }
                }
                @for steps in places {
                    tbody {
                        @if let Some(place) = steps.first().and_then(|step| step.place.as_deref()) {
                            tr { th scope="rowgroup" colspan=(4 + usize::from(has_nodes)) { (foreign(place)) } }
                        }
                        @for step in steps { (step_row(step, has_nodes)) }
                    }
                }
            }
        }
    }
}

fn step_row(step: &JobStepView, has_nodes: bool) -> Markup {
    let took = step.took_ms.filter(|_| step.state != JobStepStateView::Skipped);
    html! {
        tr {
            @if has_nodes { td.word data-label="From" { (foreign(step.node.as_deref().unwrap_or("this node"))) } }
            th scope="row" { (foreign(&insight::capitalised(&step.what))) }
            td.word data-label="Result" { (mark(step.state)) }
            td data-label="Detail" { (foreign(step.detail.as_deref().unwrap_or_default())) }
            td.number data-label="Time" { @if let Some(took) = took { (format!("{took:.1}")) " ms" } }
        }
    }
}

fn probe_result(probe: &NodesProbeView) -> Markup {
    html! {
        @if let Some(ProbedFindingView { cause, confidence_before, confidence: after, experiment }) = &probe.finding {
            section {
                h2 { "What it says about the cause" }
                p { (foreign(&insight::sentence(&experiment.because))) }
                p {
                    code { (foreign(cause)) } ": "
                    @if confidence_before == after { "still " (confidence(cause, *after)) }
                    @else { (confidence(cause, *after)) ", before the probe " (confidence(cause, *confidence_before)) }
                    "."
                }
            }
        }
    }
}

fn validation_result(validation: &ConnectorValidationView) -> Markup {
    let soon = validation::certificates(validation).collect::<Vec<_>>();
    html! {
        @for (address, expires) in soon {
            p { "The certificate of " (foreign(&address.to_string())) " is valid until " (time(expires)) "." }
        }
    }
}

/// A button that starts a probe.
pub(super) fn probe_button(visit: &Visit, field: &str, value: &str, nodes: usize) -> Markup {
    let button = html! {
        input type="hidden" name=(field) value=(value);
        button { "Probe from " (insight::counted(nodes as u64, "node")) }
    };
    html! { @if visit.person.may(Right::Operator) { (form(&visit.person, "/probes", &button)) } }
}

/// The form that starts a validation.
pub(super) fn validation_form(visit: &Visit, connector: &str) -> Markup {
    let fields = html! {
        input type="hidden" name="connector" value=(connector);
        p {
            label for="recipient" { "Recipient, to go on to RCPT (optional)" }
            input #recipient type="text" inputmode="email" name="recipient" autocomplete="off";
        }
        p.tick { input #test-mail type="checkbox" name="test_mail" value="yes"; label for="test-mail" { "Send a test message to this recipient" } }
        p { button { "Validate" } }
    };
    html! { @if visit.person.may(Right::Operator) { div.fields { (form(&visit.person, "/validations", &fields)) } } }
}
