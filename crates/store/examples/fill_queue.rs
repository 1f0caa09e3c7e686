//! Fills a queue with deferred messages, and measures what a claim costs in queues of different sizes; for
//! `./bench queue` and `./bench server`. Uses nothing but the store's public interface.
//!
//! ```text
//! fill_queue fill PLACE COUNT DUE            COUNT messages, each deferred once; DUE of them are due already
//! fill_queue claims ROUNDS PLACE…            one line for each place: microseconds per delivery
//! fill_queue nodes PLACE NODES SECONDS WAIT  nodes that claim and defer for so long, to be due again after WAIT seconds:
//!                                            deliveries, and the median of a claim and of a settlement in microseconds
//!                                            per delivery
//! ```
//!
//! A place is a folder, or the URL of a PostgreSQL server.

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost_store::{
    Backend, Claim, Claimed, Clock, Content, Fleet as _, Leave, Member, NewDelivery, NewMessage, Outcome,
    PostgresSettings, PostgresStore, Queue as _, Settlement, SqliteStore, StoreError,
};
use jiff::{Timestamp, ToSpan as _};
use protocol::smtp::{Address, BodyType, Envelope, Failure, FailureKind, Phase, ReversePath};
use tokio::task::JoinSet;
use trace::{Attempt, Event, EventKind, Received};
use uuid::Uuid;

const NODE: &str = "bench";
const CONNECTOR: &str = "onprem";
const BODY_BYTES: usize = 2048;
/// Tasks that accept at the same time: enough to fill the store's transactions.
const TASKS: usize = 1024;
/// Messages that a task accepts before it settles them together.
const MESSAGES_PER_SETTLEMENT: usize = 50;
/// Deliveries of one claim, as a node claims them.
const CLAIM_LIMIT: u32 = 200;
/// How often a node is heard.
const HEARD_EVERY: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(23 * 3600);
/// When a queue that is filled has got its messages.
const HOURS_AGO: i64 = 3;
/// Rounds that only warm the caches.
const WARM_UP_ROUNDS: usize = 5;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["fill", place, count, due] => fill(place, count.parse()?, due.parse()?).await,
        ["claims", rounds, places @ ..] if !places.is_empty() => claims(rounds.parse()?, places).await,
        ["nodes", place, count, seconds, wait] => {
            let [seconds, wait] = [seconds, wait].map(|number| number.parse().map(Duration::from_secs));
            nodes(place, count.parse()?, seconds?, wait?).await
        }
        _ => {
            Err("usage: fill_queue fill PLACE COUNT DUE | claims ROUNDS PLACE… | nodes PLACE NODES SECONDS WAIT".into())
        }
    }
}

async fn open(place: &str, clock: &Clock) -> Result<Backend> {
    Ok(match PostgresSettings::new(place) {
        Ok(server) => Backend::Postgres(PostgresStore::open_by(&server, clock.clone()).await?),
        Err(_) => Backend::Sqlite(SqliteStore::open_by(Path::new(place), NODE, clock.clone())?),
    })
}

async fn fill(place: &str, count: usize, due: usize) -> Result<()> {
    let clock = Clock::system();
    let store = open(place, &clock).await?;
    let now = Timestamp::now();
    // What is due already was deferred some hours ago.
    clock.set(now - HOURS_AGO.hours());
    let member = store.join(NODE).await?.member;
    // Which deliveries are due already: evenly spread among the others.
    let is_due = move |index: usize| due > 0 && index * due / count != (index + 1) * due / count;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS.min(count) {
        let store = store.clone();
        let member = member.clone();
        let indexes = (task..count).step_by(TASKS).collect::<Vec<_>>();
        tasks.spawn(async move {
            for some in indexes.chunks(MESSAGES_PER_SETTLEMENT) {
                accept_and_defer(&store, &member, some, now, is_due).await?;
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

/// Accepts messages as a node does that sends them at once, and then defers them for a refused connection.
async fn accept_and_defer(
    store: &Backend,
    member: &Member,
    indexes: &[usize],
    now: Timestamp,
    is_due: impl Fn(usize) -> bool,
) -> Result<(), StoreError> {
    let mut settlements = Vec::with_capacity(indexes.len());
    for &index in indexes {
        let message = new_message(index, now);
        let (id, recipient) = (message.network_message_id, message.deliveries[0].recipient.clone());
        let received = event(now, id, None, EventKind::Received(received(&message)));
        let accepted = store.accept(message, Some(member.clone()), vec![received.into()]).await?;
        // Due times have nothing to do with the order of acceptance: the harder case for the claim.
        let shuffled = (index as i64).wrapping_mul(0x9E37_79B9).rem_euclid(3_600_000).milliseconds();
        let due = if is_due(index) { now - 2.hours() + shuffled } else { now + 2.hours() + shuffled };
        let due_in = Duration::try_from(due.duration_since(now - HOURS_AGO.hours())).unwrap_or_default();
        let failure = Failure::new(Phase::Connect, FailureKind::ConnectionRefused);
        let kind = EventKind::Deferred { attempt: attempt(), failure: failure.clone(), due };
        settlements.push(Settlement {
            delivery: accepted.deliveries[0],
            lease: accepted.lease.ok_or_else(|| StoreError::Other("no lease was given".to_owned()))?,
            message: accepted.message,
            outcome: Outcome::Deferred { failure, due_in, review_in: DAY, delay_notified: false },
            events: vec![event(now, id, Some(recipient), kind).into()],
            notice: None,
            weak: None,
        });
    }
    store.settle(settlements).await?;
    Ok(())
}

fn new_message(index: usize, now: Timestamp) -> NewMessage {
    let delivery = NewDelivery {
        recipient: address(&format!("user{index}@onprem.test")),
        notify: None,
        orcpt: None,
        connector: CONNECTOR.to_owned(),
        due_in: Duration::ZERO,
        review_in: DAY,
    };
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: now,
        envelope: Envelope {
            sender: ReversePath::Address(address(&format!("sender{index}@partner.test"))),
            body_type: BodyType::EightBitMime,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        message_id: Some(format!("{index}@partner.test")),
        subject: Some(format!("Message {index}")),
        size_bytes: BODY_BYTES as u64,
        client: Some([192, 0, 2, 1].into()),
        content: Content::Inline(Bytes::from_static(&BODY)),
        withhold_addresses: false,
        deliveries: vec![delivery],
    }
}

/// Lines of 64 bytes.
static BODY: [u8; BODY_BYTES] = {
    let mut body = [b'x'; BODY_BYTES];
    let mut line = 64;
    while line <= BODY_BYTES {
        (body[line - 2], body[line - 1]) = (b'\r', b'\n');
        line += 64;
    }
    body
};

#[allow(clippy::expect_used)]
fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

fn received(message: &NewMessage) -> Received {
    Received {
        sender: message.envelope.sender.clone(),
        recipients: 1,
        size_bytes: message.size_bytes,
        from: None,
        ehlo_name: "client.test".to_owned(),
        tls: None,
        handshake: None,
        session: "0000000000000000".to_owned(),
    }
}

fn attempt() -> Attempt {
    Attempt {
        connector: CONNECTOR.to_owned(),
        destination: None,
        local: None,
        tls_policy: "modern".to_owned(),
        plan_version: None,
        handshake: None,
        phases: vec![],
        tls: None,
        plaintext_because: None,
        session: "0000000000000000".to_owned(),
        duration_ms: 1,
    }
}

fn event(at: Timestamp, message: Uuid, recipient: Option<Address>, kind: EventKind) -> Event {
    Event { at, node: NODE.to_owned(), message, recipient, kind }
}

/// Claims and defers again, one store after the other in each round, so that whatever else the machine does hits all
/// alike. Everything is due; what was claimed goes to the end, so that the claims go round through the whole queue.
async fn claims(rounds: usize, places: &[&str]) -> Result<()> {
    let mut stores = Vec::new();
    let clock = Clock::system();
    for place in places {
        let store = open(place, &clock).await?;
        let member = store.join(NODE).await?.member;
        stores.push((store, member, Times::default()));
    }
    let start = Timestamp::now() + 24.hours();
    for round in 0..rounds + WARM_UP_ROUNDS {
        clock.set(start + (round as i64).seconds());
        for (store, member, times) in &mut stores {
            let round_times = claim_and_defer(store, member, Duration::ZERO).await?;
            if round_times.deliveries != CLAIM_LIMIT as usize {
                return Err(format!("{} deliveries claimed instead of {CLAIM_LIMIT}", round_times.deliveries).into());
            }
            if round >= WARM_UP_ROUNDS {
                times.add(round_times);
            }
        }
    }
    for (store, _, times) in &mut stores {
        let ((median, ninety), (settle, _)) = (percentiles(&mut times.claims), percentiles(&mut times.settlements));
        println!("{median:.2} {ninety:.2} {settle:.2}");
        store.clone().close().await;
    }
    Ok(())
}

/// In microseconds per delivery.
#[derive(Default)]
struct Times {
    deliveries: usize,
    claims: Vec<f64>,
    settlements: Vec<f64>,
}

impl Times {
    fn add(&mut self, other: Times) {
        self.deliveries += other.deliveries;
        self.claims.extend(other.claims);
        self.settlements.extend(other.settlements);
    }
}

/// One claim; all of it is deferred.
async fn claim_and_defer(store: &Backend, member: &Member, wait: Duration) -> Result<Times, StoreError> {
    let claim = Claim {
        connector: CONNECTOR.to_owned(),
        due_for: Duration::ZERO,
        limit: CLAIM_LIMIT,
        messages: u32::MAX,
        leave: Leave::default(),
        holder: member.clone(),
    };
    let begin = Instant::now();
    let claimed = store.claim(claim).await?;
    let claim_time = begin.elapsed();
    let settlements = claimed.iter().flat_map(|claimed| deferrals(claimed, wait)).collect::<Vec<_>>();
    let deliveries = settlements.len();
    if deliveries == 0 {
        return Ok(Times::default());
    }
    let begin = Instant::now();
    store.settle(settlements).await?;
    let each = |time: Duration| vec![time.as_secs_f64() * 1e6 / deliveries as f64];
    Ok(Times { deliveries, claims: each(claim_time), settlements: each(begin.elapsed()) })
}

fn deferrals(claimed: &Claimed, due_in: Duration) -> impl Iterator<Item = Settlement> {
    claimed.deliveries.iter().map(move |delivery| Settlement {
        delivery: delivery.key,
        lease: claimed.lease,
        message: claimed.message.key,
        outcome: Outcome::Deferred {
            failure: Failure::new(Phase::Connect, FailureKind::ConnectionRefused),
            due_in,
            review_in: DAY,
            delay_notified: false,
        },
        events: vec![],
        notice: None,
        weak: None,
    })
}

/// Each node has connections of its own. They claim what is due by the store's clock, as long as there is any.
async fn nodes(place: &str, count: usize, time: Duration, wait: Duration) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let store = open(place, &Clock::system()).await?;
        let member = store.join(&format!("{NODE}-{number}")).await?.member;
        let (store, end) = (Arc::new(store), Instant::now() + time);
        tasks.spawn(async move {
            let mut times = Times::default();
            let mut heard = Instant::now();
            while Instant::now() < end {
                if heard.elapsed() >= HEARD_EVERY {
                    store.renew(&member, vec![]).await?;
                    heard = Instant::now();
                }
                let round = claim_and_defer(&store, &member, wait).await?;
                if round.deliveries == 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                times.add(round);
            }
            store.leave(&member).await?;
            Ok::<_, StoreError>(times)
        });
    }
    let mut all = Times::default();
    while let Some(result) = tasks.join_next().await {
        all.add(result??);
    }
    let ((claim, _), (settle, _)) = (percentiles(&mut all.claims), percentiles(&mut all.settlements));
    println!("{} {claim:.2} {settle:.2}", all.deliveries);
    Ok(())
}

/// The median and the 90th percentile.
fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    (at(50), at(90))
}
