//! What a remedy depends on: the system that the evidence came from, the signs, and what worked.

use std::net::IpAddr;

use protocol::{host_port, tls::TlsPolicy};

use crate::{
    causes::{Depth, Situation, System},
    evidence::{Dimension, Direction, Evidence, Example, Record, Signs, Symptom},
    tables::HashSet,
};

/// The situation of attempts that failed by one cause. `symptoms` are the most frequent ones first.
pub(super) fn situation(
    evidence: &Evidence,
    failing: &[&Record],
    working: &[&Record],
    symptoms: &[&Symptom],
    example: Option<&Example>,
) -> Situation {
    Situation {
        system: example.map_or(System::Other, |example| System::of(example.source)),
        depth: example.map_or(Depth::Result, |example| Depth::of(example.source)),
        signs: symptoms.iter().fold(Signs::default(), |signs, symptom| signs.union(symptom.signs)),
        phase: symptoms.first().and_then(|symptom| symptom.phase),
        is_everywhere: false,
        is_local: evidence.direction() == Direction::Outbound && is_local(evidence, failing),
        is_inbound: evidence.direction() == Direction::Inbound,
        policy: policy(evidence, failing, working),
        domain: only(failing.iter().map(|record| record.value(Dimension::RecipientDomain)))
            .map(|number| evidence.name(number).to_owned()),
        port: only(failing.iter().map(|record| record.destination))
            .and_then(|number| evidence.name(number).rsplit_once(':')?.1.parse().ok()),
    }
}

/// Every destination is an address of this machine's own network interface.
fn is_local(evidence: &Evidence, failing: &[&Record]) -> bool {
    let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
    let is_loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    hosts.into_iter().all(|host| is_loopback(host_port::split(evidence.name(host)).0))
}

/// The strictest built-in policy that contains all that worked with the hosts that fail, or else with any.
fn policy(evidence: &Evidence, failing: &[&Record], working: &[&Record]) -> Option<String> {
    let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
    let there = policy_of(evidence, working.iter().filter(|record| hosts.contains(&record.destination)));
    let policy = there.or_else(|| policy_of(evidence, working.iter()))?;
    // Under that very policy it fails: what worked is not the reason.
    let failing = only(failing.iter().map(|record| record.value(Dimension::TlsPolicy)));
    (failing.map(|number| evidence.name(number)) != Some(policy.as_str())).then_some(policy)
}

fn policy_of<'r>(evidence: &Evidence, working: impl Iterator<Item = &'r &'r Record>) -> Option<String> {
    let agreed: HashSet<(u32, u32, u32)> = working
        .map(|record| {
            let value = |dimension: Dimension| record.value(dimension);
            (value(Dimension::TlsVersion), value(Dimension::Cipher), record.agreed)
        })
        .collect();
    let policies = agreed.into_iter().filter_map(|(version, cipher, agreed)| {
        if version != 0 && cipher != 0 {
            return TlsPolicy::strictest_with(evidence.name(version), evidence.name(cipher));
        }
        let (version, suite) = evidence.agreed.get(agreed)?;
        TlsPolicy::strictest_with(&version.to_string(), &suite.name())
    });
    let order = TlsPolicy::built_in();
    let place = |policy: &TlsPolicy| order.iter().position(|known| known.name == policy.name);
    policies.max_by_key(place).map(|policy| policy.name)
}

/// The value, if it is known and the same in all.
fn only(values: impl Iterator<Item = u32>) -> Option<u32> {
    let values: HashSet<u32> = values.collect();
    values.iter().next().copied().filter(|value| values.len() == 1 && *value != 0)
}
