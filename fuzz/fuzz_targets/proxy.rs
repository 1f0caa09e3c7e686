//! Any bytes as the header of the PROXY protocol.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::proxy::Head;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_first_chunk() else { return };
    let Ok(head) = Head::read(head) else { return };
    assert!(head.rest_bytes() <= 4096);
    let client = head.client(rest);
    assert!(client.is_none() || head.rest_bytes() >= 12);
});
