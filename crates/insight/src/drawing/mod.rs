//! Draws the pictures of a finding as HTML with SVG, for the report and the console. Failed attempts are solid and those that
//! worked are hollow, so that the difference does not depend on colour. Beside each picture stand its numbers.
//!
//! An SVG with text has no `viewBox`, because stretching would shrink the text on a small screen; places are percentages.

mod axis;
mod lanes;
mod marks;
mod pair;
mod shares;

use maud::Markup;

use crate::views::PictureView;

pub use axis::{Axis, legend, percent};
pub use marks::Mark;

/// A picture, and how to write foreign text in it.
pub struct Drawing<'a> {
    pub picture: &'a PictureView,
    /// Escapes a text and, where that is wanted, replaces addresses.
    pub text: &'a dyn Fn(&str) -> Markup,
    /// Changes during that time, in order.
    pub marks: &'a [Mark],
    /// Old and new TLS policy of a rollout.
    pub rollout: Option<(&'a str, &'a str)>,
}

impl Drawing<'_> {
    /// Number of attempts that failed, and of those that worked.
    pub fn totals(&self) -> (u64, u64) {
        let lanes = &self.picture.lanes.lanes;
        (lanes.iter().map(|lane| lane.failed).sum(), lanes.iter().map(|lane| lane.worked).sum())
    }
}

/// A dimension for people.
pub(crate) fn dimension(name: &str) -> &str {
    match name {
        "tls-policy" => "TLS policy",
        "source-address" => "source address",
        "destination-host" => "destination host",
        "destination-address" => "destination address",
        "tls-version" => "TLS version",
        "cipher" => "cipher suite",
        "recipient-domain" => "recipient domain",
        "sender-domain" => "sender domain",
        "message-size" => "message size",
        "concurrency" => "number of open connections",
        // `node` and `time`, and those of newer versions.
        other => other,
    }
}

/// Such as `TLS policy` or `node with recipient domain`.
pub(crate) fn dimensions(names: &[String]) -> String {
    names.iter().map(|name| dimension(name)).collect::<Vec<_>>().join(" with ")
}
