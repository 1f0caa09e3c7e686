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
        &[
            insight::STYLE,
            include_str!("look/console.css"),
            include_str!("look/access.css"),
            include_str!("look/live.css"),
            include_str!("look/queue.css"),
            include_str!("look/incident.css"),
            include_str!("look/fleet.css"),
        ],
    )
});

static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console.js", "text/javascript; charset=utf-8", &[include_str!("look/console.js")]));

static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon.svg", "image/svg+xml", &[include_str!("look/icon.svg")]));

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: String,
    hash: String,
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, parts: &[&str]) -> Self {
        let content = parts.iter().flat_map(|part| part.lines()).map(str::trim_start);
        // Comments are for those who read the source.
        let content: String = content.filter(|line| !line.starts_with("//")).flat_map(|line| [line, "\n"]).collect();
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

pub(super) fn script_path() -> String {
    SCRIPT.path()
}

pub(super) fn icon_path() -> String {
    ICON.path()
}

/// Changes with style and script. A page of another version must be loaded again.
pub(super) fn version() -> String {
    format!("{}-{}", STYLE.hash, SCRIPT.hash)
}

pub(super) async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let found = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name && asset.hash == hash);
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_small() {
        let (style, script) = (STYLE.content.len(), SCRIPT.content.len());
        assert!((1000..=8 * 1024).contains(&script), "the script has {script} bytes");
        assert!(style + script <= 40 * 1024, "style and script have {style} and {script} bytes");
    }
}
