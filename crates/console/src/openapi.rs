//! The description of the API in OpenAPI 3.1. Parameters come from the table that reads them, schemas from the types that
//! are sent.

use axum::Json;
use insight::{Search, Status, views::IncidentView};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    error::ErrorView,
    graph::{self, Collection, Detail, MessageTrace},
    incidents::Incidents,
    parameters::{Form, PARAMETERS, Parameter},
    traces::{History, Page},
};

pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let paths = json!({
        "/api/v1/message-traces": { "get": {
            "operationId": "listMessageTraces",
            "summary": "List what happened to messages, newest first, one row per recipient",
            "parameters": PARAMETERS.iter().map(parameter).collect::<Vec<_>>(),
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<Page>().to_value()),
        } },
        "/api/v1/message-traces/{id}/events": { "get": {
            "operationId": "listEvents",
            "summary": "List all events of one message, in the order of time",
            "parameters": [path_parameter("id", "Network message id")],
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<History<'_>>().to_value()),
        } },
        "/api/v1/incidents": { "get": {
            "operationId": "listIncidents",
            "summary": "List incidents (mail that is or was stuck) with their root causes, open ones first",
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<Incidents>().to_value()),
        } },
        "/api/v1/incidents/{id}": { "get": {
            "operationId": "showIncident",
            "summary": "Show one incident",
            "parameters": [path_parameter("id", "Id of the incident")],
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<IncidentView>().to_value()),
        } },
        "/admin/exchange/tracing/messageTraces": { "get": {
            "operationId": "listGraphMessageTraces",
            "summary": "List message traces in the form of Microsoft Graph; also under /v1.0 and /beta",
            "parameters": [
                query_parameter("$filter", &graph::filter_help(), json!({ "type": "string" })),
                query_parameter("$top", "Maximum number of rows", json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX })),
                query_parameter("$skiptoken", "Start of the page, from @odata.nextLink", json!({ "type": "string" })),
            ],
            "responses":
                responses(&mut schemas, |schemas| schemas.subschema_for::<Collection<MessageTrace<'_>>>().to_value()),
        } },
        "/admin/exchange/tracing/messageTraces/{id}/getDetailsByRecipient(recipientAddress='{recipient}')": { "get": {
            "operationId": "listGraphDetails",
            "summary": "List the events of one message for one recipient, in the form of Microsoft Graph",
            "parameters": [
                path_parameter("id", "Network message id"),
                path_parameter("recipient", "Address of the recipient"),
            ],
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<Collection<Detail>>().to_value()),
        } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatepost",
            "description": "Message traces and incidents of an inbound mail gateway.",
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
        Form::Rows => {
            let about = format!("{about}; {} by default", Search::ROWS);
            query_parameter(name, &about, json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX }))
        }
        Form::Statuses => {
            let names = Status::ALL.map(Status::lower_case_name);
            let items = json!({ "type": "string", "enum": names });
            let mut list = query_parameter(name, about, json!({ "type": "array", "items": items }));
            list["explode"] = false.into();
            list
        }
    }
}

fn query_parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}
