//! The JSON body of a request.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, header},
};
use serde_json::Value;

use super::{
    problem::Problem,
    query::{Parameter, Query},
};

/// Of a request, in bytes.
const BODY_MAX: usize = 256 * 1024;

/// Only JSON is read: pages of other sites can send forms and plain text without being asked.
/// `is_one_of`: exactly one key is expected.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    known: &[Parameter],
    is_one_of: bool,
) -> Result<Query, Problem> {
    if !is_json(headers) {
        return Err(Problem::not_json());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAX) {
        return Err(Problem::too_large(BODY_MAX));
    }
    let body = to_bytes(body, BODY_MAX).await.map_err(|_| Problem::too_large(BODY_MAX))?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) if is_one_of && object.len() != 1 => {
            let keys = known.iter().map(|parameter| parameter.name).filter(|name| !name.contains('.'));
            let keys = keys.collect::<Vec<_>>().join(", ");
            Err(Problem::bad_request(format!("the body must have exactly one of these keys: {keys}")))
        }
        Ok(Value::Object(object)) => Ok(Query::read_json(&object, known)?),
        Ok(_) => Err(Problem::bad_request("the body must be a JSON object")),
        Err(error) => Err(Problem::bad_request(format!("the body is not JSON: {error}"))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let name = kind.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::api::form::Form;

    const KNOWN: [Parameter; 1] = [Parameter::new("expect", "", Form::Count { min: 0, max: 9 })];

    async fn read(kind: Option<&'static str>, body: Vec<u8>) -> Result<Query, u16> {
        let kind = kind.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind)));
        let headers = HeaderMap::from_iter(kind);
        read_json(&headers, Body::from(body), &KNOWN, false).await.map_err(|problem| problem.kind().status())
    }

    #[tokio::test]
    async fn only_json_of_a_bounded_size_is_read() {
        let body = || b"{\"expect\": 3}".to_vec();
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(read(Some(kind), body()).await.unwrap().text("expect"), Some("3"), "{kind}");
        }
        for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")] {
            assert_eq!(read(kind, body()).await, Err(415), "{kind:?}");
        }
        let json = Some("application/json");
        assert_eq!(read(json, vec![b' '; BODY_MAX + 1]).await, Err(413));
        let deep = "[".repeat(10_000).into_bytes();
        for body in [b"".to_vec(), b"[]".to_vec(), b"{".to_vec(), b"\xff".to_vec(), b"{\"other\": 1}".to_vec(), deep] {
            assert_eq!(read(json, body.clone()).await, Err(400), "{body:?}");
        }
    }
}
