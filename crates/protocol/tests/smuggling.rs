//! SMTP smuggling: nothing but CRLF.CRLF may end a message, and what stands behind a false end must never be read as
//! commands, however the bytes are cut. The same for bytes behind STARTTLS (CVE-2011-0411) and within BDAT.

mod support;

use support::{Event, Options, Server, replay};

const OPENING: &[u8] = b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@onprem.test>\r\n";
const SMUGGLED: &[u8] =
    b"MAIL FROM:<ceo@onprem.test>\r\nRCPT TO:<evil@onprem.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n";

/// Ends of data that some server takes, or took, for true. Each comes behind text within a line.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\n.\r",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\n",
    b"\x00\r\n.\n",
    b"\n\n.\r\n",
    b"\n\n.\n",
    b"\r\r.\r\r",
    b"\r\n.\r\r\n",
    b"\r\n.\n\r\n",
    b"\r\n.\r\r",
    b"\n\r.\n\r",
    b"\n\r.\r\n",
    b"\r\n\r.\r\n",
    b"\r\n\n.\r\n",
];

/// Not an end either, yet without a fault: the message is taken, with the smuggled text as its content.
const HARMLESS: &[&[u8]] = &[
    b"\r\n..\r\n",
    b"\r\n. \r\n",
    b"\r\n .\r\n",
    b"\r\n.\t\r\n",
    b"\r\n.\x1a\r\n",
    b"\r\n.\xc2\x85\r\n",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\x0b.\x0b",
    b"\r\n\xef\xbc\x8e\r\n",
    b"\\r\\n.\\r\\n",
];

/// Checks the outcome for the bytes whole, split everywhere and one by one.
fn at_every_split(bytes: &[u8], check: impl Fn(&support::Outcome, &str)) {
    let options = Options::default();
    check(&replay(&options, bytes.chunks(1)), "byte by byte");
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        check(&replay(&options, [first, second]), &format!("split at {at}"));
    }
}

fn data(false_end: &[u8]) -> Vec<u8> {
    [OPENING, b"DATA\r\nSubject: x\r\n\r\nhello", false_end, SMUGGLED, b"\r\n.\r\nQUIT\r\n"].concat()
}

#[test]
fn a_false_end_is_refused_and_nothing_behind_it_is_executed() {
    for false_end in FALSE_ENDS {
        at_every_split(&data(false_end), |outcome, how| {
            let case = format!("{} {how}", false_end.escape_ascii());
            assert_eq!(outcome.events, [Event::Begin, Event::Abort, Event::Close], "{case}");
            assert_eq!(outcome.transactions.len(), 1, "{case}");
            assert_eq!(outcome.messages, [], "{case}");
            let text = outcome.text();
            let replies: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("354")).skip(1).collect();
            assert!(
                matches!(replies[..], [first, second] if first.starts_with("550 5.6.0") && second.starts_with("221")),
                "{case}: {replies:?}"
            );
        });
    }
}

#[test]
fn a_line_that_only_resembles_the_end_is_content() {
    for line in HARMLESS {
        at_every_split(&data(line), |outcome, how| {
            let case = format!("{} {how}", line.escape_ascii());
            assert_eq!(outcome.events, [Event::Begin, Event::End, Event::Close], "{case}");
            let content = &outcome.messages[0].content;
            assert!(content.ends_with(b"\r\n\r\nevil\r\n\r\n"), "{case}: {}", content.escape_ascii());
        });
    }
}

#[test]
fn within_a_chunk_nothing_is_an_end() {
    let true_end: &[u8] = b"\r\n.\r\n";
    for false_end in FALSE_ENDS.iter().chain(HARMLESS).chain([&true_end]) {
        let content = [b"hello".as_slice(), false_end, SMUGGLED, b".\r\n"].concat();
        let command = format!("BDAT {} LAST\r\n", content.len());
        let bytes = [OPENING, command.as_bytes(), &content, b"QUIT\r\n"].concat();
        let refused = FALSE_ENDS.contains(false_end);
        at_every_split(&bytes, |outcome, how| {
            let case = format!("{} {how}", false_end.escape_ascii());
            assert_eq!(outcome.transactions.len(), 1, "{case}");
            if refused {
                assert_eq!(outcome.events, [Event::Begin, Event::Abort, Event::Close], "{case}");
                assert!(outcome.text().contains("\r\n550 5.6.0 "), "{case}");
            } else {
                assert_eq!(outcome.events, [Event::Begin, Event::End, Event::Close], "{case}");
                assert_eq!(outcome.messages[0].content, content, "{case}");
            }
        });
    }
}

#[test]
fn a_refused_chunk_is_never_read_as_commands() {
    let bytes = [b"EHLO x\r\nBDAT 200 LAST\r\n".as_slice(), &SMUGGLED.repeat(3)[..200], b"QUIT\r\n"].concat();
    at_every_split(&bytes, |outcome, how| {
        assert_eq!(outcome.events, [Event::Close], "{how}");
        let text = outcome.text();
        assert!(text.ends_with("503 5.5.1 Send MAIL and RCPT first\r\n221 2.0.0 Closing connection\r\n"), "{text}");
    });
}

#[test]
fn a_chunk_of_unknown_length_closes_the_connection() {
    for command in ["BDAT\r\n", "BDAT x\r\n", "BDAT -1\r\n", "bdat 5 FIRST\r\n", "BDAT 99\n", "BDAT 5\0 LAST\r\n"] {
        let bytes = [OPENING, command.as_bytes(), SMUGGLED, b".\r\n"].concat();
        at_every_split(&bytes, |outcome, how| {
            assert_eq!(outcome.events, [Event::Close], "{command:?} {how}");
        });
    }
}

#[test]
fn commands_end_with_crlf_only() {
    // Two commands to whoever takes the inner byte for a line's end; one that is refused to us.
    for inner in ["\n", "\r", "\n\r", "\0", "\x0b", "\x0c", "\u{85}", "\u{2028}"] {
        let line = format!(
            "{}RCPT TO:<b@onprem.test>{inner}RCPT TO:<c@onprem.test>\r\nQUIT\r\n",
            "EHLO x\r\nMAIL FROM:<>\r\n"
        );
        at_every_split(line.as_bytes(), |outcome, how| {
            let taken = outcome.text().matches("Recipient OK").count();
            // Behind a bare LF stands a line of its own, whose end is right.
            let expected = usize::from(inner == "\n");
            assert_eq!(taken, expected, "{inner:?} {how}: {}", outcome.text());
        });
    }
}

#[test]
fn nothing_behind_starttls_is_executed() {
    let options = Options { starttls: true, ..Options::default() };
    let start = b"EHLO client.test\r\nSTARTTLS\r\n";
    for injected in [b"RSET\r\n".as_slice(), b"RSE", b"EHLO evil.test\r\n", SMUGGLED, b"\r\n", b"BDAT 5\r\nab", b"\n"] {
        // The last byte of STARTTLS and what is injected come together.
        for at in 0..start.len() {
            let case = format!("{} split at {at}", injected.escape_ascii());
            let mut server = Server::new(&options);
            server.feed(&start[..at]);
            server.feed(&[&start[at..], injected].concat());
            assert_eq!(server.outcome.events, [Event::StartTls], "{case}");
            assert_eq!(server.waiting(), 0, "{case}");
            let text = server.outcome.text();
            assert!(text.ends_with("220 2.0.0 Ready to start TLS\r\n"), "{case}: {text}");
            // No half of a command is left over, and EHLO is forgotten.
            server.feed(b"MAIL FROM:<a@client.test>\r\n");
            let text = server.outcome.text();
            assert!(text.ends_with("Ready to start TLS\r\n503 5.5.1 Send EHLO first\r\n"), "{case}: {text}");
        }
    }
}

/// The same where the size stands beyond what a command line may have.
#[test]
fn an_overlong_bdat_closes_the_connection() {
    let command = format!("BDAT {}\r\n", "0".repeat(5000));
    let bytes = [OPENING, command.as_bytes(), SMUGGLED].concat();
    for size in [1, 100, 4096, bytes.len()] {
        let outcome = replay(&Options::default(), bytes.chunks(size));
        assert_eq!(outcome.events, [Event::Close], "in pieces of {size}: {}", outcome.text());
    }
}

#[test]
fn refused_chunks_count_as_errors() {
    let options = Options { errors_max: 3, ..Options::default() };
    let bytes = [b"EHLO x\r\n".as_slice(), &b"BDAT 2\r\nab".repeat(5)].concat();
    let outcome = replay(&options, [bytes.as_slice()]);
    assert_eq!(outcome.events, [Event::Close]);
    assert_eq!(outcome.text().matches("503 5.5.1").count(), 3, "{}", outcome.text());
}
