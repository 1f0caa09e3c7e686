//! The description of the API in OpenAPI 3.1. Parameters come from the table that reads them, schemas from the types that
//! are sent.

use axum::Json;
use insight::{By, ChangeSearch, Search, Status, views::IncidentView};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};
use store::{TallyBy, TallyStep};

use super::{
    error::ErrorView,
    fleet::{Ledger, Nodes},
    graph::{self, Collection, Detail, MessageTrace},
    incidents::Incidents,
    over_time::{CHANGES, Changes, Tallies},
    parameters::{Form, PARAMETERS, Parameter},
    queue::{BY, Counts, Groups},
    traces::{AttemptView, History, Page},
};

pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let paths: serde_json::Map<String, Value> =
        [traces, state, over_time, as_graph].into_iter().flat_map(|paths| paths(&mut schemas)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatepost",
            "description": "Message traces, incidents, queue and fleet of an inbound mail gateway.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas.take_definitions(true),
        },
    })
}

/// A path that is read, with its description.
type Path = (String, Value);

fn read<T: JsonSchema>(
    schemas: &mut SchemaGenerator,
    path: &str,
    id: &str,
    summary: &str,
    parameters: Vec<Value>,
) -> Path {
    let responses = responses(schemas, |schemas| schemas.subschema_for::<T>().to_value());
    let get = json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
    (path.to_owned(), json!({ "get": get }))
}

fn traces(schemas: &mut SchemaGenerator) -> Vec<Path> {
    let filters = PARAMETERS.iter().map(parameter).collect();
    let message = vec![path_parameter("id", "Network message id")];
    vec![
        read::<Page>(
            schemas,
            "/api/v1/message-traces",
            "listMessageTraces",
            "List what happened to messages, newest first, one row per recipient",
            filters,
        ),
        read::<History<'_>>(
            schemas,
            "/api/v1/message-traces/{id}/events",
            "listEvents",
            "List all events of one message, in the order of time",
            message.clone(),
        ),
        read::<AttemptView>(
            schemas,
            "/api/v1/message-traces/{id}/attempts/{session}",
            "showAttempt",
            "Show one attempt, with what was said in its session, whichever node made it",
            [message, vec![path_parameter("session", "Session of the attempt, as its event names it")]].concat(),
        ),
    ]
}

/// What is so now: incidents, queue and fleet.
fn state(schemas: &mut SchemaGenerator) -> Vec<Path> {
    let by = query_parameter(
        "by",
        "The property that the deliveries of a group share; cause by default",
        json!({ "type": "string", "enum": BY.map(By::name) }),
    );
    vec![
        read::<Incidents>(
            schemas,
            "/api/v1/incidents",
            "listIncidents",
            "List incidents (mail that is or was stuck) with their root causes, open ones first",
            Vec::new(),
        ),
        read::<IncidentView>(
            schemas,
            "/api/v1/incidents/{id}",
            "showIncident",
            "Show one incident",
            vec![path_parameter("id", "Id of the incident")],
        ),
        read::<Groups>(
            schemas,
            "/api/v1/queue/groups",
            "listQueueGroups",
            "List what waits, in groups that share a property",
            vec![by],
        ),
        read::<Counts>(
            schemas,
            "/api/v1/queue/counts",
            "countQueue",
            "Count what waits, by connector and state",
            Vec::new(),
        ),
        read::<Nodes>(
            schemas,
            "/api/v1/nodes",
            "listNodes",
            "List the nodes of the fleet: who runs, what each does, and who is drained",
            Vec::new(),
        ),
        read::<Ledger>(
            schemas,
            "/api/v1/ledger",
            "listLedger",
            "List deliveries in plaintext or below the TLS policy modern, by destination",
            Vec::new(),
        ),
    ]
}

fn over_time(schemas: &mut SchemaGenerator) -> Vec<Path> {
    let text = || json!({ "type": "string" });
    let list = |name: &str, about: &str, names: Vec<&str>| {
        let items = json!({ "type": "string", "enum": names });
        let mut list = query_parameter(name, about, json!({ "type": "array", "items": items }));
        list["explode"] = false.into();
        list
    };
    let range = || {
        vec![
            query_parameter("since", "From this time on: a date and time, or how long ago, such as 2h or 3d", text()),
            query_parameter("until", "Before this time", text()),
        ]
    };
    let step = json!({ "type": "string", "enum": TallyStep::ALL.map(TallyStep::name) });
    let tallies = [
        list("by", "Count separately by these; outcome by default", TallyBy::ALL.map(TallyBy::name).to_vec()),
        query_parameter("step", "Length of the time that one row covers; hour by default", step),
    ];
    let changes = [
        list("kind", "Only changes of these kinds", ChangeSearch::KINDS.to_vec()),
        query_parameter("node", "Only changes that are about this node, or that it saw", text()),
        limit_parameter(CHANGES),
        query_parameter("after", "Start of this page, as the previous page gives it", text()),
    ];
    vec![
        read::<Tallies>(
            schemas,
            "/api/v1/tallies",
            "listTallies",
            "Count deliveries by the hour or minute: accepted, delivered, deferred, bounced",
            [range(), tallies.to_vec()].concat(),
        ),
        read::<Changes>(
            schemas,
            "/api/v1/changes",
            "listChanges",
            "List what changed, newest first: starts, reloads, rollouts, commands, incidents, destinations",
            [range(), changes.to_vec()].concat(),
        ),
    ]
}

/// The same in the form of Microsoft Graph.
fn as_graph(schemas: &mut SchemaGenerator) -> Vec<Path> {
    let filter = query_parameter("$filter", &graph::filter_help(), json!({ "type": "string" }));
    let top = json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX });
    let top = query_parameter("$top", "Maximum number of rows", top);
    let start = query_parameter("$skiptoken", "Start of the page, from @odata.nextLink", json!({ "type": "string" }));
    vec![
        read::<Collection<MessageTrace<'_>>>(
            schemas,
            "/admin/exchange/tracing/messageTraces",
            "listGraphMessageTraces",
            "List message traces in the form of Microsoft Graph; also under /v1.0 and /beta",
            vec![filter, top, start],
        ),
        read::<Collection<Detail>>(
            schemas,
            "/admin/exchange/tracing/messageTraces/{id}/getDetailsByRecipient(recipientAddress='{recipient}')",
            "listGraphDetails",
            "List the events of one message for one recipient, in the form of Microsoft Graph",
            vec![path_parameter("id", "Network message id"), path_parameter("recipient", "Address of the recipient")],
        ),
    ]
}

fn responses(schemas: &mut SchemaGenerator, answer: impl Fn(&mut SchemaGenerator) -> Value) -> Value {
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let error = schemas.subschema_for::<ErrorView<'_>>().to_value();
    json!({
        "200": { "description": "The result", "content": content(answer(schemas)) },
        "default": { "description": "An error", "content": content(error) },
    })
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter { name, about, form, .. } = parameter;
    match form {
        Form::Text => query_parameter(name, about, json!({ "type": "string" })),
        Form::Rows => limit_parameter(Search::ROWS),
        Form::Statuses => {
            let names = Status::ALL.map(Status::lower_case_name);
            let items = json!({ "type": "string", "enum": names });
            let mut list = query_parameter(name, about, json!({ "type": "array", "items": items }));
            list["explode"] = false.into();
            list
        }
    }
}

fn limit_parameter(default: u32) -> Value {
    let about = format!("Maximum number of rows; {default} by default");
    query_parameter("limit", &about, json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX }))
}

fn query_parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}
