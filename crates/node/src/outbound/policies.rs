//! The results of attempts under a TLS policy, and whether mail is left to nodes with another policy. Both are kept for
//! the whole connector, and with MX for each recipient domain, because each domain has its own servers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use store::PolicyResults;

use crate::preference::{self, LeftTo};

/// Maximum number of domains with results. Only a rollout needs them.
const DOMAINS_MAX: usize = 1000;
/// Maximum number of domains that are reported to other nodes.
const REPORTED_MAX: usize = 100;

#[derive(Default)]
pub(super) struct Policies {
    pub(super) all: Option<PolicyResults>,
    domains: BTreeMap<String, PolicyResults>,
    /// Domains that fail on some node of the fleet. Every node reports its results for them.
    watched: BTreeSet<String>,
    pub(super) left_to: LeftTo,
}

impl Policies {
    pub(super) fn note(&mut self, domain: Option<&str>, policy: &str, works: bool) {
        let now = Timestamp::now();
        preference::note(&mut self.all, policy, works, now);
        let Some(domain) = domain else { return };
        if self.domains.len() >= DOMAINS_MAX && !self.domains.contains_key(domain) {
            self.domains.retain(|_, results| results.failing_since.is_some());
            if self.domains.len() >= DOMAINS_MAX {
                return;
            }
        }
        let mut results = self.domains.remove(domain);
        preference::note(&mut results, policy, works, now);
        self.domains.extend(results.map(|results| (domain.to_owned(), results)));
    }

    /// True if mail to this domain is left to other nodes.
    pub(super) fn leaves(&self, domain: Option<&str>) -> bool {
        self.left_to.all.is_some() || domain.is_some_and(|domain| self.left_to.domains.contains_key(domain))
    }

    pub(super) fn watch(&mut self, domains: BTreeSet<String>) {
        self.watched = domains;
    }

    /// Results of domains that fail here or on another node.
    pub(super) fn report(&self) -> BTreeMap<String, PolicyResults> {
        let is_told = |(domain, results): &(&String, &PolicyResults)| {
            results.failing_since.is_some() || self.watched.contains(*domain)
        };
        let told = self.domains.iter().filter(is_told).take(REPORTED_MAX);
        told.map(|(domain, results)| (domain.clone(), results.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_reported_and_what_works_where_it_is_asked_for() {
        let mut policies = Policies::default();
        policies.note(Some("a.test"), "modern", false);
        policies.note(Some("b.test"), "modern", true);
        policies.note(Some("c.test"), "modern", true);
        policies.watch(BTreeSet::from(["c.test".to_owned()]));
        assert_eq!(policies.report().into_keys().collect::<Vec<_>>(), ["a.test", "c.test"]);
    }

    #[test]
    fn the_domains_that_are_remembered_are_bounded() {
        let mut policies = Policies::default();
        for number in 0..2 * DOMAINS_MAX {
            policies.note(Some(&number.to_string()), "modern", number % 2 == 0);
        }
        assert!(policies.domains.len() <= DOMAINS_MAX);
        assert!(policies.report().len() <= REPORTED_MAX);
    }
}
