//! A driver around the server's machine, as small as one can be: it keeps what comes out, and checks at each step that
//! the machine keeps its promises.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use gatepost_protocol::smtp::{
    EnhancedCode, Reply, Transaction,
    server::{Policy, Recipients, Session, Step},
};

/// A client that reads nothing makes the machine keep no more than this: replies up to a limit, and the last of them.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// What differs from one conversation to the next.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) starttls: bool,
    pub(crate) size_max: u64,
    pub(crate) line_max: usize,
    pub(crate) recipients_max: usize,
    pub(crate) errors_max: u32,
    pub(crate) junk_commands_max: u32,
    pub(crate) postmaster: bool,
    /// The answer to [`Step::Begin`], if not Ok.
    pub(crate) refuse: Option<Reply>,
    /// The answer to [`Step::End`].
    pub(crate) finish: Reply,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            starttls: false,
            size_max: 100_000,
            line_max: 998,
            recipients_max: 100,
            errors_max: 10,
            junk_commands_max: 100,
            postmaster: true,
            refuse: None,
            finish: Reply::new(250, Some(EnhancedCode::new(2, 0, 0)), "queued"),
        }
    }
}

struct Domains {
    postmaster: bool,
}

impl Recipients for Domains {
    fn accepts(&self, domain_key: &str) -> bool {
        ["onprem.test", "xn--bcher-kva.test"].contains(&domain_key)
    }

    fn postmaster_domain(&self) -> Option<String> {
        self.postmaster.then(|| "onprem.test".to_owned())
    }
}

/// Steps that mean something whichever way the bytes came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Begin,
    End,
    Abort,
    StartTls,
    Close,
}

/// All that a conversation came to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) output: Vec<u8>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) messages: Vec<Message>,
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Message {
    pub(crate) transaction: Transaction,
    pub(crate) content: Vec<u8>,
    pub(crate) eight_bit: bool,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    pub(crate) fn count(&self, event: Event) -> usize {
        self.events.iter().filter(|other| **other == event).count()
    }
}

pub(crate) struct Server {
    session: Session,
    options: Options,
    input: BytesMut,
    fed: usize,
    under_way: Option<(Transaction, Vec<u8>)>,
    pub(crate) outcome: Outcome,
}

impl Server {
    pub(crate) fn new(options: &Options) -> Self {
        let policy = Policy {
            hostname: "mx.onprem.test".to_owned(),
            size_max: options.size_max,
            recipients_max: options.recipients_max,
            body_line_max: options.line_max,
            errors_max: options.errors_max,
            junk_commands_max: options.junk_commands_max,
            starttls: options.starttls,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
            recipients: Arc::new(Domains { postmaster: options.postmaster }),
        };
        let mut server = Self {
            session: Session::new(Arc::new(policy), IpAddr::V4(Ipv4Addr::LOCALHOST)),
            options: options.clone(),
            input: BytesMut::new(),
            fed: 0,
            under_way: None,
            outcome: Outcome::default(),
        };
        server.session.greet(&mut server.outcome.output);
        server
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.outcome.events.last() == Some(&Event::Close)
    }

    /// Bytes that wait for more.
    pub(crate) fn waiting(&self) -> usize {
        self.input.len()
    }

    /// Gives bytes to the machine and does what it says until it wants more.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        self.fed += bytes.len();
        self.input.extend_from_slice(bytes);
        // Every step consumes something or changes the state: more steps than this are an endless loop.
        let steps_max = 4 * self.input.len() + 8;
        for _ in 0..steps_max {
            let (mut output, mut content) = (Vec::new(), Vec::new());
            let step = self.session.handle(&mut self.input, &mut output, &mut content);
            assert!(output.len() <= OUTPUT_BYTES_MAX, "{} bytes of output at once", output.len());
            self.outcome.output.extend_from_slice(&output);
            assert!(content.len() <= self.fed, "more content than input");
            match &mut self.under_way {
                Some((_, kept)) => kept.extend_from_slice(&content),
                None => assert!(content.is_empty(), "content without a message"),
            }
            match step {
                Step::Read => return,
                Step::Write => assert!(!output.is_empty(), "nothing to write"),
                Step::Content => assert!(self.under_way.is_some(), "content without a message"),
                Step::Begin(transaction) => self.begin(transaction),
                Step::End => self.end(),
                Step::Abort => {
                    self.outcome.events.push(Event::Abort);
                    assert!(self.under_way.take().is_some(), "an abort without a message");
                }
                Step::StartTls => {
                    self.outcome.events.push(Event::StartTls);
                    assert!(self.input.is_empty(), "bytes from before TLS are kept");
                    self.session.tls_started();
                }
                Step::Close => {
                    self.outcome.events.push(Event::Close);
                    self.under_way = None;
                    return;
                }
            }
        }
        panic!("{steps_max} steps without an end");
    }

    fn begin(&mut self, transaction: Transaction) {
        assert!(self.under_way.is_none(), "a message begins within another");
        assert!(!transaction.recipients.is_empty(), "a message begins without recipients");
        self.outcome.events.push(Event::Begin);
        self.outcome.transactions.push(transaction.clone());
        let verdict = match &self.options.refuse {
            Some(reply) => Err(reply.clone()),
            None => Ok(()),
        };
        if verdict.is_ok() {
            self.under_way = Some((transaction, Vec::new()));
        }
        self.session.begin(verdict, &mut self.outcome.output);
    }

    fn end(&mut self) {
        self.outcome.events.push(Event::End);
        let (transaction, content) = self.under_way.take().expect("an end without a message");
        assert!(content.len() <= self.fed, "more content than input");
        let eight_bit = self.session.saw_eight_bit();
        self.outcome.messages.push(Message { transaction, content, eight_bit });
        self.session.finish(self.options.finish.clone(), &mut self.outcome.output);
    }
}

/// One conversation whose bytes come in these pieces.
pub(crate) fn replay<'a>(options: &Options, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut server = Server::new(options);
    pieces.into_iter().for_each(|piece| server.feed(piece));
    server.outcome
}
