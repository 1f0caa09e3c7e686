//! Sessions of a sender's protocol log that end after EHLO, though nothing was refused. Where STARTTLS was not offered, or
//! written over, the sender requires it: it has mail, and is content with what it hears.

use std::collections::HashMap;

use trace::protocol_log::{RowKind, Session};

use crate::evidence::{Sign, Signs};

/// Once may be anything, such as a monitor.
const REPEATS_MIN: u32 = 2;

/// Servers to which sessions ended so again and again, and none went on.
pub(super) struct Greeted<'a>(HashMap<&'a str, Count>);

#[derive(Default)]
struct Count {
    left: u32,
    went_on: u32,
}

impl<'a> Greeted<'a> {
    pub(super) fn of(sessions: &'a [Session]) -> Self {
        let mut counts: HashMap<&str, Count> = HashMap::new();
        for session in sessions {
            let Some(remote) = remote(session) else { continue };
            let count = counts.entry(remote).or_default();
            match left_early(session) {
                Some(_) => count.left += 1,
                None => count.went_on += u32::from(sent(session).any(|verb| is_verb(verb, "MAIL"))),
            }
        }
        Self(counts)
    }

    /// Why the session ended after EHLO, if it is one of those.
    pub(super) fn why(&self, session: &Session) -> Option<Signs> {
        let count = self.0.get(remote(session)?)?;
        left_early(session).filter(|_| count.left >= REPEATS_MIN && count.went_on == 0)
    }
}

fn remote(session: &Session) -> Option<&str> {
    session.rows.iter().map(|row| row.remote.as_str()).find(|remote| !remote.is_empty())
}

fn sent(session: &Session) -> impl Iterator<Item = &str> {
    session.rows.iter().filter(|row| row.kind == RowKind::Sent).map(|row| row.data.as_str())
}

fn is_verb(line: &str, verb: &str) -> bool {
    line.split([' ', ':']).next().is_some_and(|word| word.eq_ignore_ascii_case(verb))
}

fn left_early(session: &Session) -> Option<Signs> {
    let heard = || session.rows.iter().filter(|row| row.kind == RowKind::Received).map(|row| row.data.as_str());
    let greets = |line: &str| ["EHLO", "HELO", "QUIT"].iter().any(|verb| is_verb(line, verb));
    let is_content = heard().all(|line| line.starts_with('2')) && heard().any(|line| line.starts_with("250"));
    let offers_tls = heard().any(|line| line.split([' ', '-']).any(|word| word.eq_ignore_ascii_case("STARTTLS")));
    let has_left = sent(session).any(|line| is_verb(line, "QUIT"));
    let is_early = has_left && is_content && !offers_tls && sent(session).all(greets);
    let sign = if heard().any(is_masked) { Sign::StartTlsMasked } else { Sign::LeftWithoutStartTls };
    is_early.then(|| Signs::of(&[sign]))
}

/// Devices that inspect SMTP write over what they do not know: `250-XXXXXXXA`, and a banner of asterisks.
pub(super) fn is_masked(line: &str) -> bool {
    let Some((code, text)) = line.split_at_checked(3) else { return false };
    let text = text.trim_start_matches(['-', ' ']).trim_end();
    let is_word =
        |word: &str| word.len() > 3 && word.strip_suffix('A').is_some_and(|rest| rest.bytes().all(|b| b == b'X'));
    let stars = text.bytes().filter(|byte| *byte == b'*').count();
    match code {
        "250" => text.split_ascii_whitespace().any(is_word),
        "220" => stars >= STARS_MIN && stars * 2 > text.len(),
        _ => false,
    }
}

/// A banner with a few of them is somebody's own.
const STARS_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::is_masked;

    #[test]
    fn what_was_written_over_is_seen() {
        for (line, expected) in [
            ("220 ******************************2******200****0*00", true),
            ("250-XXXXXXXA", true),
            ("250 XXXA", true),
            ("250  mx Hello SIZE XXXXXXXA PIPELINING", true),
            ("220 mx.test ESMTP *** no spam ***", false),
            ("250-XEXCH50", false),
            ("250 XA", false),
        ] {
            assert_eq!(is_masked(line), expected, "{line}");
        }
    }
}
