//! Sends messages at a fixed rate, whether the other end keeps up or not (an open loop), and prints how long the replies
//! to the final dot took: median and 99th percentile in milliseconds, messages that were accepted, that failed, and
//! that began late because all sessions, or the processors, were busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::wire::{Client, Connection, Result};

/// A message that begins later than this is counted as late.
const LATE: Duration = Duration::from_millis(20);

/// When each message is due.
pub(crate) struct Pace {
    next: AtomicU64,
    messages: u64,
    interval: Duration,
    begin: Instant,
}

#[derive(Default)]
struct Tally {
    replies: Vec<Duration>,
    failed: u64,
    late: u64,
}

impl Pace {
    pub(crate) fn new(messages: u64, rate: f64) -> Self {
        let interval = Duration::from_secs_f64(1.0 / rate);
        // The sessions are ready by this time.
        let begin = Instant::now() + Duration::from_millis(200);
        Self { next: AtomicU64::new(0), messages, interval, begin }
    }

    /// Waits until the next message is due, and returns its due time. `None` after the last.
    fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.messages {
            return None;
        }
        let due = self.begin + self.interval.mul_f64(number as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        Some(due)
    }
}

pub(crate) fn run(client: Client, pace: Pace, sessions: usize, per_connection: u64) -> Result<()> {
    let shared = Arc::new((client, pace));
    let threads: Vec<_> = (0..sessions)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared.0, &shared.1, per_connection))
        })
        .collect();
    let mut sum = Tally::default();
    for thread in threads {
        let Tally { replies, failed, late } = thread.join().map_err(|_| "a session panicked")?;
        sum.replies.extend(replies);
        sum.failed += failed;
        sum.late += late;
    }
    sum.replies.sort_unstable();
    let (median, high) = (percentile(&sum.replies, 50), percentile(&sum.replies, 99));
    println!("{median:.3} {high:.3} {} {} {}", sum.replies.len(), sum.failed, sum.late);
    Ok(())
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
}

fn work(client: &Client, pace: &Pace, per_connection: u64) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<(Connection, u64)> = None;
    while let Some(due) = pace.next() {
        tally.late += u64::from(due.elapsed() > LATE);
        match send(client, kept.take()) {
            Ok((reply, connection, sent)) => {
                tally.replies.push(reply);
                if sent < per_connection {
                    kept = Some((connection, sent));
                } else {
                    // The message is accepted, even if the connection fails later.
                    let _ = connection.quit();
                }
            }
            Err(_) => tally.failed += 1,
        }
    }
    tally
}

fn send(client: &Client, kept: Option<(Connection, u64)>) -> Result<(Duration, Connection, u64)> {
    let (mut connection, sent) = match kept {
        Some(kept) => kept,
        None => (client.connect()?, 0),
    };
    let reply = client.send(&mut connection)?;
    Ok((reply, connection, sent + 1))
}
