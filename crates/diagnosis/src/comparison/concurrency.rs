//! How many connections were open to the destination when an attempt began, where only their times are known.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::evidence::{Evidence, Flight, Record};
use crate::tables::HashMap;

/// Connections open at once, by the number in [`Record::flight`] from 1.
#[derive(Debug)]
pub(super) struct Open(Vec<u32>);

/// A connection to a destination, from its beginning to the result of an attempt on it.
struct Span {
    destination: u32,
    began: i64,
    ended: i64,
    client: u32,
    flight: u32,
}

impl Open {
    pub(super) fn count(evidence: &Evidence) -> Self {
        let mut open = vec![0; evidence.flights.len()];
        let mut spans = Vec::new();
        for record in evidence.records.iter().filter(|record| record.flight != 0 && record.destination != 0) {
            let index = record.flight as usize - 1;
            match evidence.flights.get(index) {
                Some(Flight::Counted(count)) => open[index] = *count,
                Some(Flight::Since { client, began }) if record.at >= *began => spans.push(Span {
                    destination: record.destination,
                    began: *began,
                    ended: record.at,
                    client: *client,
                    flight: record.flight,
                }),
                Some(Flight::Since { .. }) | None => {}
            }
        }
        spans.sort_unstable_by_key(|span| (span.destination, span.began));
        for at_destination in spans.chunk_by(|a, b| a.destination == b.destination) {
            sweep(at_destination, &mut open);
        }
        Self(open)
    }

    /// `None`: not observed.
    pub(super) fn at(&self, record: &Record) -> Option<u32> {
        let count = self.0.get((record.flight as usize).checked_sub(1)?)?;
        (*count > 0).then_some(*count)
    }
}

/// Counts the connections of one destination; `spans` are in the order of their beginnings. Several messages and
/// recipients on one connection count once.
fn sweep(spans: &[Span], open: &mut [u32]) {
    let mut ends: BinaryHeap<Reverse<(i64, u32)>> = BinaryHeap::new();
    let mut clients: HashMap<u32, i64> = HashMap::default();
    for beginning in spans.chunk_by(|a, b| a.began == b.began) {
        let now = beginning[0].began;
        while let Some(Reverse((ended, client))) = ends.peek().copied()
            && ended <= now
        {
            ends.pop();
            if clients.get(&client) == Some(&ended) {
                clients.remove(&client);
            }
        }
        for span in beginning {
            let ended = clients.entry(span.client).or_insert(span.ended);
            *ended = span.ended.max(*ended);
            ends.push(Reverse((*ended, span.client)));
        }
        for span in beginning {
            open[span.flight as usize - 1] = clients.len() as u32;
        }
    }
}
