//! Style and script. Their address contains their hash, so that browsers keep them for good.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

/// The report's style comes first: both share its tokens.
static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "style.css",
        "text/css; charset=utf-8",
        &[insight::STYLE, include_str!("look/console.css"), include_str!("look/fleet.css")],
    )
});

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: String,
    hash: String,
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, parts: &[&str]) -> Self {
        let content = parts.concat();
        let hash = Sha256::digest(&content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name, kind, content, hash }
    }

    fn path(&self) -> String {
        format!("/assets/{}/{}", self.hash, self.name)
    }
}

pub(super) fn style_path() -> String {
    STYLE.path()
}

pub(super) async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let found = [&STYLE].into_iter().find(|asset| asset.name == name && asset.hash == hash);
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content.as_str()).into_response()
}
