//! From one address of a host to the next: a connection that fails is not an attempt of its own if another address is tried at
//! once, because mail does not wait for it.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use trace::protocol_log::{RowKind, Session};

const NEXT_ADDRESS_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// Sessions that are looked at for the next address: more do not begin at once.
const AT_ONCE_MAX: usize = 100;

/// Sessions without a connection, after which the same attempt tries another address at once. Each goes on to a session of
/// its own, and none to an address that it has tried before: that is the next attempt.
pub(super) fn going_on(sessions: &[Session]) -> HashSet<usize> {
    let mut by_connector: HashMap<&str, Vec<(Timestamp, usize)>> = HashMap::new();
    for (index, session) in sessions.iter().enumerate() {
        if let Some((at, first)) = session.rows.first().and_then(|first| Some((first.at?, first))) {
            by_connector.entry(first.connector.as_str()).or_default().push((at, index));
        }
    }
    let mut go_on = HashSet::new();
    for mut starts in by_connector.into_values() {
        starts.sort_unstable();
        add_going_on(sessions, &starts, &mut go_on);
    }
    go_on
}

fn add_going_on(sessions: &[Session], starts: &[(Timestamp, usize)], go_on: &mut HashSet<usize>) {
    // Addresses that an attempt tried before it came to this session.
    let mut before: HashMap<usize, Vec<&str>> = HashMap::new();
    for (place, (_, index)) in starts.iter().enumerate() {
        let rows = &sessions[*index].rows;
        let (Some(first), Some(end)) = (rows.first(), rows.last().and_then(|last| last.at)) else { continue };
        if rows.iter().any(|row| row.kind == RowKind::Connect) {
            continue;
        }
        let mut tried = before.get(index).cloned().unwrap_or_default();
        tried.push(&first.remote);
        let later = starts[place + 1..].iter().skip_while(|(start, _)| *start < end);
        let soon = later.take_while(|(start, _)| start.duration_since(end) <= NEXT_ADDRESS_WITHIN).take(AT_ONCE_MAX);
        let mut free = soon.filter(|(_, next)| !before.contains_key(next));
        let is_new =
            |next: &usize| sessions[*next].rows.first().is_some_and(|row| !tried.contains(&row.remote.as_str()));
        if let Some((_, next)) = free.find(|(_, next)| is_new(next)) {
            before.insert(*next, tried);
            go_on.insert(*index);
        }
    }
}

#[cfg(test)]
mod tests {
    use trace::protocol_log::{read, sessions};

    use super::*;

    /// The addresses and milliseconds of sessions that did not connect; those that went on.
    fn going(starts: &[(&str, u32)]) -> Vec<usize> {
        let row = |(number, (remote, ms)): (usize, &(&str, u32))| {
            let at = format!("2026-11-25T12:00:{:02}.{:03}Z", ms / 1000, ms % 1000);
            format!("{at},out,{number:016X},0,,{remote}:25,*,,\"Failed to connect. connection refused\"\r\n")
        };
        let log: String = starts.iter().enumerate().map(row).collect();
        let mut going: Vec<usize> = going_on(&sessions(read(log.as_bytes()).rows)).into_iter().collect();
        going.sort_unstable();
        going
    }

    #[test]
    fn each_attempt_goes_on_to_addresses_of_its_own() {
        let (six, four) = ("[::1]", "192.0.2.1");
        for (starts, expected) in [
            (&[(six, 0), (four, 300)][..], &[0][..]),
            (&[(six, 0), (four, 20_000)], &[]),
            // All within one millisecond.
            (&[(six, 0), (four, 0)], &[0]),
            // Two attempts, one after the other and side by side.
            (&[(six, 0), (four, 1), (six, 300), (four, 301)], &[0, 2]),
            (&[(six, 0), (six, 0), (four, 1), (four, 1)], &[0, 1]),
            // One address is tried again and again.
            (&[(four, 0), (four, 100), (four, 200)], &[]),
        ] {
            assert_eq!(going(starts), expected, "{starts:?}");
        }
    }
}
