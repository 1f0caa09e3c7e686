//! The page's only style, and the policy that lets nothing else in.

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

pub(super) const STYLE: &str = include_str!("style.css");

/// No script, no image, no font, no frame, no form, no other origin; and of styles this one alone.
pub(super) fn policy() -> String {
    let hash = BASE64.encode(&Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}
