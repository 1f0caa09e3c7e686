//! A sender's handshake facts against those of a capture.

use protocol::tls::{Ending, HandshakeFacts, Side, WireVersion};

/// The same handshake, seen by its sender and in a capture: the same facts, as far as they are in the clear.
pub(crate) fn assert_same(name: &str, sender: &HandshakeFacts, captured: &HandshakeFacts) {
    let in_the_clear = |facts: &HandshakeFacts| {
        let is_13 = facts.server_hello.as_ref().is_some_and(|hello| hello.version == WireVersion::TLS13);
        let mut facts = facts.clone();
        // Clocks differ, the certificate is judged by the sender alone, and TLS 1.3 hides most.
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
        // Nothing on the wire says silence.
        facts.ended = facts.ended.filter(|ended| ended.how != Ending::Silence && ended.by == Side::Server);
        facts
    };
    assert_eq!(in_the_clear(sender), in_the_clear(captured), "{name}");
}
