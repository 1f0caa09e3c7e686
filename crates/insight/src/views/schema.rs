//! JSON Schemas of types that other crates own.

use schemars::{Schema, SchemaGenerator, json_schema};

pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

pub fn time_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

pub fn right(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["viewer", "tracer", "operator", "administrator"] })
}

pub fn state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["queued", "leased", "suspended", "delivered", "failed", "removed"] })
}

pub fn waiting(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "`waits` names the reason. Other keys depend on it: `until`, `limit`, `by`, `node`, `doing`, \
                        `connector`, `policy` and `last_seen`.",
        "required": ["waits"],
        "properties": { "waits": { "type": "string", "enum": [
            "timer", "connector-limit", "connector-backed-off", "suspended", "restored", "leased", "no-route",
            "policy-forbids", "no-node",
        ] } },
    })
}

pub fn reply(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "required": ["code"],
        "properties": {
            "code": { "type": "integer", "minimum": 200, "maximum": 599 },
            "enhanced": { "type": ["string", "null"], "description": "RFC 3463, such as 4.7.1" },
        },
    })
}

pub fn failure(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "description": "There are also `reply`, `destination` and keys that depend on the kind.",
        "required": ["phase", "kind"],
        "properties": {
            "phase": { "type": "string", "description": "Phase of the conversation, such as starttls or rcpt" },
            "kind": { "type": "string", "description": "Kind of the failure, such as rejected or timed-out" },
        },
    })
}

pub fn tls(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "description": "In the words of OpenSSL.",
        "required": ["version", "cipher"],
        "properties": { "version": { "type": "string" }, "cipher": { "type": "string" } },
    })
}

pub fn phases(_: &mut SchemaGenerator) -> Schema {
    let count = json_schema!({ "type": "integer", "minimum": 0 });
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["phase", "duration_us", "sent_bytes", "received_bytes"],
            "properties": {
                "phase": { "type": "string", "description": "Phase of the conversation, such as starttls or rcpt" },
                "duration_us": count,
                "sent_bytes": count,
                "received_bytes": count,
            },
        },
    })
}

pub fn handshake(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "description": "Facts of a TLS handshake: `client_hello`, `server_hello`, `certificates`, `alerts` and others. \
                        A key that does not apply is absent.",
    })
}

pub fn closed_because(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "enum": ["mail-flows", "nothing-pending", "cause-changed", null] })
}

pub fn events(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "description": "There are also keys that depend on the event: `attempt`, `reply`, `failure` and others.",
            "required": ["at", "node", "message", "event"],
            "properties": {
                "at": { "type": "string", "format": "date-time" },
                "node": { "type": "string", "description": "Node that recorded the event" },
                "message": { "type": "string", "format": "uuid", "description": "The network message id" },
                "recipient": { "type": "string", "description": "Absent for an event of the whole message" },
                "event": { "type": "string", "enum": [
                    "received", "delivered", "deferred", "failed", "interrupted", "notified", "notice-withheld",
                    "suspended", "resumed", "retried", "removed",
                ] },
            },
        },
    })
}
