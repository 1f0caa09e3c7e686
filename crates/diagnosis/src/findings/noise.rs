//! Attempts that say nothing: IPv6 addresses that this side cannot reach, beside IPv4 addresses that it tries.

use crate::evidence::{Delivery, Dimension, Evidence, Record, Sign};
use crate::tables::HashSet;

/// The records without those attempts. A host without IPv6 fails at each IPv6 address, whatever the cause is.
pub(super) fn without(evidence: &Evidence) -> Vec<&Record> {
    let is_unreachable = |record: &Record| {
        let symptom = evidence.symptoms.get(record.symptom);
        symptom.is_some_and(|symptom| symptom.signs.has(Sign::Unreachable)) && is_ipv6(evidence, record)
    };
    if !evidence.records.iter().any(is_unreachable) {
        return evidence.records.iter().collect();
    }
    let others = || evidence.records.iter().filter(|record| !is_unreachable(record));
    let hosts: HashSet<u32> = others().map(|record| record.destination).filter(|host| *host != 0).collect();
    let deliveries: HashSet<Delivery> =
        others().map(|record| record.delivery).filter(|delivery| delivery.is_known()).collect();
    let says_nothing = |record: &Record| {
        is_unreachable(record) && (hosts.contains(&record.destination) || deliveries.contains(&record.delivery))
    };
    evidence.records.iter().filter(|record| !says_nothing(record)).collect()
}

fn is_ipv6(evidence: &Evidence, record: &Record) -> bool {
    let address = evidence.name(record.value(Dimension::DestinationAddress));
    address.contains(':') || (address.is_empty() && evidence.name(record.destination).starts_with('['))
}
