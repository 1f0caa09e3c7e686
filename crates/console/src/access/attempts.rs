//! Slows down those who guess passwords, by user and by client, in bounded memory.
//!
//! An attempt counts when it begins, so that many at once are slowed as well. From a certain number on, each attempt of a user or
//! a client gets a time before which it is not looked at, later and later. One that would wait too long is refused at once.
//! A person who has logged in from a client before is not slowed by what others guess about that user elsewhere: nobody can
//! lock a user out from afar.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Counts begin again after this time without an attempt.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// An attempt that would wait longer is refused.
const WAIT_MAX: Duration = Duration::from_secs(4);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Attempts without a delay. Behind one address there may be many people.
const FREE_OF_USER: u32 = 5;
const FREE_OF_CLIENT: u32 = 10;
const ENTRIES_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Attempts {
    users: Table<String>,
    clients: Table<IpAddr>,
    /// Users with clients from which they have logged in.
    familiar: HashSet<(String, IpAddr)>,
    total: u64,
    last: Option<Instant>,
}

/// An attempt that may be looked at after a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Admitted {
    pub(super) wait: Duration,
    pub(super) count: Count,
}

/// How many attempts in a row there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Count {
    /// By that user or that client, whichever is more.
    pub(super) in_a_row: u64,
    of_all: u64,
}

/// Too many attempts: the next one is looked at after this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) again_in: Duration,
    pub(super) count: Count,
}

impl Count {
    /// 1, 2, 5, 10, 20, 50, 100 … in a row. Where very many names and addresses are used, only each hundredth attempt.
    pub(super) fn is_recorded(self) -> bool {
        let mut rest = self.in_a_row;
        while rest >= 10 && rest.is_multiple_of(10) {
            rest /= 10;
        }
        matches!(rest, 1 | 2 | 5) && (self.of_all <= 100 || self.of_all.is_multiple_of(100))
    }
}

impl Attempts {
    pub(super) fn begin(&mut self, user: &str, client: IpAddr, now: Instant) -> Result<Admitted, Refused> {
        if self.last.is_none_or(|last| now.duration_since(last) > FORGOTTEN_AFTER) {
            self.total = 0;
        }
        self.last = Some(now);
        self.total += 1;
        let is_familiar = self.familiar.contains(&(user.to_owned(), client));
        let of_client = self.clients.entry(client, now);
        let of_user = (!is_familiar).then(|| self.users.entry(user.to_owned(), now));
        let entries = [(Some(of_client), FREE_OF_CLIENT), (of_user, FREE_OF_USER)];
        let mut entries: Vec<_> =
            entries.into_iter().filter_map(|(entry, free)| entry.map(|entry| (entry, free))).collect();
        entries.iter_mut().for_each(|(entry, _)| entry.count += 1);
        let in_a_row = entries.iter().map(|(entry, _)| entry.count).max().unwrap_or(0);
        let count = Count { in_a_row: in_a_row.into(), of_all: self.total };
        let at = entries.iter().map(|(entry, _)| entry.next).max().unwrap_or(now).max(now);
        let wait = at.duration_since(now);
        if wait > WAIT_MAX {
            return Err(Refused { again_in: wait, count });
        }
        for (entry, free) in &mut entries {
            entry.admitted += 1;
            entry.next = at + delay(entry.admitted, *free);
        }
        Ok(Admitted { wait, count })
    }

    /// The client's other attempts still count: its owner may have a user as well.
    pub(super) fn succeeded(&mut self, user: &str, client: IpAddr) {
        self.users.0.remove(user);
        if let Some(entry) = self.clients.0.get_mut(&client) {
            // Another entry may have taken the place of the one that was counted.
            entry.count = entry.count.saturating_sub(1);
            entry.admitted = entry.admitted.saturating_sub(1);
        }
        if self.familiar.len() >= ENTRIES_MAX {
            self.familiar.clear();
        }
        self.familiar.insert((user.to_owned(), client));
    }
}

/// Doubles with each attempt after the free ones: 1 s, 2 s, 4 s …
fn delay(admitted: u32, free: u32) -> Duration {
    match admitted.checked_sub(free) {
        None => Duration::ZERO,
        Some(over) => Duration::from_secs(1 << over.min(6)).min(DELAY_MAX),
    }
}

struct Table<K>(HashMap<K, Entry>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

struct Entry {
    /// Attempts, also those that were refused at once.
    count: u32,
    admitted: u32,
    /// The next attempt is not looked at before.
    next: Instant,
    last: Instant,
}

impl<K: Eq + Hash + Clone> Table<K> {
    fn entry(&mut self, key: K, now: Instant) -> &mut Entry {
        if !self.0.contains_key(&key) && self.0.len() >= ENTRIES_MAX {
            self.make_room(now);
        }
        let new = || Entry { count: 0, admitted: 0, next: now, last: now };
        let entry = self.0.entry(key).or_insert_with(new);
        if now.duration_since(entry.last) > FORGOTTEN_AFTER {
            *entry = new();
        }
        entry.last = now;
        entry
    }

    /// Those with few attempts go first: a flood of names must not make room for more guesses about one.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, entry| now.duration_since(entry.last) <= FORGOTTEN_AFTER);
        if self.0.len() >= ENTRIES_MAX {
            let mut all: Vec<_> = self.0.iter().map(|(key, entry)| ((entry.count, entry.last), key.clone())).collect();
            all.select_nth_unstable_by_key(ENTRIES_MAX / 4, |(order, _)| *order);
            for (_, key) in all.iter().take(ENTRIES_MAX / 4) {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// The waits of attempts that come one after the other; `None`: refused.
    fn waits(attempts: &mut Attempts, user: &str, from: u8, count: usize, now: &mut Instant) -> Vec<Option<u64>> {
        let attempt = |_| match attempts.begin(user, client(from), *now) {
            Ok(Admitted { wait, .. }) => {
                *now += wait;
                Some(wait.as_secs())
            }
            Err(_) => None,
        };
        (0..count).map(attempt).collect()
    }

    #[test]
    fn guesses_about_a_user_wait_longer_and_longer() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        let expected = [Some(0), Some(0), Some(0), Some(0), Some(0), Some(1), Some(2), Some(4), None, None];
        assert_eq!(waits(&mut attempts, "ana", 1, 10, &mut now), expected);
        // Also from elsewhere.
        let refused = attempts.begin("ana", client(2), now).unwrap_err();
        assert_eq!((refused.again_in.as_secs(), refused.count.in_a_row), (8, 11));
        assert_eq!(attempts.begin("bob", client(3), now).unwrap().wait, Duration::ZERO);
        now += refused.again_in;
        assert_eq!(waits(&mut attempts, "ana", 2, 2, &mut now), [Some(0), None]);
        now += FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(attempts.begin("ana", client(1), now).unwrap().count.in_a_row, 1);
    }

    #[test]
    fn guesses_at_once_are_slowed_too() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let admitted = (0..100).filter(|_| attempts.begin("ana", client(1), now).is_ok()).count();
        assert_eq!(admitted, 7);
    }

    #[test]
    fn a_client_with_many_names_is_slowed() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let admitted = (0..100).filter(|n| attempts.begin(&format!("user{n}"), client(1), now).is_ok()).count();
        assert_eq!(admitted, 12);
        assert!(attempts.begin("ana", client(2), now).is_ok());
    }

    #[test]
    fn nobody_is_locked_out_from_afar() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        assert!(attempts.begin("ana", client(1), now).is_ok());
        attempts.succeeded("ana", client(1));
        assert!(waits(&mut attempts, "ana", 2, 20, &mut now).contains(&None));
        assert_eq!(attempts.begin("ana", client(1), now).unwrap().wait, Duration::ZERO);
        // That client is slowed like any other.
        assert!(waits(&mut attempts, "ana", 1, 20, &mut now).contains(&None));
    }

    #[test]
    fn a_user_of_its_own_does_not_help_a_client_to_guess() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let mut admitted = 0;
        for number in 0..100 {
            if attempts.begin("eve", client(1), now).is_ok() {
                attempts.succeeded("eve", client(1));
            }
            admitted += u32::from(attempts.begin(&format!("user{number}"), client(1), now).is_ok());
        }
        assert!(admitted <= 12, "{admitted}");
    }

    #[test]
    fn memory_is_bounded_and_what_counts_stays() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..9 {
            let _ = attempts.begin("ana", client(1), now);
        }
        for number in 0..2 * ENTRIES_MAX as u32 {
            let _ = attempts.begin(&format!("user{number}"), IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(attempts.users.0.len() <= ENTRIES_MAX && attempts.clients.0.len() <= ENTRIES_MAX);
        assert!(attempts.begin("ana", client(2), now).is_err());
    }

    #[test]
    fn not_each_of_many_is_recorded() {
        let recorded = |of_all: fn(u64) -> u64, up_to: u64| {
            (1..=up_to).filter(|n| Count { in_a_row: *n, of_all: of_all(*n) }.is_recorded()).collect::<Vec<_>>()
        };
        assert_eq!(recorded(|_| 1, 1000), [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]);
        assert_eq!(recorded(|n| 100 + n, 600), [100, 200, 500]);
        let flood = (1..=1000).filter(|n| Count { in_a_row: 1, of_all: *n }.is_recorded()).count();
        assert_eq!(flood, 109);
    }
}
