//! What an operation answers. People who may not see addresses get none, whatever text has them.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use insight::Addresses;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

enum Content {
    Nothing,
    Json(Vec<u8>),
    Other(Body),
}

impl Reply {
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let json = serde_json::to_vec(value).map_err(|error| Problem::unreadable(&error))?;
        Ok(Self { status: StatusCode::OK, headers: HeaderMap::new(), content: Content::Json(json) }
            .header(header::CONTENT_TYPE, "application/json"))
    }

    pub(crate) fn other(media_type: &'static str, body: Body) -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), content: Content::Other(body) }
            .header(header::CONTENT_TYPE, media_type)
    }

    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), content: Content::Nothing }
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A value that is not ASCII is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// `known`: the version that the client has, which it need not get again.
    pub(super) fn response(
        self,
        is_blind: bool,
        has_etag: bool,
        known: Option<&HeaderValue>,
    ) -> Result<Response, Problem> {
        let Self { status, mut headers, content } = self;
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let body = match content {
            Content::Nothing => Body::empty(),
            Content::Other(body) => body,
            Content::Json(json) => {
                let json = if is_blind { without_addresses(&json)? } else { json };
                if has_etag {
                    let etag = etag(&headers, &json);
                    // The client may keep it, to ask whether it is still so.
                    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
                    if known.is_some_and(|known| is_among(known, &etag)) {
                        headers.remove(header::CONTENT_TYPE);
                        headers.insert(header::ETAG, etag);
                        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
                    }
                    headers.insert(header::ETAG, etag);
                }
                Body::from(json)
            }
        };
        Ok((status, headers, body).into_response())
    }
}

/// Made from the content. Where the operation has a version of its own, it comes first.
fn etag(headers: &HeaderMap, json: &[u8]) -> HeaderValue {
    let version = headers.get(header::ETAG).and_then(|version| version.to_str().ok());
    let version = version.map(|version| format!("{version}+")).unwrap_or_default();
    let hash: String = Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{version}{hash}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// RFC 9110 section 13.1.2: a list, in which weak ones count as well.
fn is_among(list: &HeaderValue, etag: &HeaderValue) -> bool {
    let (list, etag) = (list.to_str().unwrap_or_default(), etag.to_str().unwrap_or_default());
    list.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == etag)
}

/// The same JSON with `withheld` in the place of local parts, in all of its texts.
pub(super) fn without_addresses(json: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut value: Value = serde_json::from_slice(json).map_err(|error| Problem::unreadable(&error))?;
    let mut addresses = Addresses::unnumbered();
    for_each_text(&mut value, &mut |text| addresses.learn(text));
    for_each_text(&mut value, &mut |text| *text = addresses.private(text));
    serde_json::to_vec(&value).map_err(|error| Problem::unreadable(&error))
}

fn for_each_text(value: &mut Value, act: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => act(text),
        Value::Array(items) => items.iter_mut().for_each(|item| for_each_text(item, act)),
        Value::Object(object) => object.values_mut().for_each(|value| for_each_text(value, act)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn body(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_viewer_sees_no_address() {
        let answer = json!({
            "what": "550 5.1.1 <ana@onprem.test>: Ana unknown", "list": ["bob@b.test", "mx1"], "number": 3,
            "mail.onprem.test:25": null, "line\n": "a\nana@onprem.test",
        });
        let shown = body(Reply::json(&answer).unwrap().response(false, false, None).unwrap()).await;
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), answer);
        let blind = body(Reply::json(&answer).unwrap().response(true, false, None).unwrap()).await;
        let expected = json!({
            "what": "550 5.1.1 <withheld@onprem.test>: withheld unknown", "list": ["withheld@b.test", "mx1"], "number": 3,
            "mail.onprem.test:25": null, "line\n": "a\nwithheld@onprem.test",
        });
        assert_eq!(serde_json::from_str::<Value>(&blind).unwrap(), expected);
    }

    #[tokio::test]
    async fn what_the_client_has_is_not_sent_again() {
        let ask = |known: Option<&'static str>| {
            let known = known.map(HeaderValue::from_static);
            Reply::json(&json!({ "a": 1 })).unwrap().header(header::ETAG, "7").response(false, true, known.as_ref())
        };
        let first = ask(None).unwrap();
        let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert!(etag.starts_with("\"7+") && first.status() == StatusCode::OK, "{etag}");
        let again = |list: String| ask(Some(String::leak(list))).unwrap().status();
        for list in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            assert_eq!(again(list.clone()), StatusCode::NOT_MODIFIED, "{list}");
        }
        assert_eq!(again("\"7\"".to_owned()), StatusCode::OK);
    }
}
