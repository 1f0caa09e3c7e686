//! The description of the API in OpenAPI 3.1, made from what serves it: parameters from the arguments that read them,
//! schemas from the types that are sent.

use axum::Json;
use clap::Arg;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    error::ErrorView,
    graph::{self, Collection, Detail, MessageTrace},
    incidents::Incidents,
    traces::{History, Page, parameter_name, parameters},
};
use crate::cli::IncidentView;

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
            "summary": "What happened to messages, newest first: one row for each recipient",
            "parameters": parameters().iter().map(parameter).collect::<Vec<_>>(),
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<Page<'_>>().to_value()),
        } },
        "/api/v1/message-traces/{id}/events": { "get": {
            "operationId": "listEvents",
            "summary": "All that happened to one message, in order",
            "parameters": [path_parameter("id", "The network message id")],
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<History<'_>>().to_value()),
        } },
        "/api/v1/incidents": { "get": {
            "operationId": "listIncidents",
            "summary": "Mail that is or was stuck, with its root cause; open incidents first",
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<Incidents<'_>>().to_value()),
        } },
        "/api/v1/incidents/{id}": { "get": {
            "operationId": "showIncident",
            "summary": "One incident",
            "parameters": [path_parameter("id", "The incident's id")],
            "responses": responses(&mut schemas, |schemas| schemas.subschema_for::<IncidentView<'_>>().to_value()),
        } },
        "/admin/exchange/tracing/messageTraces": { "get": {
            "operationId": "listGraphMessageTraces",
            "summary": "The same in the shape of Microsoft Graph; also below /v1.0 and /beta",
            "parameters": [
                query_parameter("$filter", &graph::filter_help(), json!({ "type": "string" })),
                query_parameter("$top", "Most rows", json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX })),
                query_parameter("$skiptoken", "As @odata.nextLink has it", json!({ "type": "string" })),
            ],
            "responses":
                responses(&mut schemas, |schemas| schemas.subschema_for::<Collection<MessageTrace<'_>>>().to_value()),
        } },
        "/admin/exchange/tracing/messageTraces/{id}/getDetailsByRecipient(recipientAddress='{recipient}')": { "get": {
            "operationId": "listGraphDetails",
            "summary": "What happened to one message for one recipient, in the shape of Microsoft Graph",
            "parameters": [
                path_parameter("id", "The network message id"),
                path_parameter("recipient", "The recipient's address"),
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
        "200": { "description": "What was found", "content": content(answer(schemas)) },
        "default": { "description": "A refusal or a fault", "content": content(error) },
    })
}

/// A filter, as the command line documents it.
fn parameter(argument: &Arg) -> Value {
    let values = argument.get_possible_values();
    let mut item = json!({ "type": "string" });
    if !values.is_empty() {
        item["enum"] = values.iter().map(|value| value.get_name()).collect();
    }
    let name = parameter_name(argument);
    let mut description = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if name == "limit" {
        item = json!({ "type": "integer", "minimum": 1, "maximum": super::ROWS_MAX });
        description.push_str("; 1000 where it does not say");
    }
    if argument.get_value_delimiter().is_none() {
        return query_parameter(&name, &description, item);
    }
    let mut parameter = query_parameter(&name, &description, json!({ "type": "array", "items": item }));
    parameter["explode"] = false.into();
    parameter
}

fn query_parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}
