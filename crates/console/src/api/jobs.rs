//! `/api/v1/probes`, `/api/v1/validations`, `/api/v1/jobs`: work that takes longer than a request. The answer names the job, which
//! shows its steps while it runs. Jobs are known to the node that does them, and end with it.

use axum::http::{StatusCode, header};
use insight::views::JobView;
use node::{
    prober::{NotStarted, ProbeOf},
    validation::Mail,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::Right;
use uuid::Uuid;

use super::{
    form::Form,
    listing::{self, PAGE},
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

const JOBS: &str = "/api/v1/jobs";
const ID: Parameter = Parameter::new("id", "Id of the job", Form::Id);
/// Of a connector.
const NAME: Form = Form::Text(100);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::post(
        "/api/v1/probes",
        "startProbe",
        "Open one connection from each node to a destination, as mail does; this sends no mail",
        |asked| Box::pin(probe(asked)),
    )
    .needs(Right::Operator)
    .takes(Takes::JsonOneOf(&[
        Parameter::new("incident", "The destination of this incident", Form::Id),
        Parameter::new("connector", "The first host of this connector", NAME),
        Parameter::new("destination", "This host with its port, such as mail.onprem.test:25", Form::Text(300)),
    ]))
    .gives_as::<JobView>(202)
    .fails(&[Kind::NotFound, Kind::Conflict, Kind::Busy])
    .commands(&["probe"]),
    Operation::post(
        "/api/v1/validations",
        "startValidation",
        "Check whether mail can leave by a connector: resolve, connect, STARTTLS, certificate, RCPT",
        |asked| Box::pin(validate(asked)),
    )
    .needs(Right::Operator)
    .takes(Takes::Json(&[
        Parameter::new("connector", "Name of the connector", NAME).required(),
        Parameter::new(
            "recipient",
            "Go as far as RCPT for this address; without it, as far as the certificate",
            Form::Address,
        ),
        Parameter::new("send", "Send a test message to the recipient", Form::Flag),
    ]))
    .gives_as::<JobView>(202)
    .fails(&[Kind::NotFound, Kind::Conflict, Kind::Busy])
    .commands(&["connector validate"]),
    Operation::get(
        JOBS,
        "listJobs",
        "List the jobs that this client has started on this node, newest first",
        |asked| Box::pin(list(asked)),
    )
    .needs(Right::Operator)
    .query(&PAGE)
    .gives::<Jobs>()
    .fails(&[Kind::NotFound])
    .commands(&["probe", "connector validate"]),
    Operation::get("/api/v1/jobs/{id}", "showJob", "Show a job: its steps so far, and its result", |asked| {
        Box::pin(show(asked))
    })
    .needs(Right::Operator)
    .in_path(&[ID])
    .gives::<JobView>()
    .fails(&[Kind::NotFound])
    .commands(&["probe", "connector validate"])
    .polled(),
    Operation::delete("/api/v1/jobs/{id}", "cancelJob", "Cancel a job; one that has ended stays as it is", |asked| {
        Box::pin(cancel(asked))
    })
    .needs(Right::Operator)
    .in_path(&[ID])
    .fails(&[Kind::NotFound])
    .commands(&["probe", "connector validate"]),
];

#[derive(Serialize, JsonSchema)]
struct Jobs {
    jobs: Vec<JobView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

impl From<NotStarted> for Problem {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::NoIncident => Self::not_found(error.to_string()),
            NotStarted::NoTarget(_) => Self::conflict(error.to_string()),
            NotStarted::TooMany(_) => Self::busy(error.to_string()),
            NotStarted::Store(error) => Self::unreadable(&error),
        }
    }
}

async fn probe(asked: Asked) -> Result<Reply, Problem> {
    let Asked { node, query, client, .. } = &asked;
    let of = match (query.parsed("incident")?, query.owned("connector"), query.owned("destination")) {
        (Some(incident), ..) => ProbeOf::Incident(incident),
        (None, Some(connector), _) => ProbeOf::Connector(connector),
        (None, None, destination) => {
            ProbeOf::Destination { destination: destination.unwrap_or_default(), connector: None }
        }
    };
    started(&asked, node.start_probe(of, &client.name).await?)
}

async fn validate(asked: Asked) -> Result<Reply, Problem> {
    let Asked { node, query, client, .. } = &asked;
    let mail = Mail::read(query.text("recipient"), query.text("send") == Some("true")).map_err(Problem::conflict)?;
    started(&asked, node.start_validation(query.given("connector"), mail, &client.name).await?)
}

fn started(Asked { node, .. }: &Asked, id: Uuid) -> Result<Reply, Problem> {
    let job = node.jobs.get(id).ok_or_else(|| no_job(id))?;
    Ok(Reply::json(&job)?.status(StatusCode::ACCEPTED).header(header::LOCATION, &format!("{JOBS}/{id}")))
}

fn no_job(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no job {id} of this client on this node; jobs are kept for an hour"))
}

/// Of this client only.
fn find(Asked { node, query, client, .. }: &Asked) -> Result<JobView, Problem> {
    let id = query.parsed("id")?.unwrap_or_default();
    node.jobs.get(id).filter(|job| job.owner == client.name).ok_or_else(|| no_job(id))
}

async fn list(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let (jobs, next) = listing::page(JOBS, &query, node.jobs.of(&client.name), |job| job.id.to_string())?;
    Reply::json(&Jobs { jobs, next })
}

async fn show(asked: Asked) -> Result<Reply, Problem> {
    Reply::json(&find(&asked)?)
}

async fn cancel(asked: Asked) -> Result<Reply, Problem> {
    let job = find(&asked)?;
    match asked.node.jobs.cancel(job.id) {
        true => Ok(Reply::nothing()),
        false => Err(no_job(job.id)),
    }
}
