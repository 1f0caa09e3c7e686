//! Fills a history and measures what searching it costs; for `./bench trace` and `./bench server`. Uses nothing but the
//! store's public interface.
//!
//! ```text
//! trace_bench fill   PLACE MESSAGES DAYS     messages with five events each, spread evenly over the days before now
//! trace_bench search PLACE MESSAGES DAYS     one line for each kind of search: name, median ms, slowest ms, rows
//! ```
//!
//! A place is a folder, or the URL of a PostgreSQL server.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost_store::{
    AttemptMatch, Backend, Content, Fleet as _, History as _, Member, NewDelivery, NewMessage, Outcome,
    PostgresSettings, Queue as _, Settlement, StoreError, SubjectMatch, TraceQuery,
};
use jiff::{Timestamp, ToSpan as _};
use protocol::smtp::{
    Address, Destination, EnhancedCode, Envelope, Failure, FailureKind, Phase, Reply, ReversePath, TlsSummary,
};
use tokio::task::JoinSet;
use trace::{Attempt, Event, EventKind, Received};
use uuid::Uuid;

const NODE: &str = "bench";
const TASKS: usize = 512;
const MESSAGES_PER_SETTLEMENT: usize = 50;
/// Searches of each kind.
const ROUNDS: usize = 41;
const SENDERS: usize = 20_000;
const RECIPIENTS: usize = 5_000;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["fill" | "search", place, messages, days] = arguments[..] else {
        return Err("usage: trace_bench fill|search PLACE MESSAGES DAYS".into());
    };
    let history = History { messages: messages.parse()?, days: days.parse()?, now: Timestamp::now() };
    match arguments[0] {
        "fill" => history.fill(place).await,
        _ => history.search(place).await,
    }
}

async fn open(place: &str) -> Result<Backend> {
    Ok(match PostgresSettings::new(place) {
        Ok(server) => Backend::open_server(&server).await?,
        Err(_) => Backend::open(Path::new(place), NODE)?,
    })
}

#[derive(Clone, Copy)]
struct History {
    messages: usize,
    days: i64,
    now: Timestamp,
}

/// Spreads numbers without a pattern.
fn scatter(index: usize) -> usize {
    (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) as usize
}

fn sender(index: usize) -> String {
    format!("sender{}@partner{}.test", scatter(index) % SENDERS, scatter(index) % 97)
}

fn recipient(index: usize) -> String {
    format!("user{}@onprem.test", scatter(index + 1) % RECIPIENTS)
}

fn network_message_id(index: usize) -> Uuid {
    Uuid::from_u128((index as u128 + 1) << 32)
}

impl History {
    fn received(&self, index: usize) -> Timestamp {
        let span = self.days * 86_400_000;
        self.now - (span - span * index as i64 / self.messages as i64).milliseconds()
    }

    async fn fill(self, place: &str) -> Result<()> {
        let store = open(place).await?;
        let member = store.join(NODE).await?.member;
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let store = store.clone();
            let member = member.clone();
            // In the order of their receipt, more or less: as a node has it.
            let indexes: Vec<usize> = (task..self.messages).step_by(TASKS).collect();
            tasks.spawn(async move {
                for some in indexes.chunks(MESSAGES_PER_SETTLEMENT) {
                    self.accept_and_deliver(&store, &member, some).await?;
                }
                Ok::<_, StoreError>(())
            });
        }
        while let Some(result) = tasks.join_next().await {
            result??;
        }
        store.close().await;
        Ok(())
    }

    async fn accept_and_deliver(&self, store: &Backend, member: &Member, indexes: &[usize]) -> Result<(), StoreError> {
        let mut settlements = Vec::with_capacity(indexes.len());
        for &index in indexes {
            let at = self.received(index);
            let message = self.message(index, at);
            let (id, to) = (message.network_message_id, message.deliveries[0].recipient.clone());
            let event = |at, kind| Event { at, node: NODE.to_owned(), message: id, recipient: Some(to.clone()), kind };
            let received = Received {
                sender: message.envelope.sender.clone(),
                recipients: 1,
                size_bytes: message.size_bytes,
                from: message.client,
                ehlo_name: "client.test".to_owned(),
                tls: None,
                handshake: None,
                session: format!("{index:016X}"),
            };
            let accepted = store
                .accept(message, Some(member.clone()), vec![event(at, EventKind::Received(received)).into()])
                .await?;
            let failure = Failure::new(Phase::Connect, FailureKind::ConnectionRefused);
            let deferred = |minutes: i64| {
                let kind = EventKind::Deferred { attempt: attempt(index), failure: failure.clone(), due: at };
                event(at + minutes.minutes(), kind)
            };
            let reply = Reply::new(250, Some(EnhancedCode::new(2, 0, 0)), "queued");
            let delivered = EventKind::Delivered { attempt: attempt(index), reply: reply.clone() };
            settlements.push(Settlement {
                delivery: accepted.deliveries[0],
                lease: accepted.lease.ok_or_else(|| StoreError::Other("no lease was given".to_owned()))?,
                message: accepted.message,
                outcome: Outcome::Delivered { reply, at: at + 60.minutes() },
                events: [deferred(15), deferred(30), deferred(45), event(at + 60.minutes(), delivered)]
                    .map(Into::into)
                    .into(),
                notice: None,
                weak: None,
            });
        }
        store.settle(settlements).await?;
        Ok(())
    }

    fn message(&self, index: usize, received: Timestamp) -> NewMessage {
        let address = |text: &str| Address::parse(text).expect("an address");
        NewMessage {
            network_message_id: network_message_id(index),
            received,
            envelope: Envelope::from(ReversePath::try_from(sender(index)).expect("an address")),
            message_id: Some(format!("{index}@partner.test")),
            subject: Some(format!("Order {} of customer {}", scatter(index) % 100_000, index % 1000)),
            size_bytes: 2000 + (scatter(index) % 100_000) as u64,
            client: Some([192, 0, 2, (index % 250) as u8].into()),
            content: Content::Inline(Bytes::from_static(b"x")),
            withhold_addresses: false,
            deliveries: vec![NewDelivery {
                recipient: address(&recipient(index)),
                notify: None,
                orcpt: None,
                connector: "onprem".to_owned(),
                due_in: Duration::ZERO,
                review_in: Duration::ZERO,
            }],
        }
    }

    async fn search(self, place: &str) -> Result<()> {
        let store = open(place).await?;
        let week = |index: usize| {
            let at = self.received(index);
            TraceQuery {
                since: Some(at - 84.hours()),
                until: Some(at + 84.hours()),
                limit: 1000,
                ..TraceQuery::default()
            }
        };
        let day = |index: usize| {
            let at = self.received(index);
            TraceQuery {
                since: Some(at - 12.hours()),
                until: Some(at + 12.hours()),
                limit: 1000,
                ..TraceQuery::default()
            }
        };
        let kinds: [(&str, &dyn Fn(usize) -> TraceQuery); 12] = [
            ("recipient, one week", &|i| TraceQuery { recipient: Some(recipient(i)), ..week(i) }),
            ("sender, one week", &|i| TraceQuery { sender: Some(sender(i)), ..week(i) }),
            ("Message-ID, one week", &|i| TraceQuery { message_id: Some(format!("{i}@partner.test")), ..week(i) }),
            ("network message id, one week", &|i| TraceQuery {
                network_message_id: Some(network_message_id(i)),
                ..week(i)
            }),
            ("nothing, first page", &|_| TraceQuery { limit: 1000, ..TraceQuery::default() }),
            ("subject contains (nothing does), one day", &|i| TraceQuery {
                subjects: vec![SubjectMatch::Contains("invoice".to_owned())],
                ..day(i)
            }),
            ("sender's domain, one day", &|i| TraceQuery { sender: Some("@partner7.test".to_owned()), ..day(i) }),
            ("client's address, one day", &|i| TraceQuery { from_ip: Some([192, 0, 2, 7].into()), ..day(i) }),
            ("reply code (no such), one day", &|i| TraceQuery { last_attempt: code("451"), ..day(i) }),
            ("cipher, one day", &|i| TraceQuery { last_attempt: cipher("RC4-SHA"), ..day(i) }),
            ("TLS version, one day", &|i| TraceQuery { last_attempt: version("TLSv1"), ..day(i) }),
            ("size over 100 KB, one day", &|i| TraceQuery { size_min: Some(101_990), ..day(i) }),
        ];
        for (name, query) in kinds {
            let mut times = Vec::new();
            let mut rows = 0;
            for round in 0..ROUNDS {
                // Somewhere in the middle, so that the range is full on both sides.
                let index = self.messages / 10 + scatter(round * 31 + 7) % (self.messages * 8 / 10);
                let begin = Instant::now();
                rows += store.trace(query(index)).await?.len();
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            println!("{name}\t{:.1}\t{:.1}\t{}", times[ROUNDS / 2], times[ROUNDS - 1], rows / ROUNDS);
        }
        store.close().await;
        Ok(())
    }
}

fn code(code: &str) -> AttemptMatch {
    AttemptMatch { code: Some(code.to_owned()), ..AttemptMatch::default() }
}

fn cipher(cipher: &str) -> AttemptMatch {
    AttemptMatch { cipher: Some(cipher.to_owned()), ..AttemptMatch::default() }
}

fn version(version: &str) -> AttemptMatch {
    AttemptMatch { tls_version: Some(version.to_owned()), ..AttemptMatch::default() }
}

/// One in a thousand with RC4.
fn attempt(index: usize) -> Attempt {
    let (version, cipher) =
        if index.is_multiple_of(1000) { ("TLSv1", "RC4-SHA") } else { ("TLSv1.3", "TLS_AES_256_GCM_SHA384") };
    Attempt {
        connector: "onprem".to_owned(),
        destination: Some(Destination {
            host: "mail.onprem.test".to_owned(),
            port: 25,
            address: Some(([192, 0, 2, 25], 25).into()),
        }),
        local: None,
        tls_policy: "modern".to_owned(),
        plan_version: None,
        tls: Some(TlsSummary { version: version.to_owned(), cipher: cipher.to_owned() }),
        handshake: None,
        phases: vec![],
        plaintext_because: None,
        session: format!("{index:016X}"),
        duration_ms: 12,
    }
}
