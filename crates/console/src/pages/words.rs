//! Times, numbers and foreign text, in one way on all pages.

use insight::Addresses;
/// `48,210`
pub(super) use insight::grouped as number;
pub(super) use insight::size;
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::Right;
use trace::ChangeKind;

/// Maximum number of characters of a foreign text.
const FOREIGN_MAX: usize = 300;

/// Text that comes from elsewhere: bounded, without characters that steer the text around it, and isolated from it.
pub(super) fn foreign(text: &str) -> Markup {
    let mut clean = clean(text);
    if let Some((end, _)) = clean.char_indices().nth(FOREIGN_MAX) {
        clean.truncate(end);
        clean.push('…');
    }
    html! { bdi { (clean) } }
}

/// A change in words. The name of a destination keeps its letters.
pub(super) fn change_text(kind: &ChangeKind, right: Right) -> Markup {
    let text = kind.to_string();
    match kind {
        ChangeKind::DestinationChanged(_) => said(&text, right),
        _ => said(&insight::capitalised(&text), right),
    }
}

/// Foreign text, without addresses for those who may not see any.
pub(super) fn said(text: &str, right: Right) -> Markup {
    if right >= Right::Tracer { foreign(text) } else { foreign(&without_addresses(text)) }
}

/// A text with `withheld` in the place of local parts.
pub(super) fn without_addresses(text: &str) -> String {
    let mut addresses = Addresses::unnumbered();
    addresses.learn(text);
    addresses.private(text)
}

/// `2026-11-25 08:10:00 UTC`
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(format!("{at:.0}")) { (insight::moment(at)) } }
}

/// `08:10:00 UTC` if it is of the same day as `now`, otherwise with the day.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(format!("{at:.0}")) { (insight::later(now, at)) } }
}

/// `21 s`, `4 min`, `2 h`, `3 days`; for what is in the future as well.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().unsigned_abs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_inert_and_bounded() {
        let text = foreign(&format!("<script>\u{202e}\0\"{}", "x".repeat(10_000))).into_string();
        assert!(
            text.starts_with("<bdi>&lt;script&gt;\u{fffd}\u{fffd}&quot;xxx") && text.ends_with("x…</bdi>"),
            "{text}"
        );
        assert!(text.len() < 400);
    }
}
