//! Any line as a command: no panic, and a refusal is a reply that can be sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::smtp::command;

fuzz_target!(|line: &[u8]| {
    if let Err(reply) = command::parse(line) {
        assert!((500..600).contains(&reply.code));
        assert!(!reply.text.chars().any(char::is_control));
    }
});
