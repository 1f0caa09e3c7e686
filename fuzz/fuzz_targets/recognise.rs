//! Any bytes as a file of an unknown kind: no panic, and the kind that is recognised can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::foreign::{Recognised, recognise};

fuzz_target!(|bytes: &[u8]| match recognise(bytes) {
    Recognised::Log(format) => gatepost_fuzz::read_rows(format.name, bytes),
    Recognised::Dsn => drop(trace::dsn::read(bytes)),
    Recognised::Unknown(unknown) => assert!(!unknown.to_string().is_empty()),
    Recognised::ProtocolLog | Recognised::Capture | Recognised::TlsReport => {}
});
