//! Any bytes as a delivery status notification: no panic, and no notification without a recipient.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(dsn) = trace::dsn::read(bytes) {
        assert!(!dsn.recipients.is_empty());
    }
});
