//! Where a conversation stood, in the words of mail systems.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use protocol::smtp::Phase;

use crate::evidence::signs::sign::Signs;

impl Signs {
    /// The phase that a text names; of several the first in the table. This gateway's own words come first of all.
    pub fn phase_of_text(text: &str) -> Option<Phase> {
        let (phases, searcher) = &*SEARCHER;
        let first = searcher.find_overlapping_iter(text).map(|hit| hit.pattern().as_usize()).min()?;
        Some(phases[first])
    }
}

static SEARCHER: LazyLock<(Vec<Phase>, AhoCorasick)> = LazyLock::new(|| {
    let own = Phase::ALL.into_iter().map(|phase| (phase.doing(), phase));
    let all: Vec<(&str, Phase)> = own.chain(PHASES).collect();
    let searcher = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(all.iter().map(|(words, _)| words));
    // The words are few and fixed: a test has built them.
    let searcher = searcher.unwrap_or_else(|error| unreachable!("{error}"));
    (all.into_iter().map(|(_, phase)| phase).collect(), searcher)
});

/// Phases in the words of Postfix, Exim, Sendmail and Exchange. What names a command comes before what names a fault.
const PHASES: [(&str, Phase); 53] = [
    ("in reply to RCPT TO", Phase::Rcpt),
    ("in reply to MAIL FROM", Phase::Mail),
    ("in reply to end of DATA", Phase::EndOfData),
    ("in reply to DATA", Phase::Data),
    ("in reply to STARTTLS", Phase::StartTls),
    ("in reply to EHLO", Phase::Ehlo),
    ("in reply to HELO", Phase::Ehlo),
    ("refused to talk to me", Phase::Banner),
    ("refused to start TLS", Phase::StartTls),
    ("receiving the initial server greeting", Phase::Banner),
    ("performing the EHLO handshake", Phase::Ehlo),
    ("performing the HELO handshake", Phase::Ehlo),
    ("performing the LHLO handshake", Phase::Ehlo),
    ("Cannot start TLS", Phase::Handshake),
    ("TLS session:", Phase::Handshake),
    ("TLS error on connection", Phase::Handshake),
    ("SSL_connect error", Phase::Handshake),
    ("TLS handshake failed", Phase::Handshake),
    ("STARTTLS handshake failed", Phase::Handshake),
    ("STARTTLS error", Phase::Handshake),
    ("TLS negotiation failed", Phase::Handshake),
    ("Server certificate not", Phase::Handshake),
    ("TLS is required, but was not offered", Phase::StartTls),
    ("sending RCPT TO", Phase::Rcpt),
    ("sending MAIL FROM", Phase::Mail),
    ("sending end of data", Phase::EndOfData),
    ("sending message body", Phase::Data),
    ("sending DATA command", Phase::Data),
    ("sending data block", Phase::Data),
    ("after initial connection", Phase::Banner),
    ("in response to initial connection", Phase::Banner),
    ("in response to EHLO", Phase::Ehlo),
    ("after EHLO", Phase::Ehlo),
    ("after HELO", Phase::Ehlo),
    ("after STARTTLS", Phase::StartTls),
    ("after MAIL FROM", Phase::Mail),
    ("after pipelined MAIL FROM", Phase::Mail),
    ("after RCPT TO", Phase::Rcpt),
    ("after pipelined RCPT TO", Phase::Rcpt),
    ("after DATA", Phase::Data),
    ("after pipelined DATA", Phase::Data),
    ("after end of data", Phase::EndOfData),
    ("after sending data block", Phase::Data),
    ("in response to end of data", Phase::EndOfData),
    ("Name service error", Phase::Resolve),
    ("DNS query failed", Phase::Resolve),
    ("host lookup did not complete", Phase::Resolve),
    ("Failed to connect", Phase::Connect),
    ("Unable to connect", Phase::Connect),
    ("did not accept our requests to connect", Phase::Connect),
    ("connect to ", Phase::Connect),
    ("Connection timed out with", Phase::Connect),
    ("Connection refused by", Phase::Connect),
];
