//! The description of the API in OpenAPI 3.1, made from the tables of operations: parameters from what reads them, schemas
//! from the types that are sent, examples from both.

use node::config::ApiScope;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    examples::{self, example},
    operation::{Gives, Operation, Takes},
    problem::{MEDIA_TYPE, ProblemView},
    query::Parameter,
};

/// The document for these operations.
pub(super) fn document<'a>(title: &str, about: &str, operations: impl Iterator<Item = &'a Operation>) -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let described = describe(&mut schemas, operation);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.name()] = described;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "description": about,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The list of an operation has the scope that the token needs. Each scope includes those before \
                                it: look, trace, operate, administer.",
            } },
            "schemas": schemas.take_definitions(true),
        },
    });
    add_examples(&mut document);
    document
}

fn describe(schemas: &mut SchemaGenerator, operation: &Operation) -> Value {
    let in_path = operation.in_path.iter().map(|parameter| described(parameter, "path"));
    let in_query = operation.query.iter().map(|parameter| described(parameter, "query"));
    let mut parameters: Vec<Value> = in_path.chain(in_query).collect();
    if let Some(header) = operation.header {
        parameters.push(described(&header, "header"));
    }
    let mut value = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(schemas, operation),
        "security": [{ "token": [ApiScope::of_right(operation.needs).name()] }],
    });
    if !operation.commands.is_empty() {
        let commands: Vec<String> = operation.commands.iter().map(|command| format!("`gatepost {command}`")).collect();
        value["description"] = format!("The same as {}.", commands.join(", ")).into();
    }
    match operation.body {
        Takes::Nothing => {}
        Takes::Json(known) | Takes::JsonOneOf(known) => {
            let mut schema = object(known, "");
            if matches!(operation.body, Takes::JsonOneOf(_)) {
                schema["minProperties"] = 1.into();
                schema["maxProperties"] = 1.into();
            }
            let example = example(&schema, &Value::Null, "");
            let content = json!({ "application/json": { "schema": schema, "example": example } });
            value["requestBody"] = json!({ "required": true, "content": content });
        }
    }
    value
}

fn described(parameter: &Parameter, place: &str) -> Value {
    let Parameter { name, about, form, is_required } = parameter;
    let schema = form.schema();
    let mut value = json!({
        "name": name, "in": place, "description": about, "example": example(&schema, &Value::Null, name),
    });
    if *is_required || place == "path" {
        value["required"] = true.into();
    }
    if schema["type"] == "array" {
        value["explode"] = false.into();
    }
    value["schema"] = schema;
    value
}

/// The schema of the keys that have this prefix.
fn object(known: &[Parameter], within: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for parameter in known {
        let Some(name) = parameter.name.strip_prefix(within).filter(|name| !name.contains('.')) else { continue };
        let mut schema = parameter.form.schema();
        if schema["type"] == "object" {
            schema = object(known, &format!("{}.", parameter.name));
        }
        schema["description"] = parameter.about.into();
        if parameter.is_required {
            required.push(name);
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn responses(schemas: &mut SchemaGenerator, operation: &Operation) -> Value {
    let mut responses = Map::new();
    let (status, mut success) = match operation.gives {
        Gives::Json(status, schema) => {
            let content = json!({ "application/json": { "schema": schema(schemas) } });
            (status, json!({ "description": "The result", "content": content }))
        }
        Gives::Other(media_type) => {
            (200, json!({ "description": "The result", "content": { media_type: { "schema": {} } } }))
        }
        Gives::Nothing => (204, json!({ "description": "Done" })),
    };
    if operation.is_polled {
        let about = "Version of the answer, for If-None-Match";
        success["headers"] = json!({ "ETag": { "description": about, "schema": { "type": "string" } } });
        responses.insert("304".to_owned(), json!({ "description": "It is the version that If-None-Match names" }));
    }
    responses.insert(status.to_string(), success);
    let schema = schemas.subschema_for::<ProblemView<'_>>().to_value();
    for kind in operation.kinds() {
        let content = json!({ MEDIA_TYPE: { "schema": schema, "example": examples::problem(kind) } });
        let response = json!({ "description": kind.title(), "content": content });
        responses.insert(kind.status().to_string(), response);
    }
    responses.into()
}

/// Each answer gets an example, once all schemas are there.
fn add_examples(document: &mut Value) {
    let definitions = document["components"]["schemas"].clone();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in operations {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        let contents =
            responses.values_mut().filter_map(|response| response.get_mut("content")?.get_mut("application/json"));
        for content in contents {
            let schema = content["schema"].clone();
            content["example"] = example(&schema, &definitions, "");
        }
    }
}
