//! Compares a sender's handshake facts with those of a capture.

use protocol::tls::{Ending, HandshakeFacts, Side, WireVersion};

/// The sender and the capture must report the same facts about a handshake, as far as they are in plaintext.
pub(crate) fn assert_same(name: &str, sender: &HandshakeFacts, captured: &HandshakeFacts) {
    let in_the_clear = |facts: &HandshakeFacts| {
        let is_13 = facts.server_hello.as_ref().is_some_and(|hello| hello.version == WireVersion::TLS13);
        let mut facts = facts.clone();
        // Clocks differ, only the sender checks the certificate, and TLS 1.3 hides most facts.
        facts.duration_ms = 0;
        facts.certificate_fault = None;
        if is_13 {
            facts.certificates.clear();
            facts.alerts.clear();
            facts.completed = false;
            facts.ended = None;
            facts.client_bytes = 0;
            facts.server_bytes = 0;
        }
        // Silence does not appear on the wire.
        facts.ended = facts.ended.filter(|ended| ended.how != Ending::Silence && ended.by == Side::Server);
        facts
    };
    assert_eq!(in_the_clear(sender), in_the_clear(captured), "{name}");
}
