//! Decides which node sends during a rollout: a node whose TLS policy fails leaves due mail to nodes whose policy
//! works.
//!
//! ```text
//!   attempts ──note──> PolicyResults ──report──> store ──read by every node──> better ──> Lane::leave_to
//! ```
//!
//! A node that leaves mail claims only mail that has been due for a while, and returns new mail to the queue. This ends
//! when the other nodes stop reporting. Mail never starves, because the node claims it after that while in any case.
//! Only a policy that the current plan gives to the node that reports it is preferred, so a retired policy never is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use store::{ConnectorReport, Fleet as _, NodeReport, PolicyResults};

use super::Node;
use crate::{
    config::{Connector, Hosts},
    fleet::Rollout,
};

/// The TLS policies of those nodes that what is due is left to for a while.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LeftTo {
    /// All of it.
    pub all: Option<String>,
    /// By recipient domain.
    pub domains: BTreeMap<String, String>,
}

/// A node that has not reported for this long is not counted on.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
/// This long after its last failure a policy is tried again, because the destination may have changed. It is longer
/// than the default wait for a retry, so that a retry does not depend on luck.
const FAILS_FOR: Duration = Duration::from_secs(3600);

/// Adds one attempt to the results of a policy. A new policy starts with no results.
pub(super) fn note(results: &mut Option<PolicyResults>, policy: &str, works: bool, now: Timestamp) {
    if results.as_ref().is_none_or(|results| results.policy != policy) {
        *results = Some(PolicyResults::new(policy));
    }
    let Some(results) = results else { return };
    if works {
        results.worked = Some(now);
        results.failing_since = None;
    } else {
        results.failing_since.get_or_insert(now);
        results.failed = Some(now);
    }
}

/// Compares this node's policies with those of the fleet, and tells its connectors to leave mail or not.
pub(super) async fn update(node: &Arc<Node>) {
    let is_on = node.config.load().rollout.self_defence;
    let plan = node.plan.load_full().filter(|plan| is_on && !plan.1.is_idle());
    let Some(plan) = plan else { return node.outbound.leave_to(|_| Default::default()) };
    let reports = match node.store.reports().await {
        Ok(reports) => reports,
        Err(error) => return tracing::warn!(%error, "failed to read the reports of other nodes; trying again"),
    };
    let now = Timestamp::now();
    node.outbound.leave_to(|connector| {
        let policy = node.tls_under(connector).tls.policy.name.clone();
        let compared = Compared { connector, policy: &policy, plan: &plan.1, reports: &reports, now };
        compared.left_to()
    });
}

/// One connector's results on all nodes that have reported recently.
struct Compared<'a> {
    connector: &'a Connector,
    /// This node's.
    policy: &'a str,
    plan: &'a Rollout,
    reports: &'a [NodeReport],
    now: Timestamp,
}

impl Compared<'_> {
    /// The policies whose nodes get the mail, and with MX the domains that fail on some node. With MX each domain has
    /// its own destinations, so a domain that fails says nothing about the others.
    fn left_to(&self) -> (LeftTo, BTreeSet<String>) {
        if self.connector.hosts != Hosts::Mx {
            return (LeftTo { all: self.better(None), ..LeftTo::default() }, BTreeSet::new());
        }
        let domains =
            self.fresh().flat_map(|report| self.reported(report)).flat_map(|report| &report.domains_under_policy);
        let failing: BTreeSet<String> =
            domains.filter(|(_, results)| results.failing_since.is_some()).map(|(domain, _)| domain.clone()).collect();
        let better = |domain: &String| Some((domain.clone(), self.better(Some(domain))?));
        (LeftTo { all: None, domains: failing.iter().filter_map(better).collect() }, failing)
    }

    /// The policy of nodes that deliver by this connector or to this domain while this node's policy fails.
    fn better(&self, domain: Option<&str>) -> Option<String> {
        let results: Vec<&PolicyResults> =
            self.fresh().filter_map(|report| self.results_under_plan(report, domain)).collect();
        let (own, others): (Vec<&PolicyResults>, Vec<_>) =
            results.into_iter().partition(|results| results.policy == self.policy);
        let failing_since = failing_since(&own, self.now)?;
        let works = |results: &&PolicyResults| results.failing_since.is_none() && results.worked >= Some(failing_since);
        others.into_iter().find(works).map(|results| results.policy.clone())
    }

    fn fresh(&self) -> impl Iterator<Item = &NodeReport> {
        self.reports.iter().filter(|report| report.at + REPORTED_WITHIN >= self.now)
    }

    fn reported<'b>(&self, report: &'b NodeReport) -> Option<&'b ConnectorReport> {
        report.connectors.iter().find(|reported| reported.name == self.connector.name)
    }

    /// A node's results, if they are for the policy that the plan gives the node.
    fn results_under_plan<'b>(&self, report: &'b NodeReport, domain: Option<&str>) -> Option<&'b PolicyResults> {
        let reported = self.reported(report)?;
        let results = match domain {
            Some(domain) => reported.domains_under_policy.get(domain),
            None => reported.under_policy.as_ref(),
        };
        let planned = self.plan.policy_on(&report.node, &self.connector.tls_policy);
        results.filter(|results| results.policy == planned)
    }
}

/// Since when a policy fails on all nodes that use it. `None`: it works on one of them, or has not failed recently.
fn failing_since(own: &[&PolicyResults], now: Timestamp) -> Option<Timestamp> {
    let worked = own.iter().filter_map(|results| results.worked).max();
    let failed = own.iter().filter_map(|results| results.failed).max()?;
    let since = own.iter().filter_map(|results| results.failing_since).filter(|since| Some(*since) > worked).min()?;
    (failed + FAILS_FOR > now).then_some(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn connector() -> Connector {
        Connector {
            name: "onprem".to_owned(),
            hosts: Hosts::SmartHosts(vec![]),
            tls_policy: "legacy".to_owned(),
            ..Connector::default()
        }
    }

    fn plan(percent: u8, nodes: &[&str]) -> Rollout {
        let nodes = nodes.iter().map(ToString::to_string).collect();
        Rollout {
            from: "legacy".to_owned(),
            to: "modern".to_owned(),
            percent: Some(percent),
            nodes,
            ..Rollout::default()
        }
    }

    /// A node that has just reported its attempts: when each was made, and whether it worked.
    fn report(node: &str, policy: &str, attempts: &[(i64, bool)]) -> NodeReport {
        let mut under_policy = None;
        for (second, works) in attempts {
            note(&mut under_policy, policy, *works, at(*second));
        }
        let connector = ConnectorReport {
            name: "onprem".to_owned(),
            connections: 0,
            connections_max: 20,
            limited: None,
            backed_off: None,
            under_policy,
            domains_under_policy: Default::default(),
            running: vec![],
        };
        NodeReport {
            node: node.to_owned(),
            at: at(100),
            connectors: vec![connector],
            plan_version: Some(1),
            ..NodeReport::default()
        }
    }

    fn better_at(second: i64, plan: &Rollout, reports: &[NodeReport]) -> Option<String> {
        better(&connector(), "modern", plan, reports, at(second))
    }

    fn better(
        connector: &Connector,
        policy: &str,
        plan: &Rollout,
        reports: &[NodeReport],
        now: Timestamp,
    ) -> Option<String> {
        Compared { connector, policy, plan, reports, now }.left_to().0.all
    }

    #[test]
    fn mail_is_left_to_the_policy_that_works() {
        let half = plan(50, &["mx1"]);
        let failing = report("mx1", "modern", &[(0, true), (10, false), (20, false)]);
        let working = report("mx2", "legacy", &[(15, true)]);
        let both = [failing.clone(), working.clone()];
        assert_eq!(better_at(101, &half, &both).as_deref(), Some("legacy"));
        // The node whose policy works leaves nothing.
        assert_eq!(better(&connector(), "legacy", &half, &both, at(101)), None);
        let cases = [
            ("it has not worked since", report("mx2", "legacy", &[(9, true)])),
            ("it fails too", report("mx2", "legacy", &[(15, true), (16, false)])),
            ("it was not tried", report("mx2", "legacy", &[])),
            ("it is the same policy, and works", report("mx2", "modern", &[(30, true)])),
        ];
        for (why, other) in cases {
            assert_eq!(better_at(101, &half, &[failing.clone(), other]), None, "{why}");
        }
        let recovered = report("mx1", "modern", &[(10, false), (20, true)]);
        assert_eq!(better_at(101, &half, &[recovered, working]), None);
    }

    #[test]
    fn nobody_is_waited_for_who_is_gone() {
        let half = plan(50, &["mx1"]);
        let both = [report("mx1", "modern", &[(10, false)]), report("mx2", "legacy", &[(15, true)])];
        assert!(better_at(110, &half, &both).is_some());
        assert!(better_at(111, &half, &both).is_none());
    }

    #[test]
    fn a_failure_of_long_ago_is_tried_anew() {
        let half = plan(50, &["mx1"]);
        let now = 10 + FAILS_FOR.as_secs() as i64;
        let mut both = [report("mx1", "modern", &[(10, false)]), report("mx2", "legacy", &[(15, true)])];
        both.iter_mut().for_each(|report| report.at = at(now));
        assert!(better_at(now - 1, &half, &both).is_some());
        assert!(better_at(now, &half, &both).is_none());
    }

    #[test]
    fn a_retired_policy_is_never_preferred() {
        let both = [report("mx1", "modern", &[(10, false)]), report("mx2", "legacy", &[(15, true)])];
        // All nodes should use modern, but mx2 does not follow yet, or cannot.
        assert_eq!(better_at(101, &plan(100, &["mx1", "mx2"]), &both), None);
        assert_eq!(better_at(101, &plan(100, &[]), &both), None);
        // After a rollback, the new policy is not preferred either.
        let both = [report("mx1", "modern", &[(15, true)]), report("mx2", "legacy", &[(10, false)])];
        assert_eq!(better(&connector(), "legacy", &plan(0, &[]), &both, at(101)), None);
    }

    /// With MX, a domain that fails says nothing about the others.
    #[test]
    fn behind_mx_mail_is_left_by_domain() {
        let mx = Connector { hosts: Hosts::Mx, ..connector() };
        let with_domains = |node: &str, policy: &str, domains: &[(&str, &[(i64, bool)])]| {
            let mut reported = report(node, policy, &[(10, false)]);
            let results = |attempts: &[(i64, bool)]| report(node, policy, attempts).connectors.remove(0).under_policy;
            reported.connectors[0].domains_under_policy = domains
                .iter()
                .filter_map(|(domain, attempts)| Some((domain.to_string(), results(attempts)?)))
                .collect();
            reported
        };
        let both = [
            with_domains(
                "mx1",
                "modern",
                &[("a.test", &[(10, false)]), ("b.test", &[(10, false)]), ("c.test", &[(12, true)])],
            ),
            with_domains(
                "mx2",
                "legacy",
                &[("a.test", &[(15, true)]), ("b.test", &[(15, false)]), ("c.test", &[(15, true)])],
            ),
        ];
        let plan = plan(50, &["mx1"]);
        let compared = Compared { connector: &mx, policy: "modern", plan: &plan, reports: &both, now: at(101) };
        let (left_to, watched) = compared.left_to();
        assert_eq!(left_to.all, None);
        assert_eq!(left_to.domains.into_iter().collect::<Vec<_>>(), [("a.test".to_owned(), "legacy".to_owned())]);
        assert_eq!(watched.into_iter().collect::<Vec<_>>(), ["a.test", "b.test"]);
    }
}
