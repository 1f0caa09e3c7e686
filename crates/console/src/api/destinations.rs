//! `/api/v1/destinations`, `/api/v1/connectors`: what each address of a destination has shown to each node, and how mail leaves.

use insight::views::{ConnectorView, DestinationView};
use protocol::host_port;
use schemars::JsonSchema;
use serde::Serialize;
use store::Right;

use super::{
    form::{Form, Shape},
    listing::{self, PAGE},
    operation::{Asked, Operation},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

const DESTINATIONS: &str = "/api/v1/destinations";
const CONNECTORS: &str = "/api/v1/connectors";

const NAME: Parameter = Parameter::new("destination", "Host and port", Form::Shaped(&DESTINATION));

static DESTINATION: Shape = Shape {
    pattern: "^[A-Za-z0-9._:\\[\\]-]{1,253}:[1-9][0-9]{0,4}$",
    is: is_destination,
    what: "a host with its port, such as mail.onprem.test:25",
    example: "mail.onprem.test:25",
};

fn is_destination(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"._:[]-".contains(&b);
    let is_port = (1..=5).contains(&port.len()) && !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit());
    (1..=253).contains(&host.len()) && host.bytes().all(is_host) && is_port
}

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        DESTINATIONS,
        "listDestinations",
        "List the destinations of the last attempts: what each address has shown to each node",
        |asked| Box::pin(list(asked)),
    )
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Destinations>()
    .fails(&[Kind::NotFound])
    .commands(&["changes"]),
    Operation::get("/api/v1/destinations/{destination}", "showDestination", "Show one destination", |asked| {
        Box::pin(show(asked))
    })
    .needs(Right::Viewer)
    .in_path(&[NAME])
    .gives::<DestinationView>()
    .fails(&[Kind::NotFound])
    .commands(&["changes"]),
    Operation::get(CONNECTORS, "listConnectors", "List the connectors with their hosts, TLS and limits", |asked| {
        Box::pin(connectors(asked))
    })
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Connectors>()
    .fails(&[Kind::NotFound])
    .commands(&["connector list"]),
];

#[derive(Serialize, JsonSchema)]
struct Destinations {
    /// By host and port.
    destinations: Vec<DestinationView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Connectors {
    /// The built-in one comes last.
    connectors: Vec<ConnectorView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

fn name(destination: &DestinationView) -> String {
    host_port::join(&destination.host, Some(destination.port))
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let all = insight::destinations(&node.store, None).await?;
    let (destinations, next) = listing::page(DESTINATIONS, &query, all, name)?;
    Reply::json(&Destinations { destinations, next })
}

async fn show(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let wanted = query.given("destination");
    let all = insight::destinations(&node.store, None).await?;
    let found = all.iter().find(|destination| name(destination).eq_ignore_ascii_case(wanted));
    Reply::json(found.ok_or_else(|| Problem::not_found(format!("no node has connected to {wanted} lately")))?)
}

async fn connectors(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let all = node::connectors(&node.config.load());
    let (connectors, next) = listing::page(CONNECTORS, &query, all, |connector| connector.name.clone())?;
    Reply::json(&Connectors { connectors, next })
}
