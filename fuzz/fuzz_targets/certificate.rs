//! Any bytes as a certificate: no panic, and no text that could disturb a terminal or fill the store.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::tls::Certificate;

fuzz_target!(|bytes: &[u8]| {
    let Some(certificate) = Certificate::parse(bytes) else { return };
    for text in [&certificate.subject, &certificate.issuer].into_iter().chain(&certificate.names) {
        assert!(text.chars().count() <= 500 && !text.chars().any(char::is_control));
    }
});
