//! The only style of the page, and the content security policy that allows nothing else.

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

/// Also the beginning of the console's style.
pub const STYLE: &str = include_str!("style.css");

/// Allows no script, image, font, frame, form or other origin, and only this style.
pub(crate) fn policy() -> String {
    let hash = BASE64.encode(&Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}
