//! Whatever comes, the machines do not panic, do not hoard, and do not care how TCP cuts it.

mod support;

use bytes::BytesMut;
use gatepost_protocol::smtp::{
    Address, Envelope, FailureKind, Recipient, ReversePath, Transaction,
    client::{Action, Client, ReplyParser, TlsLevel},
    command,
};
use proptest::prelude::*;
use support::{Event, Options, Outcome, Server, replay};

/// Small limits, so that random input reaches them.
fn options(starttls: bool) -> Options {
    let (recipients_max, errors_max, junk_commands_max) = (3, 6, 6);
    Options {
        starttls,
        size_max: 200,
        line_max: 40,
        recipients_max,
        errors_max,
        junk_commands_max,
        ..Options::default()
    }
}

/// Bytes that are likely to mean something.
fn client_piece() -> impl Strategy<Value = Vec<u8>> {
    let commands: Vec<&[u8]> = vec![
        b"EHLO client.test\r\n",
        b"HELO client.test\r\n",
        b"MAIL FROM:<a@client.test>\r\n",
        b"MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\n",
        b"RCPT TO:<b@onprem.test>\r\n",
        b"RCPT TO:<c@onprem.test> NOTIFY=NEVER\r\n",
        b"RCPT TO:<x@elsewhere.test>\r\n",
        b"DATA\r\n",
        b"BDAT 0\r\n",
        b"BDAT 4\r\nab\r\n",
        b"BDAT 5 LAST\r\nabc\r\n",
        b"BDAT 300 LAST\r\n",
        b"BDAT x\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"QUIT\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"text\r\n",
        b"..\r\n",
        b"\n.\n",
        b"\r",
        b"\n",
        b".",
        b"\0",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"A message that is long\r\nenough to be too large\r\nafter some repetition\r\n",
    ];
    prop_oneof![
        8 => prop::sample::select(commands).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (1usize..3000).prop_map(|count| vec![b'x'; count]),
    ]
}

/// Often begins as a client does, so that the deeper states are reached.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let opening: Vec<&[u8]> = vec![
        b"",
        b"EHLO client.test\r\n",
        b"EHLO x\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@onprem.test>\r\n",
        b"EHLO x\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@onprem.test>\r\nDATA\r\n",
    ];
    (prop::sample::select(opening), prop::collection::vec(client_piece(), 0..16))
        .prop_map(|(opening, pieces)| [opening, &pieces.concat()].concat())
}

/// The pieces between positions, which may be any numbers.
fn cut<'a>(bytes: &'a [u8], positions: &[usize]) -> Vec<&'a [u8]> {
    let mut positions: Vec<usize> = positions.iter().map(|at| at % (bytes.len() + 1)).collect();
    positions.sort_unstable();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for at in positions {
        pieces.push(&bytes[start..at]);
        start = at;
    }
    pieces.push(&bytes[start..]);
    pieces
}

fn check_outcome(outcome: &Outcome, fed: usize) {
    let kept: usize = outcome.messages.iter().map(|message| message.content.len()).sum();
    assert!(kept <= fed, "{kept} bytes of content of {fed}");
    assert_eq!(outcome.count(Event::Begin), outcome.transactions.len());
    assert_eq!(outcome.count(Event::End), outcome.messages.len());
    assert!(outcome.count(Event::End) + outcome.count(Event::Abort) <= outcome.count(Event::Begin));
    for message in &outcome.messages {
        assert!(message.content.len() <= 200, "a message over the limit");
        assert!(!message.content.contains(&0), "a message with NUL");
        let text = String::from_utf8_lossy(&message.content).replace("\r\n", "");
        assert!(!text.contains(['\r', '\n']), "a message with a bare CR or LF");
    }
    for line in outcome.output.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.ends_with(b"\r\n") && line[..3].iter().all(u8::is_ascii_digit), "{}", line.escape_ascii());
    }
}

fn server_replies() -> impl Strategy<Value = Vec<u8>> {
    let replies: Vec<&[u8]> = vec![
        b"220 mx.test\r\n",
        b"250-mx.test\r\n250-PIPELINING\r\n250 DSN\r\n",
        b"250-mx.test\r\n250 STARTTLS\r\n",
        b"250 2.1.0 ok\r\n",
        b"250 ok\r\n",
        b"354 go\r\n",
        b"421 4.3.2 bye\r\n",
        b"450 later\r\n",
        b"550 5.1.1 no\r\n",
        b"220-",
        b"\r\n",
        b"x",
    ];
    prop::collection::vec(
        prop_oneof![
            12 => prop::sample::select(replies).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..30),
        ],
        0..20,
    )
    .prop_map(|pieces| [b"220 mx.test\r\n250-mx.test\r\n250 PIPELINING\r\n".as_slice(), &pieces.concat()].concat())
}

/// Sends two messages and hangs up; what was written, and what the transactions came to.
fn converse(pieces: &[&[u8]], tls: TlsLevel) -> (Vec<u8>, Vec<String>) {
    let address = |text: &str| Address::parse(text).expect("an address");
    let recipient = |text: &str| Recipient { address: address(text), notify: None, orcpt: None };
    let transaction = Transaction {
        envelope: Envelope::from(ReversePath::Null),
        size_bytes: Some(10),
        recipients: vec![recipient("b@x.test"), recipient("c@x.test")],
    };
    let mut client = Client::new("gw.test", tls);
    let (mut input, mut output, mut results) = (BytesMut::new(), Vec::new(), Vec::new());
    let mut begun = 0;
    for piece in pieces {
        input.extend_from_slice(piece);
        for step in 0.. {
            assert!(step < 1000, "an endless loop");
            match client.handle(&mut input, &mut output) {
                Action::Read => break,
                Action::StartTls => client.tls_started(&mut output),
                Action::Ready if begun < 2 => {
                    begun += 1;
                    client.begin(&transaction, &mut output).expect("nothing is missing");
                }
                Action::Ready => client.quit(&mut output),
                Action::Content => {
                    client.content(b"Subject: x\r\n", &mut output);
                    client.end_content(&mut output);
                }
                Action::Done(done) => {
                    assert_eq!(done.len(), 2, "one result for each recipient");
                    results.push(format!("{done:?}"));
                }
                Action::Failed(failure) => {
                    results.push(format!("{failure:?}"));
                    return (output, results);
                }
                Action::Closed => return (output, results),
            }
        }
    }
    if let Action::Done(done) = client.abandon(FailureKind::ConnectionClosed) {
        assert!(done.iter().all(Result::is_err), "delivered by a connection that broke");
        results.push(format!("{done:?}"));
    }
    (output, results)
}

/// Commands that are answered at no cost to the client, such as recipients beyond the limit.
#[test]
fn replies_to_a_client_that_only_sends_are_bounded() {
    let mut server = Server::new(&options(false));
    server.feed(b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\n");
    let recipients: String = (0..4000).map(|number| format!("RCPT TO:<u{number}@onprem.test>\r\n")).collect();
    server.feed(recipients.as_bytes());
    assert_eq!(server.outcome.text().matches("452 4.5.3").count(), 3997);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_server_gives_the_same_outcome_at_every_split(bytes in client_bytes(), at in prop::collection::vec(any::<usize>(), 0..8)) {
        let whole = replay(&options(false), [bytes.as_slice()]);
        check_outcome(&whole, bytes.len());
        prop_assert_eq!(&replay(&options(false), cut(&bytes, &at)), &whole);
        prop_assert_eq!(&replay(&options(false), bytes.chunks(1)), &whole);
    }

    #[test]
    fn the_server_survives_anything(
        pieces in prop::collection::vec(prop_oneof![client_piece(), prop::collection::vec(any::<u8>(), 0..200)], 0..30),
    ) {
        let mut server = Server::new(&options(true));
        let mut fed = 0;
        for piece in &pieces {
            server.feed(piece);
            fed += piece.len();
            // A command line that is not whole is all that waits with the driver.
            prop_assert!(server.is_closed() || server.waiting() <= 2048);
        }
        check_outcome(&server.outcome, fed);
    }

    #[test]
    fn the_client_gives_the_same_outcome_at_every_split(bytes in server_replies(), at in prop::collection::vec(any::<usize>(), 0..8)) {
        let whole = converse(&[&bytes], TlsLevel::None);
        prop_assert_eq!(&converse(&cut(&bytes, &at), TlsLevel::None), &whole);
        prop_assert_eq!(&converse(&bytes.chunks(1).collect::<Vec<_>>(), TlsLevel::None), &whole);
        converse(&[&bytes], TlsLevel::Opportunistic);
        converse(&[&bytes], TlsLevel::Require);
    }

    #[test]
    fn parsers_survive_anything(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        let _ = command::parse(&bytes);
        let _ = command::parse(text.as_bytes());
        let _ = ReplyParser::default().parse(&mut BytesMut::from(bytes.as_slice()));
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(format!("{}@{}", address.local_part(), address.domain()), text);
        }
    }

    #[test]
    fn an_address_survives_a_command(local in "[a-z!#%\"\\\\@. äλ]{1,12}", domain in "[a-z0-9-]{1,8}(\\.[a-zü]{1,5}){0,2}") {
        for local in [local.clone(), format!("\"{local}\"")] {
            let text = format!("{local}@{domain}");
            if let Ok(address) = Address::parse(&text) {
                let line = format!("RCPT TO:<{address}> NOTIFY=NEVER");
                match command::parse(line.as_bytes()) {
                    Ok(command::Command::Rcpt(rcpt)) => {
                        prop_assert_eq!(rcpt.to, command::ForwardPath::Address(address));
                    }
                    other => prop_assert!(false, "{line}: {other:?}"),
                }
            }
        }
    }
}
