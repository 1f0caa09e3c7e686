//! Conversations with destinations of all kinds. Each is a transcript: what the destination says (`S: `), what the
//! client must say (`C: `), and what comes of it (`= ` for each recipient, `! ` for the rest). Every one is replayed with
//! the destination's bytes whole, cut at every position, and byte by byte.
//!
//! `! lost` stands where the connection breaks; what follows is blamed on the phase that was under way.

use bytes::BytesMut;
use gatepost_protocol::smtp::{
    Address, BodyType, Envelope, Failure, FailureKind, Notify, Phase, Recipient, Reply, Ret, ReversePath, Transaction,
    client::{Action, Client, TlsLevel},
};

#[derive(Clone)]
struct Setup {
    tls: TlsLevel,
    /// One after the other on this connection, then QUIT.
    transactions: Vec<Transaction>,
    /// The connection breaks when the message should be sent.
    lost_in_content: bool,
}

fn transaction(recipients: &[&str]) -> Transaction {
    let recipient = |text: &&str| Recipient { address: address(text), notify: None, orcpt: None };
    Transaction {
        envelope: Envelope::from(ReversePath::Address(address("a@x.test"))),
        size_bytes: Some(23),
        recipients: recipients.iter().map(recipient).collect(),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// One message to b and c.
fn plain() -> Setup {
    let transactions = vec![transaction(&["b@y.test", "c@y.test"])];
    Setup { tls: TlsLevel::None, transactions, lost_in_content: false }
}

fn twice() -> Setup {
    Setup { transactions: vec![transaction(&["b@y.test", "c@y.test"]), transaction(&["d@y.test"])], ..plain() }
}

fn level(tls: TlsLevel) -> Setup {
    Setup { tls, transactions: vec![transaction(&["b@y.test"])], ..plain() }
}

fn changed(change: impl Fn(&mut Transaction)) -> Setup {
    let mut setup = level(TlsLevel::None);
    change(&mut setup.transactions[0]);
    setup
}

/// A conversation that goes on as far as the test's transcript does.
struct Runner {
    client: Client,
    setup: Setup,
    begun: usize,
    input: BytesMut,
    output: Vec<u8>,
    seen: Vec<String>,
    over: bool,
}

impl Runner {
    fn new(setup: &Setup) -> Self {
        Self {
            client: Client::new("gw.test", setup.tls),
            setup: setup.clone(),
            begun: 0,
            input: BytesMut::new(),
            output: Vec::new(),
            seen: Vec::new(),
            over: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        for step in 0.. {
            assert!(step < 1000, "an endless loop");
            if self.over {
                return;
            }
            let action = self.client.handle(&mut self.input, &mut self.output);
            self.note_output();
            if action == Action::Read {
                return;
            }
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Read => {}
            Action::StartTls => {
                self.seen.push("! handshake".to_owned());
                assert!(self.input.is_empty(), "bytes from before TLS are kept");
                self.client.tls_started(&mut self.output);
            }
            Action::Ready => match self.setup.transactions.get(self.begun) {
                Some(transaction) => {
                    self.begun += 1;
                    if let Err(failure) = self.client.begin(transaction, &mut self.output) {
                        self.seen.push(format!("! unfit {}", describe(&failure)));
                    }
                }
                None => self.client.quit(&mut self.output),
            },
            Action::Content if self.setup.lost_in_content => self.lose(),
            Action::Content => {
                self.client.content(b"Subject: x\r\n\r", &mut self.output);
                self.client.content(b"\n.dot\r\nend", &mut self.output);
                self.client.end_content(&mut self.output);
            }
            Action::Done(results) => {
                self.seen.extend(results.iter().map(|result| match result {
                    Ok(reply) => format!("= ok {reply}"),
                    Err(failure) => format!("= {}", describe(failure)),
                }));
            }
            Action::Failed(failure) => {
                self.seen.push(format!("! failed {}", describe(&failure)));
                self.over = true;
            }
            Action::Closed => {
                assert!(!self.client.is_reusable());
                self.seen.push("! closed".to_owned());
                self.over = true;
            }
        }
        self.note_output();
    }

    fn lose(&mut self) {
        self.seen.push("! lost".to_owned());
        let action = self.client.abandon(FailureKind::ConnectionClosed);
        self.act(action);
    }

    fn note_output(&mut self) {
        let output = String::from_utf8(std::mem::take(&mut self.output)).expect("UTF-8");
        assert!(output.is_empty() || output.ends_with("\r\n"), "half a line: {output:?}");
        self.seen.extend(output.split_terminator("\r\n").map(|line| format!("C: {line}")));
    }
}

fn describe(failure: &Failure) -> String {
    let reply = failure.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
    format!("{}: {}{reply}", failure.phase, failure.kind)
}

/// How the destination's bytes come.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    At(usize),
    Bytes,
}

/// Returns how many bytes the longest of the destination's turns has.
fn run(name: &str, setup: &Setup, transcript: &str, cut: Cut) -> usize {
    let lines: Vec<&str> = transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()).collect();
    let mut runner = Runner::new(setup);
    let (mut expected, mut longest): (Vec<String>, usize) = (Vec::new(), 0);
    let mut rest = lines.as_slice();
    while let Some(first) = rest.first() {
        if *first == "! lost" && !setup.lost_in_content {
            runner.lose();
            runner.feed(b"");
        }
        let count = rest.iter().take_while(|line| line.starts_with("S: ")).count();
        let bytes: Vec<u8> = rest[..count].iter().flat_map(|line| [&line.as_bytes()[3..], b"\r\n"].concat()).collect();
        longest = longest.max(bytes.len());
        if count > 0 {
            assert!(!runner.over, "{name}: the destination speaks after the end");
        }
        match cut {
            Cut::Whole => runner.feed(&bytes),
            Cut::At(at) => {
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                runner.feed(first);
                runner.feed(second);
            }
            Cut::Bytes => bytes.chunks(1).for_each(|byte| runner.feed(byte)),
        }
        let turn = rest[count..].iter().enumerate().take_while(|(index, line)| {
            !line.starts_with("S: ") && (count + *index == 0 || **line != "! lost" || setup.lost_in_content)
        });
        let turn = turn.count();
        expected.extend(rest[count..count + turn].iter().map(|line| line.to_string()));
        assert_eq!(runner.seen, expected, "{name}, {cut:?}");
        rest = &rest[count + turn..];
    }
    longest
}

fn check(name: &str, setup: Setup, transcript: &str) {
    let longest = run(name, &setup, transcript, Cut::Whole);
    (0..longest).for_each(|at| {
        run(name, &setup, transcript, Cut::At(at));
    });
    run(name, &setup, transcript, Cut::Bytes);
}

const PIPELINING: &str = "
    S: 220 mx.test
    C: EHLO gw.test
    S: 250-mx.test
    S: 250 PIPELINING
    C: MAIL FROM:<a@x.test>
    C: RCPT TO:<b@y.test>
    C: RCPT TO:<c@y.test>
    C: DATA
";

const LOCKSTEP: &str = "
    S: 220 mx.test
    C: EHLO gw.test
    S: 250 mx.test
    C: MAIL FROM:<a@x.test>
";

const CONTENT: &str = "
    C: Subject: x
    C: 
    C: ..dot
    C: end
    C: .
";

#[test]
fn transactions() {
    let table: &[(&str, Setup, &str, &str)] = &[
        (
            "pipelined",
            plain(),
            PIPELINING,
            "S: 250 ok
             S: 250 ok
             S: 251 ok
             S: 354 go
             {content}
             S: 250 2.0.0 queued as 1
             = ok 250 2.0.0 queued as 1
             = ok 250 2.0.0 queued as 1
             C: QUIT
             S: 221 bye
             ! closed",
        ),
        (
            "one command at a time",
            plain(),
            LOCKSTEP,
            "S: 250 ok
             C: RCPT TO:<b@y.test>
             S: 250 ok
             C: RCPT TO:<c@y.test>
             S: 250 ok
             C: DATA
             S: 354 go
             {content}
             S: 250-2.0.0 queued
             S: 250 2.0.0 as 1
             = ok 250 2.0.0 queued / as 1
             = ok 250 2.0.0 queued / as 1
             C: QUIT",
        ),
        (
            "MAIL refused, and the rest with it",
            twice(),
            PIPELINING,
            "S: 550 5.7.1 not you
             S: 503 no
             S: 503 no
             S: 503 no
             = mail: rejected: 550 5.7.1 not you
             = mail: rejected: 550 5.7.1 not you
             C: RSET
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA
             S: 250 ok
             S: 250 ok
             S: 250 ok
             S: 354 go
             {content}
             S: 250 taken
             = ok 250 taken
             C: QUIT",
        ),
        (
            "421 to RSET",
            twice(),
            LOCKSTEP,
            "S: 451 4.3.0 later
             = mail: rejected: 451 4.3.0 later
             = mail: rejected: 451 4.3.0 later
             C: RSET
             S: 421 4.3.2 enough
             = mail: rejected: 421 4.3.2 enough
             ! closed",
        ),
        (
            "MAIL refused, one command at a time",
            twice(),
            LOCKSTEP,
            "S: 451 4.3.0 later
             = mail: rejected: 451 4.3.0 later
             = mail: rejected: 451 4.3.0 later
             C: RSET
             S: 250 ok
             C: MAIL FROM:<a@x.test>
             S: 250 ok
             C: RCPT TO:<d@y.test>
             S: 250 ok
             C: DATA",
        ),
        (
            "one recipient refused",
            twice(),
            PIPELINING,
            "S: 250 ok
             S: 550 5.1.1 who
             S: 250 ok
             S: 354 go
             {content}
             S: 250 taken
             = rcpt: rejected: 550 5.1.1 who
             = ok 250 taken
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA",
        ),
        (
            "one recipient refused, and then the message",
            twice(),
            PIPELINING,
            "S: 250 ok
             S: 450 4.2.1 full
             S: 250 ok
             S: 354 go
             {content}
             S: 554 5.7.1 spam
             = rcpt: rejected: 450 4.2.1 full
             = end-of-data: rejected: 554 5.7.1 spam
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA",
        ),
        (
            "all recipients refused, one command at a time",
            twice(),
            LOCKSTEP,
            "S: 250 ok
             C: RCPT TO:<b@y.test>
             S: 550 5.1.1 no b
             C: RCPT TO:<c@y.test>
             S: 450 4.2.1 no c
             = rcpt: rejected: 550 5.1.1 no b
             = rcpt: rejected: 450 4.2.1 no c
             C: RSET",
        ),
        (
            "all recipients refused, and so is DATA",
            twice(),
            PIPELINING,
            "S: 250 ok
             S: 550 5.1.1 no b
             S: 550 5.1.1 no c
             S: 554 5.5.1 no recipients
             = rcpt: rejected: 550 5.1.1 no b
             = rcpt: rejected: 550 5.1.1 no c
             C: RSET
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA",
        ),
        (
            "all recipients refused, yet content is asked for: an empty message, whose reply says nothing",
            twice(),
            PIPELINING,
            "S: 250 ok
             S: 550 5.1.1 no b
             S: 550 5.1.1 no c
             S: 354 go
             C: .
             S: 250 taken
             = rcpt: rejected: 550 5.1.1 no b
             = rcpt: rejected: 550 5.1.1 no c
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA",
        ),
        (
            "MAIL refused, yet content is asked for",
            plain(),
            PIPELINING,
            "S: 550 not you
             S: 250 ok
             S: 250 ok
             S: 354 go
             C: .
             S: 250 taken
             = mail: rejected: 550 not you
             = mail: rejected: 550 not you
             C: QUIT",
        ),
        (
            "DATA refused",
            twice(),
            PIPELINING,
            "S: 250 ok
             S: 250 ok
             S: 550 5.1.1 no c
             S: 451 4.3.0 no room
             = data: rejected: 451 4.3.0 no room
             = rcpt: rejected: 550 5.1.1 no c
             C: RSET
             C: MAIL FROM:<a@x.test>
             C: RCPT TO:<d@y.test>
             C: DATA",
        ),
        (
            "DATA answered with 250, which is no go-ahead; before QUIT there is no need for RSET",
            plain(),
            PIPELINING,
            "S: 250 ok
             S: 250 ok
             S: 250 ok
             S: 250 ok
             = data: rejected: 250 ok
             = data: rejected: 250 ok
             C: QUIT",
        ),
        (
            "354 for the whole message, which is not taken by it",
            plain(),
            PIPELINING,
            "S: 250 ok
             S: 250 ok
             S: 250 ok
             S: 354 go
             {content}
             S: 354 go
             = end-of-data: rejected: 354 go
             = end-of-data: rejected: 354 go
             C: QUIT",
        ),
        (
            "RSET refused is no matter",
            twice(),
            LOCKSTEP,
            "S: 550 no
             = mail: rejected: 550 no
             = mail: rejected: 550 no
             C: RSET
             S: 502 what
             C: MAIL FROM:<a@x.test>",
        ),
    ];
    for (name, setup, opening, rest) in table {
        let rest = rest.replace("{content}", CONTENT);
        check(name, setup.clone(), &format!("{opening}{rest}"));
    }
}

#[test]
fn openings() {
    use TlsLevel::{None, Opportunistic, Require};
    let table: &[(&str, TlsLevel, &str)] = &[
        ("a banner that refuses", None, "S: 554 5.7.1 blocked\n! failed banner: rejected: 554 5.7.1 blocked"),
        (
            "HELO for old servers",
            None,
            "S: 220 mx\nC: EHLO gw.test\nS: 502 what\nC: HELO gw.test\nS: 250-mx\nS: 250 PIPELINING\n\
             C: MAIL FROM:<a@x.test>",
        ),
        (
            "HELO refused as well",
            None,
            "S: 220 mx\nC: EHLO gw.test\nS: 500 what\nC: HELO gw.test\nS: 550 go away\n\
             ! failed ehlo: rejected: 550 go away",
        ),
        ("EHLO refused for now", None, "S: 220 mx\nC: EHLO gw.test\nS: 451 later\n! failed ehlo: rejected: 451 later"),
        (
            "STARTTLS where it is offered, and EHLO again",
            Opportunistic,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250-starttls\nS: 250 SIZE\nC: STARTTLS\n\
             S: 220 go\n! handshake\nC: EHLO gw.test\nS: 250-mx\nS: 250 STARTTLS\nC: MAIL FROM:<a@x.test>\nS: 250 ok\n\
             C: RCPT TO:<b@y.test>",
        ),
        (
            "STARTTLS offered and not wanted",
            None,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 STARTTLS\nC: MAIL FROM:<a@x.test>",
        ),
        ("STARTTLS not offered", Opportunistic, "S: 220 mx\nC: EHLO gw.test\nS: 250 mx\nC: MAIL FROM:<a@x.test>"),
        (
            "STARTTLS required and not offered",
            Require,
            "S: 220 mx\nC: EHLO gw.test\nS: 250 mx\n! failed starttls: STARTTLS is required and not offered",
        ),
        (
            "STARTTLS required and masked",
            Require,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 XXXXXXXA\n\
             ! failed starttls: STARTTLS is required, but a firewall has overwritten it (XXXXXXXA)",
        ),
        (
            "STARTTLS required, but no EHLO",
            Require,
            "S: 220 mx\nC: EHLO gw.test\nS: 502 what\nC: HELO gw.test\nS: 250 mx\n\
             ! failed starttls: STARTTLS is required and not offered",
        ),
        (
            "STARTTLS refused",
            Require,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no certificate\n\
             ! failed starttls: rejected: 454 4.7.0 no certificate",
        ),
        (
            "no HELO over TLS",
            Require,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n! handshake\n\
             C: EHLO gw.test\nS: 550 5.7.1 no\n! failed ehlo: rejected: 550 5.7.1 no",
        ),
        (
            "garbage for a banner",
            None,
            "S: SSH-2.0-OpenSSH_9.6\n! failed banner: the answer is not SMTP (a line does not begin with a reply code: \"SSH-2.0-OpenSSH_9.6\")",
        ),
        (
            "garbage after EHLO",
            None,
            "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 220 mx\n\
             ! failed ehlo: the answer is not SMTP (the lines of one reply have different codes)",
        ),
    ];
    for (name, tls, transcript) in table {
        check(name, level(*tls), transcript);
    }
}

/// The end of the conversation at each phase: by 421, by a connection that breaks, by garbage.
#[test]
fn ends_are_blamed_on_their_phase() {
    let to_starttls = "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n";
    let lockstep = "S: 220 mx\nC: EHLO gw.test\nS: 250 mx\nC: MAIL FROM:<a@x.test>\n";
    let pipelined = "S: 220 mx\nC: EHLO gw.test\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<a@x.test>\n\
                     C: RCPT TO:<b@y.test>\nC: DATA\n";
    let to_dot = format!("{lockstep}S: 250 ok\nC: RCPT TO:<b@y.test>\nS: 250 ok\nC: DATA\nS: 354 go\n{CONTENT}");
    let table: &[(&str, String, bool)] = &[
        ("banner", String::new(), false),
        ("ehlo", "S: 220 mx\nC: EHLO gw.test\n".to_owned(), false),
        ("ehlo", "S: 220 mx\nC: EHLO gw.test\nS: 500 what\nC: HELO gw.test\n".to_owned(), false),
        ("starttls", to_starttls.to_owned(), false),
        ("ehlo", format!("{to_starttls}S: 220 go\n! handshake\nC: EHLO gw.test\n"), false),
        ("mail", lockstep.to_owned(), true),
        ("rcpt", format!("{lockstep}S: 250 ok\nC: RCPT TO:<b@y.test>\n"), true),
        ("data", format!("{lockstep}S: 250 ok\nC: RCPT TO:<b@y.test>\nS: 250 ok\nC: DATA\n"), true),
        ("mail", pipelined.to_owned(), true),
        ("rcpt", format!("{pipelined}S: 250 ok\n"), true),
        ("data", format!("{pipelined}S: 250 ok\nS: 250 ok\n"), true),
        ("end-of-data", to_dot, true),
    ];
    for (phase, opening, in_transaction) in table {
        let result = |failure: &str| match in_transaction {
            true => format!("= {phase}: {failure}"),
            false => format!("! failed {phase}: {failure}"),
        };
        let closed = |line: String| if *in_transaction { format!("{line}\n! closed") } else { line };
        let busy = closed(result("rejected: 421 4.3.2 busy"));
        check(
            &format!("421 at {phase}"),
            level(TlsLevel::Opportunistic),
            &format!("{opening}S: 421 4.3.2 busy\n{busy}"),
        );
        let garbage = closed(result("the answer is not SMTP (a line does not begin with a reply code: \"what?\")"));
        check(&format!("garbage at {phase}"), level(TlsLevel::Opportunistic), &format!("{opening}S: what?\n{garbage}"));
        let lost = closed(result("connection closed by the destination"));
        check(&format!("lost at {phase}"), level(TlsLevel::Opportunistic), &format!("{opening}! lost\n{lost}"));
    }
}

#[test]
fn a_connection_that_breaks_spares_what_was_decided() {
    let lost = Setup { lost_in_content: true, ..plain() };
    let table = [
        (
            "within the content, before the dot",
            lost,
            "S: 250 ok\nS: 550 no b\nS: 250 ok\nS: 354 go\n! lost\n= rcpt: rejected: 550 no b\n\
             = data: connection closed by the destination\n! closed",
        ),
        (
            "between two recipients",
            plain(),
            "S: 250 ok\nS: 550 no b\n! lost\n= rcpt: rejected: 550 no b\n= rcpt: connection closed by the destination\n! closed",
        ),
        (
            "after MAIL was refused",
            plain(),
            "S: 550 not you\n! lost\n= mail: rejected: 550 not you\n= mail: rejected: 550 not you\n! closed",
        ),
        (
            "421 between two recipients",
            plain(),
            "S: 250 ok\nS: 250 ok\nS: 421 busy\n= rcpt: rejected: 421 busy\n= rcpt: rejected: 421 busy\n! closed",
        ),
        (
            "421 after one was refused",
            plain(),
            "S: 250 ok\nS: 550 no b\nS: 421 busy\n= rcpt: rejected: 550 no b\n= rcpt: rejected: 421 busy\n! closed",
        ),
        (
            "QUIT without an answer",
            plain(),
            "S: 550 no\nS: 503 no\nS: 503 no\nS: 503 no\n= mail: rejected: 550 no\n= mail: rejected: 550 no\nC: QUIT\n\
             ! lost\n! closed",
        ),
    ];
    for (name, setup, rest) in table {
        check(name, setup, &format!("{PIPELINING}{rest}"));
    }
}

#[test]
fn extensions_are_used_only_where_offered() {
    let dsn = changed(|transaction| {
        let envelope = &mut transaction.envelope;
        (envelope.ret, envelope.envid) = (Some(Ret::Headers), Some("q+2B1".to_owned()));
        transaction.recipients[0].notify = Some(Notify::On { success: true, failure: false, delay: true });
        transaction.recipients[0].orcpt = Some("rfc822;b+40y.test".to_owned());
    });
    let never = changed(|transaction| {
        transaction.envelope.ret = Some(Ret::Full);
        transaction.recipients[0].notify = Some(Notify::Never);
    });
    let eight_bit = changed(|transaction| transaction.envelope.body_type = BodyType::EightBitMime);
    let utf8 = changed(|transaction| transaction.envelope.smtputf8 = true);
    let plain = level(TlsLevel::None);
    let null = changed(|transaction| transaction.envelope.sender = ReversePath::Null);
    // Keywords, MAIL, RCPT.
    let used: &[(&Setup, &[&str], &str, &str)] = &[
        (&plain, &[], "<a@x.test>", "<b@y.test>"),
        (&null, &["DSN"], "<>", "<b@y.test>"),
        (&plain, &["8BITMIME", "SMTPUTF8", "DSN"], "<a@x.test>", "<b@y.test>"),
        (&plain, &["SIZE"], "<a@x.test> SIZE=23", "<b@y.test>"),
        (&plain, &["size 23"], "<a@x.test> SIZE=23", "<b@y.test>"),
        (&plain, &["SIZE 0"], "<a@x.test> SIZE=23", "<b@y.test>"),
        (&eight_bit, &["8bitmime"], "<a@x.test> BODY=8BITMIME", "<b@y.test>"),
        (&utf8, &["SMTPUTF8"], "<a@x.test> SMTPUTF8", "<b@y.test>"),
        (&dsn, &[], "<a@x.test>", "<b@y.test>"),
        (
            &dsn,
            &["SIZE", "DSN"],
            "<a@x.test> SIZE=23 RET=HDRS ENVID=q+2B1",
            "<b@y.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40y.test",
        ),
        (&never, &["DSN"], "<a@x.test> RET=FULL", "<b@y.test> NOTIFY=NEVER"),
    ];
    let ehlo = |keywords: &[&str]| {
        let lines: String = keywords.iter().map(|keyword| format!("S: 250-{keyword}\n")).collect();
        format!("S: 220 mx\nC: EHLO gw.test\nS: 250-mx\n{lines}S: 250 HELP\n")
    };
    for (setup, keywords, mail, rcpt) in used {
        let transcript = format!("{}C: MAIL FROM:{mail}\nS: 250 ok\nC: RCPT TO:{rcpt}", ehlo(keywords));
        check(&format!("{keywords:?}"), (*setup).clone(), &transcript);
    }
    let unfit: &[(&Setup, &[&str], &str)] = &[
        (&eight_bit, &["SMTPUTF8"], "mail: the destination does not offer 8BITMIME"),
        (&utf8, &["8BITMIME"], "mail: the destination does not offer SMTPUTF8"),
        (&plain, &["SIZE 22"], "mail: 23 bytes are more than the 22 that the destination accepts"),
    ];
    for (setup, keywords, failure) in unfit {
        let transcript = format!("{}! unfit {failure}\nC: QUIT", ehlo(keywords));
        check(&format!("{keywords:?}"), (*setup).clone(), &transcript);
    }
}

#[test]
fn an_endless_reply_ends_the_conversation() {
    let line_of = |length: usize| [b"220 ".as_slice(), &vec![b'x'; length - 4], b"\r\n"].concat();
    let lines_of = |count: usize| [b"220-x\r\n".repeat(count - 1), b"220 x\r\n".to_vec()].concat();
    // Bytes, and whether they are too many.
    let table = [
        (line_of(4096), None),
        (line_of(4097), Some("a line is over 4096 bytes long")),
        (vec![b'2'; 10_000], Some("a line is over 4096 bytes long")),
        (lines_of(128), None),
        (lines_of(129), Some("a reply has more than 128 lines")),
    ];
    for (bytes, fault) in table {
        let expected = match fault {
            Some(fault) => format!("! failed banner: the answer is not SMTP ({fault})"),
            None => "C: EHLO gw.test".to_owned(),
        };
        let mut pieces: Vec<Vec<&[u8]>> = vec![vec![&bytes], bytes.chunks(1).collect()];
        pieces.extend((0..bytes.len()).step_by(7).map(|at| vec![&bytes[..at], &bytes[at..]]));
        pieces.push(vec![&bytes[..bytes.len() - 1], &bytes[bytes.len() - 1..]]);
        for pieces in pieces {
            let mut runner = Runner::new(&plain());
            pieces.iter().for_each(|piece| runner.feed(piece));
            assert_eq!(runner.seen, [expected.as_str()], "{} bytes", bytes.len());
        }
    }
}

#[test]
fn replies_behind_the_go_ahead_for_tls_are_dropped() {
    for injected in ["250 evil\r\n", "250-evil\r\n250 SIZE 1\r\n", "25", "421 bye\r\n", "what\r\n"] {
        let mut runner = Runner::new(&level(TlsLevel::Require));
        runner.feed(b"220 mx\r\n");
        runner.feed(b"250-mx\r\n250 STARTTLS\r\n");
        runner.feed(format!("220 go\r\n{injected}").as_bytes());
        assert_eq!(runner.seen, ["C: EHLO gw.test", "C: STARTTLS", "! handshake", "C: EHLO gw.test"], "{injected:?}");
        runner.feed(b"250 mx\r\n");
        assert_eq!(runner.seen[4], "C: MAIL FROM:<a@x.test>", "{injected:?}");
    }
}

#[test]
fn no_more_commands_are_in_flight_than_both_sides_can_hold() {
    let names: Vec<String> = (0..250).map(|number| format!("r{number}@y.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut runner = Runner::new(&Setup { transactions: vec![transaction(&names)], ..plain() });
    runner.feed(b"220 mx\r\n250-mx\r\n250 PIPELINING\r\n");
    let mut answered = 2;
    while runner.seen.last().is_none_or(|line| line != "C: .") {
        let in_flight = runner.seen.len() - answered + 1;
        assert!((1..=100).contains(&in_flight), "{in_flight} commands in flight");
        let is_data = runner.seen[answered - 1] == "C: DATA";
        runner.feed(if is_data { b"354 go\r\n" } else { b"250 ok\r\n" });
        answered += 1;
    }
    runner.feed(b"250 taken\r\n");
    assert_eq!(runner.seen.iter().filter(|line| *line == "= ok 250 taken").count(), 250);
}

#[test]
fn a_handshake_that_fails_is_blamed_on_the_handshake() {
    let mut client = Client::new("gw.test", TlsLevel::Require);
    let mut input = BytesMut::from(b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n".as_slice());
    assert_eq!(client.handle(&mut input, &mut Vec::new()), Action::StartTls);
    let kind = FailureKind::HandshakeFailed { detail: "expired".to_owned() };
    assert_eq!(client.abandon(kind.clone()), Action::Failed(Failure::new(Phase::Handshake, kind)));
    assert_eq!(client.handle(&mut input, &mut Vec::new()), Action::Closed);
}

#[test]
fn a_connection_is_reusable_only_between_transactions() {
    let mut client = Client::new("gw.test", TlsLevel::None);
    let (mut input, mut output) = (BytesMut::new(), Vec::new());
    assert!(!client.is_reusable());
    input.extend_from_slice(b"220 mx\r\n250 mx\r\n");
    assert_eq!(client.handle(&mut input, &mut output), Action::Ready);
    assert!(client.is_reusable());
    client.begin(&transaction(&["b@y.test"]), &mut output).expect("nothing is missing");
    assert!(!client.is_reusable());
    input.extend_from_slice(b"250 ok\r\n421 bye\r\n");
    let failure = Failure::rejected(Phase::Rcpt, Reply::new(421, None, "bye"));
    assert_eq!(client.handle(&mut input, &mut output), Action::Done(vec![Err(failure)]));
    assert!(!client.is_reusable());
}
