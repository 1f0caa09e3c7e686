//! A whole session with a client that sends anything, whole and byte by byte: no panic, and the same outcome.

#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::smtp::{
    Reply, Transaction,
    server::{Policy, Recipients, Session, Step},
};

struct OneDomain;

impl Recipients for OneDomain {
    fn accepts(&self, domain_key: &str) -> bool {
        domain_key == "a.test"
    }

    fn postmaster_domain(&self) -> Option<String> {
        Some("a.test".to_owned())
    }
}

#[derive(PartialEq, Debug, Default)]
struct Outcome {
    output: Vec<u8>,
    messages: Vec<(Transaction, Vec<u8>)>,
    closed: bool,
}

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let policy = Policy {
        hostname: "mx.test".to_owned(),
        size_max: 200,
        recipients_max: 3,
        body_line_max: 40,
        errors_max: 6,
        junk_commands_max: 6,
        starttls: false,
        command_timeout: Duration::from_secs(1),
        data_timeout: Duration::from_secs(1),
        recipients: Arc::new(OneDomain),
    };
    let mut session = Session::new(Arc::new(policy), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (mut input, mut outcome, mut under_way) = (BytesMut::new(), Outcome::default(), None);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut content = Vec::new();
            let step = session.handle(&mut input, &mut outcome.output, &mut content);
            match &mut under_way {
                Some((_, kept)) => Vec::extend(kept, content),
                None => assert!(content.is_empty()),
            }
            match step {
                Step::Read => break,
                Step::Content | Step::Write => {}
                Step::Begin(transaction) => {
                    assert!(under_way.replace((transaction, Vec::new())).is_none());
                    session.begin(Ok(()), &mut outcome.output);
                }
                Step::End => {
                    outcome.messages.extend(under_way.take());
                    session.finish(Reply::new(250, None, "taken"), &mut outcome.output);
                }
                Step::Abort => assert!(under_way.take().is_some()),
                Step::StartTls => unreachable!("it is not offered"),
                Step::Close => {
                    outcome.closed = true;
                    return outcome;
                }
            }
        }
    }
    outcome
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(run(std::iter::once(bytes)), run(bytes.chunks(1)));
});
