//! Compares routes and mail exchangers with simple models.

use std::{collections::BTreeSet, time::Duration};

use gatepost_delivery::{
    backoff::BackOffPolicy,
    route::{Mx, Routes, order_mx},
};
use proptest::prelude::*;
use protocol::smtp::{Address, FailureKind};

fn routes(table: &[(&str, &str)]) -> Routes {
    Routes::new(table.iter().map(|(domain, connector)| ((*domain).to_owned(), (*connector).to_owned())))
}

fn records(table: &[(u16, &str)]) -> Vec<Mx> {
    table.iter().map(|(preference, host)| Mx { preference: *preference, host: (*host).to_owned() }).collect()
}

/// Only listed domains are accepted. Anything else would be an open relay.
#[test]
fn accepted_domains() {
    let routes = routes(&[("onprem.test", "onprem"), ("*.branch.test", "branch"), ("xn--bcher-kva.test", "books")]);
    for (domain, connector) in [
        ("onprem.test", Some("onprem")),
        ("ONPREM.Test", Some("onprem")),
        ("bücher.test", Some("books")),
        ("a.branch.test", Some("branch")),
        ("b.a.branch.test", Some("branch")),
        // A wildcard means the subdomains, not the domain itself.
        ("branch.test", None),
        ("sub.onprem.test", None),
        ("xonprem.test", None),
        ("xbranch.test", None),
        ("onprem.test.attacker.example", None),
        ("test", None),
        ("[192.0.2.1]", None),
    ] {
        let key = Address::parse(&format!("user@{domain}")).unwrap().domain_key();
        assert_eq!(routes.connector_for(&key), connector, "{domain}");
        assert_eq!(routes.accepts(&key), connector.is_some(), "{domain}");
    }
    for no_domain in ["", ".", "*", "*.branch.test.", ".onprem.test"] {
        assert!(!routes.accepts(no_domain), "{no_domain}");
    }
    assert!(!Routes::default().accepts("onprem.test"));
}

/// RFC 5321 section 5.1 and RFC 7505, with a constant random number.
#[test]
fn mail_exchangers() {
    let table: [(&[(u16, &str)], &str); 10] = [
        (&[], "d.test"),
        (&[(0, "")], "null MX"),
        (&[(10, ""), (20, "a.test")], "a.test"),
        (&[(20, "b.test"), (10, "a.test")], "a.test b.test"),
        (&[(65_535, "z.test"), (0, "a.test")], "a.test z.test"),
        // This host is the second best: only better hosts remain, not equal ones.
        (&[(10, "a.test"), (20, "edge.test"), (20, "b.test"), (30, "c.test")], "a.test"),
        (&[(10, "a.test"), (20, "EDGE.Test")], "a.test"),
        // This host has two names, and the better preference counts.
        (&[(5, "a.test"), (30, "edge.test"), (10, "other-name.test"), (20, "b.test")], "a.test"),
        (&[(10, "edge.test")], "loop"),
        (&[(10, "edge.test"), (20, "b.test")], "loop"),
    ];
    for (given, expected) in table {
        let ordered = match order_mx(records(given), "d.test", &["edge.test", "other-name.test"], || 7) {
            Ok(hosts) => hosts.join(" "),
            Err(FailureKind::NullMx) => "null MX".to_owned(),
            Err(FailureKind::MailLoop) => "loop".to_owned(),
            Err(other) => panic!("{given:?}: {other}"),
        };
        assert_eq!(ordered, expected, "{given:?}");
    }
}

/// Hosts of equal preference come in every order, so that load is spread.
#[test]
fn equals_come_in_every_order() {
    let mut seen = BTreeSet::new();
    for numbers in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut numbers = numbers.into_iter();
        let given = records(&[(10, "a.test"), (10, "b.test"), (10, "c.test")]);
        seen.insert(order_mx(given, "d.test", &[], || numbers.next().unwrap()).unwrap());
    }
    assert_eq!(seen.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The hosts that are better than this one, each once, better ones first.
    #[test]
    fn mail_exchangers_stay_in_order(
        given in prop::collection::vec((0u16..6, "[a-e]\\.test"), 1..12),
        numbers in prop::collection::vec(any::<u32>(), 12),
    ) {
        let own = given.iter().filter(|(_, host)| host == "e.test").map(|(preference, _)| *preference).min();
        let mut expected: Vec<(u16, String)> = given.clone();
        expected.retain(|(preference, _)| own.is_none_or(|own| *preference < own));
        let list: Vec<(u16, &str)> = given.iter().map(|(preference, host)| (*preference, host.as_str())).collect();
        let mut numbers = numbers.into_iter();
        let Ok(ordered) = order_mx(records(&list), "d.test", &["e.test"], || numbers.next().unwrap()) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        prop_assert_eq!(ordered.len(), expected.len());
        // Each host must be one of the remaining hosts with the lowest preference.
        for host in ordered {
            let best = expected.iter().map(|(preference, _)| *preference).min().unwrap();
            let found = expected.iter().position(|one| *one == (best, host.clone()));
            prop_assert!(found.is_some(), "{} before its time, {:?} are left", host, expected);
            expected.remove(found.unwrap());
        }
    }

    #[test]
    fn a_rest_grows_to_its_maximum_and_never_past_it(
        first in 1u64..100_000, max in 1u64..1_000_000, failures in any::<u32>(), jitter in 0.0f64..=1.0,
    ) {
        let policy = BackOffPolicy { first: Duration::from_secs(first), max: Duration::from_secs(max) };
        let rest = policy.delay(failures, jitter);
        prop_assert!(rest <= policy.max);
        prop_assert!(rest >= policy.first.min(policy.max).mul_f64(0.9));
        prop_assert!(policy.delay(failures.saturating_add(1), jitter) >= rest);
    }
}

/// RFC 5321 section 5.1: a domain without MX records is its own mail exchanger.
#[test]
fn the_implicit_mail_exchanger_may_be_this_host() {
    assert_eq!(order_mx(vec![], "Edge.test", &["edge.test"], || 0), Err(FailureKind::MailLoop));
}
