//! Shares by example, and what holds whatever happens.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const LIMIT: u32 = 8;

fn demand(wanted: u32, bound: u32) -> Demand {
    Demand { connector: "c".to_owned(), concurrency: LIMIT, wanted, bound, interval: None, messages: 0 }
}

fn under_rate(interval: Duration, messages: u32) -> Demand {
    Demand { interval: Some(interval), messages, ..demand(1, 1) }
}

fn member(name: &str) -> Member {
    Member::new(name, Epoch(1), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_limit_is_divided_by_demand() {
    let cases: &[(u32, &[u32], &[u32])] = &[
        (20, &[1], &[20]),
        (20, &[1, 1, 1, 1], &[5, 5, 5, 5]),
        (8, &[1, 8], &[1, 7]),
        (8, &[8, 8, 8], &[2, 3, 3]),
        (8, &[2, 3, 9], &[2, 3, 3]),
        (20, &[1, 8], &[6, 14]),
        (2, &[1, 1, 1, 1], &[0, 0, 1, 1]),
        (0, &[1, 1], &[0, 0]),
        (8, &[], &[]),
        (u32::MAX, &[1, u32::MAX], &[1, u32::MAX - 1]),
    ];
    for (limit, wanted, expected) in cases {
        let wanting: Vec<(&str, u32)> = wanted.iter().map(|wanted| ("n", *wanted)).collect();
        let given: Vec<u32> = divide(*limit, &wanting).into_iter().map(|(_, connections)| connections).collect();
        assert_eq!(&given, expected, "{limit} among {wanted:?}");
    }
}

#[test]
fn what_a_dead_node_had_is_free_after_a_while() {
    let (mut shares, a, b) = (Shares::default(), member("a"), member("b"));
    let mut give =
        |member: &Member, bound, second: i64| shares.give(member, &demand(8, bound), second * SECOND).connections;
    assert_eq!(give(&a, 0, 0), 8);
    // The first keeps what it has until it has heard of the second.
    assert_eq!(give(&b, 0, 1), 0);
    assert_eq!(give(&a, 8, 2), 4);
    assert_eq!(give(&b, 0, 3), 0);
    assert_eq!(give(&a, 6, 4), 4);
    assert_eq!(give(&b, 0, 5), 2);
    assert_eq!(give(&b, 2, 33), 2);
    assert_eq!(give(&b, 2, 34), 8);
    // It was only cut off.
    assert_eq!(give(&a, 0, 35), 0);
    assert_eq!(give(&b, 8, 36), 4);
}

#[test]
fn a_node_that_starts_again_has_nothing_of_the_one_before() {
    let mut shares = Shares::default();
    assert_eq!(shares.give(&member("a"), &demand(8, 0), 0).connections, 8);
    let again = Member::new("a", Epoch(2), Timestamp::UNIX_EPOCH);
    assert_eq!(shares.give(&again, &demand(8, 0), 1).connections, 8);
    assert_eq!(shares.give(&member("a"), &demand(8, 8), 2), demand(8, 8).nothing());
}

/// It was silent for too long, but has still attempts past the final dot; or the store was restored.
#[test]
fn what_is_open_counts_though_its_row_is_gone() {
    let (mut shares, a, b) = (Shares::default(), member("a"), member("b"));
    assert_eq!(shares.give(&a, &demand(8, 5), 0).connections, 8);
    let mut shares = Shares::default();
    assert_eq!(shares.give(&a, &demand(8, 5), 0).connections, 8);
    assert_eq!(shares.give(&b, &demand(8, 3), 0).connections, 3);
    // Eleven are open: nobody gets more before they are eight.
    assert_eq!(shares.give(&b, &demand(8, 3), 1).connections, 3);
    assert_eq!(shares.give(&a, &demand(8, 4), 2).connections, 4);
    assert_eq!(shares.give(&b, &demand(8, 3), 3).connections, 4);
}

#[test]
fn a_limit_below_the_number_of_nodes_goes_round() {
    let (mut shares, names) = (Shares::default(), ["a", "b", "c"]);
    let (mut given, mut had) = ([0; 3], [false; 3]);
    for second in 0..200 {
        for (index, name) in names.iter().enumerate() {
            let one = Demand { concurrency: 1, ..demand(1, given[index]) };
            given[index] = shares.give(&member(name), &one, second * SECOND).connections;
            had[index] |= given[index] > 0;
            assert!(given.iter().sum::<u32>() <= 1, "{given:?}");
        }
    }
    assert_eq!(had, [true; 3]);
}

#[test]
fn a_slow_rate_has_one_slot_at_a_time() {
    let (mut shares, interval) = (Shares::default(), Duration::from_secs(1800));
    let mut give = |name, messages, second: i64| {
        let share = shares.give(&member(name), &under_rate(interval, messages), second * SECOND);
        (share.slots, share.first_in.as_secs(), share.next_in.as_secs(), share.slots_max)
    };
    assert_eq!(give("a", 5, 0), (1, 0, 1800, 1));
    assert_eq!(give("b", 5, 10), (0, 1790, 1790, 1));
    assert_eq!(give("b", 5, 1799), (1, 1, 1801, 1));
    // What was not used is lost.
    assert_eq!(give("a", 0, 9000), (0, 0, 0, 1));
    assert_eq!(give("a", 2, 9000), (1, 0, 1800, 1));
}

#[test]
fn a_higher_rate_does_not_wait_for_a_slot_of_the_lower_one() {
    let mut shares = Shares::default();
    shares.give(&member("a"), &under_rate(Duration::from_secs(1800), 1), 0);
    let share = shares.give(&member("a"), &under_rate(Duration::from_millis(100), 9), SECOND);
    assert_eq!((share.slots, share.next_in), (0, Duration::from_millis(2100)));
    assert_eq!(shares.give(&member("a"), &under_rate(Duration::from_millis(100), 9), 2 * SECOND).slots, 9);
}

/// A node as it keeps to its share.
#[derive(Clone, Debug, Default)]
struct Node {
    open: u32,
    cap: u32,
    /// When it asked last and heard the answer.
    asked: Option<i64>,
}

impl Node {
    fn cap(&self, now: i64) -> u32 {
        if self.asked.is_some_and(|asked| asked > Shares::over_at(now)) { self.cap } else { 0 }
    }

    /// Opens what it may, and closes what it must, unless a connection is busy.
    fn live(&mut self, wanted: u32, busy: u32, now: i64) {
        let cap = self.cap(now);
        // Nothing is kept once the share is over.
        let kept = if cap == 0 && self.asked.is_some_and(|asked| asked <= Shares::over_at(now)) { 0 } else { busy };
        self.open = if self.open < cap { wanted.clamp(self.open, cap) } else { self.open.min(cap.max(kept)) };
    }
}

#[derive(Clone, Debug)]
struct Step {
    node: usize,
    wanted: u32,
    busy: u32,
    /// The store hears it.
    reaches: bool,
    /// It hears the answer.
    answered: bool,
    millis: i64,
}

fn step() -> impl Strategy<Value = Step> {
    (0..4_usize, 0..12_u32, 0..9_u32, prop::bool::weighted(0.8), prop::bool::weighted(0.8), 0..9000_i64).prop_map(
        |(node, wanted, busy, reaches, answered, millis)| Step { node, wanted, busy, reaches, answered, millis },
    )
}

proptest! {
    /// Also if some die, are cut off or do not hear the answer.
    #[test]
    fn nodes_never_have_more_than_the_limit(steps in prop::collection::vec(step(), 1..300)) {
        let names = ["a", "b", "c", "d"];
        let (mut shares, mut nodes, mut now) = (Shares::default(), vec![Node::default(); 4], 0);
        for step in steps {
            now += step.millis * 1000;
            for node in &mut nodes {
                node.live(step.wanted, step.busy, now);
            }
            let node = &mut nodes[step.node];
            let bound = node.open.max(node.cap(now));
            if step.reaches {
                let share = shares.give(&member(names[step.node]), &demand(step.wanted, bound), now);
                if step.answered {
                    (node.cap, node.asked) = (share.connections, Some(now));
                    node.live(step.wanted, step.busy, now);
                }
            }
            let open: u32 = nodes.iter().map(|node| node.open).sum();
            prop_assert!(open <= LIMIT, "{nodes:?} {shares:?}");
        }
        // When all of them ask again and want all, they use all of it.
        for round in 0..40_i64 {
            let index = (round % 4) as usize;
            now += 500_000;
            let node = &mut nodes[index];
            node.live(LIMIT, 0, now);
            let bound = node.open.max(node.cap(now));
            let share = shares.give(&member(names[index]), &demand(LIMIT, bound), now);
            (node.cap, node.asked) = (share.connections, Some(now));
            node.live(LIMIT, 0, now);
        }
        prop_assert_eq!(nodes.iter().map(|node| node.open).sum::<u32>(), LIMIT);
    }

    /// In no period are there more slots than the rate allows.
    #[test]
    fn slots_are_an_interval_apart(
        asks in prop::collection::vec((0..4_usize, 0..50_u32, 0..3000_i64), 1..200),
        millis in 1..5000_u64,
    ) {
        let (mut shares, mut now, mut last) = (Shares::default(), 0, i64::MIN);
        let interval = Duration::from_millis(millis);
        for (index, messages, later) in asks {
            now += later * 1000;
            let share = shares.give(&member(["a", "b", "c", "d"][index]), &under_rate(interval, messages), now);
            if share.slots > 0 {
                let first = now + micros(share.first_in);
                prop_assert!(last == i64::MIN || first - last >= micros(interval));
                prop_assert!(first <= now + micros(SLOTS_AHEAD));
                last = first + micros(interval) * i64::from(share.slots - 1);
            }
            prop_assert!(share.slots <= messages && share.slots <= share.slots_max);
        }
    }
}
