//! Any text as an address: no panic, and what is an address stays the same one through a command.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::smtp::{
    Address,
    command::{self, Command, ForwardPath},
};

fuzz_target!(|text: &str| {
    let Ok(address) = Address::parse(text) else { return };
    assert_eq!(format!("{}@{}", address.local_part(), address.domain()), text);
    let _ = address.domain_key();
    match command::parse(format!("RCPT TO:<{address}>").as_bytes()) {
        Ok(Command::Rcpt(rcpt)) => assert_eq!(rcpt.to, ForwardPath::Address(address)),
        other => panic!("{text:?} is an address, and as a command it is {other:?}"),
    }
});
