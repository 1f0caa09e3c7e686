//! A whole conversation with a destination that says anything: no panic, one result for each recipient.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::smtp::{
    Address, Envelope, FailureKind, Recipient, ReversePath, Transaction,
    client::{Action, Client, TlsLevel},
};

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<String>) {
    let recipient = |text: &str| Recipient { address: Address::parse(text).expect("valid"), notify: None, orcpt: None };
    let transaction = Transaction {
        envelope: Envelope::from(ReversePath::Null),
        size_bytes: Some(12),
        recipients: vec![recipient("a@a.test"), recipient("b@a.test")],
    };
    let mut client = Client::new("gw.test", TlsLevel::None);
    let (mut input, mut output, mut results, mut begun) = (BytesMut::new(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match client.handle(&mut input, &mut output) {
                Action::Read => break,
                Action::StartTls => unreachable!("it is not wanted"),
                Action::Ready if begun < 3 => {
                    begun += 1;
                    if client.begin(&transaction, &mut output).is_err() {
                        results.push("unfit".to_owned());
                    }
                }
                Action::Ready => client.quit(&mut output),
                Action::Content => {
                    client.content(b"Subject: x\r\n", &mut output);
                    client.end_content(&mut output);
                }
                Action::Done(done) => {
                    assert_eq!(done.len(), 2);
                    results.push(format!("{done:?}"));
                }
                action @ (Action::Failed(_) | Action::Closed) => {
                    results.push(format!("{action:?}"));
                    return (output, results);
                }
            }
        }
    }
    results.push(format!("{:?}", client.abandon(FailureKind::ConnectionClosed)));
    (output, results)
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(run(std::iter::once(bytes)), run(bytes.chunks(1)));
});
