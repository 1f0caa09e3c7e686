//! Examples for OpenAPI, made from schemas: a value of its form for each parameter, and an answer for each operation.

use serde_json::{Map, Value, json};

use super::problem::Kind;

/// Values of names that occur in several places; the first with a fitting type counts.
const KNOWN: [(&str, &str); 39] = [
    ("at", "2026-07-30T12:00:00Z"),
    ("by", "ana"),
    ("cause", "no-shared-cipher"),
    ("change", "rollout-set"),
    ("cipher", "RC4-SHA"),
    ("ciphers", "ECDHE+AESGCM"),
    ("code", "4.7.1"),
    ("command", "gatepost queue list --connector onprem"),
    ("connector", "onprem"),
    ("destination", "mail.onprem.test:25"),
    ("from", "legacy"),
    ("from_ip", "192.0.2.7"),
    ("group", "onprem"),
    ("host", "mail.onprem.test"),
    ("message_id", "20260730120000.1@partner.test"),
    ("name", "monitoring"),
    ("node", "mx1"),
    ("nodes", "mx1"),
    ("policy", "intermediate"),
    ("recipient", "user@onprem.test"),
    ("remedy", "Set tls_policy = \"legacy\" on connector onprem."),
    ("sender", "ana@partner.test"),
    ("session", "08DF4D549346540D"),
    ("since", "2h"),
    ("size_max", "10MiB"),
    ("size_min", "1KiB"),
    ("subject", "Invoice 4711"),
    ("subject_ends_with", "4711"),
    ("subject_starts_with", "Invoice"),
    ("tls", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
    ("tls_policy", "intermediate"),
    ("tls_version", "1.2"),
    ("to", "intermediate"),
    ("to_ip", "198.51.100.25"),
    ("until", "2026-07-30T12:00:00Z"),
    ("version", "1.0.0"),
    ("what", "onprem"),
    ("who", "ana"),
    ("expires", "90d"),
];

const REFERENCE: &str = "#/components/schemas/";

/// The schema that another one refers to.
fn resolved<'a>(schema: &'a Value, definitions: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(REFERENCE)) {
        Some(name) => &definitions[name],
        None => schema,
    }
}

/// A value that the schema accepts. `name`: of the property or parameter.
pub(super) fn example(schema: &Value, definitions: &Value, name: &str) -> Value {
    made(schema, definitions, name, 0)
}

/// Schemas that contain themselves end here.
const DEPTH_MAX: u32 = 12;

fn made(schema: &Value, definitions: &Value, name: &str, depth: u32) -> Value {
    let schema = resolved(schema, definitions);
    let choices = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    if let Some(example) = schema["examples"].as_array().and_then(|examples| examples.first()) {
        return example.clone();
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|names| names.first()) {
        return first.clone();
    }
    let type_name = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    };
    let of_choice = choices.map(|choice| resolved(choice, definitions)).find(|choice| choice["type"] != "null");
    match (type_name, of_choice) {
        (None, Some(choice)) => made(choice, definitions, name, depth + 1),
        (Some("object"), choice) => object(schema, choice, definitions, depth),
        (Some("array"), _) if depth > DEPTH_MAX => json!([]),
        (Some("array"), _) => json!([made(&schema["items"], definitions, name, depth + 1)]),
        (Some("integer" | "number"), _) => number(schema),
        (Some("boolean"), _) => json!(true),
        (Some("string"), _) => json!(text(schema, name)),
        (Some(_), _) => Value::Null,
        (None, None) if schema["properties"].is_object() => object(schema, None, definitions, depth),
        (None, None) => Value::Null,
    }
}

/// `choice`: keys that come beside, where a type is flattened into another one.
fn object(schema: &Value, choice: Option<&Value>, definitions: &Value, depth: u32) -> Value {
    let mut object = Map::new();
    if depth > DEPTH_MAX {
        return object.into();
    }
    let parts = [Some(schema), choice];
    let of_all = schema["allOf"].as_array().into_iter().flatten();
    for part in parts.into_iter().flatten().chain(of_all) {
        let part = resolved(part, definitions);
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            if schema["maxProperties"].as_u64().is_some_and(|most| object.len() as u64 >= most) {
                break;
            }
            object.entry(key).or_insert_with(|| made(property, definitions, key, depth + 1));
        }
    }
    object.into()
}

fn number(schema: &Value) -> Value {
    let minimum = schema["minimum"].as_u64().unwrap_or(0);
    let maximum = schema["maximum"].as_u64().unwrap_or(u64::MAX);
    json!(50_u64.clamp(minimum, maximum))
}

fn text(schema: &Value, name: &str) -> String {
    let of_format = match schema["format"].as_str() {
        Some("uuid") => Some("0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"),
        Some("date-time") => Some("2026-07-30T12:00:00Z"),
        Some("ip" | "ipv4") => Some("192.0.2.7"),
        Some("ipv6") => Some("2001:db8::1"),
        Some("uri") => Some("urn:gatepost:problem:bad-request"),
        _ => None,
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let known = || KNOWN.iter().find(|(known, _)| *known == last).map(|(_, value)| *value);
    of_format.or_else(known).unwrap_or("text").to_owned()
}

/// A problem of that kind.
pub(super) fn problem(kind: Kind) -> Value {
    let detail = match kind {
        Kind::BadRequest => "limit: must be a number from 1 to 5000",
        Kind::TokenRequired => "a token is required; add the header Authorization: Bearer TOKEN",
        Kind::NotAllowed => "this needs the scope operate",
        Kind::NotFound => "there is no message 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e",
        Kind::MethodNotAllowed => "the header Allow names the methods of this path",
        Kind::Conflict => "101 deliveries match now, and 61 were expected; look again",
        Kind::Changed => "version 4 is in force, not 3",
        Kind::TooLarge => "the body may have at most 262144 bytes",
        Kind::NotJson => "send JSON, with the header Content-Type: application/json",
        Kind::VersionRequired => "add the header If-Match with the ETag of GET /api/v1/rollout",
        Kind::Busy => "8 jobs are in progress; wait for one of them, or cancel one",
        Kind::Unreadable => "failed to read the store; the log of the node shows why",
        Kind::TimedOut => "the search took too long; add conditions, for example a shorter time range",
    };
    let mut problem = json!({ "type": kind.uri(), "title": kind.title(), "status": kind.status(), "detail": detail });
    if kind == Kind::BadRequest {
        problem["errors"] = json!([{ "parameter": "limit", "detail": "must be a number from 1 to 5000" }]);
    }
    problem
}
