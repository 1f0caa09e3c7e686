//! The destinations that nodes have connected to, and the last attempts at one of them.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use jiff::Timestamp;
use store::{DeliveryRecord, KnownDestination, Result, State, Store};
use trace::change::{CertificateFacts, DestinationFacts, StartTlsOffer};

use crate::views::{DestinationAddressView, DestinationView, SeenCertificateView, SightView};

/// Sights that are read at once: of all nodes and addresses together.
const SIGHTS_MAX: u32 = 20_000;

/// All destinations, or those of a host, by host and port.
pub async fn destinations<S: Store>(store: &S, host: Option<&str>) -> Result<Vec<DestinationView>> {
    let known = store.destinations(host, SIGHTS_MAX).await?;
    let mut all: BTreeMap<(String, u16), DestinationView> = BTreeMap::new();
    for KnownDestination { node, at, seen } in known {
        let (host, address) = (seen.host, seen.address);
        let destination = all.entry((host.clone(), address.port())).or_insert_with(|| DestinationView {
            host,
            port: address.port(),
            addresses: Vec::new(),
        });
        let sight = sight(node, at, seen.facts);
        match destination.addresses.iter_mut().find(|known| known.address == address) {
            Some(known) => known.seen.push(sight),
            None => destination.addresses.push(DestinationAddressView { address, seen: vec![sight] }),
        }
    }
    Ok(all.into_values().collect())
}

fn sight(node: String, since: Timestamp, facts: DestinationFacts) -> SightView {
    let DestinationFacts { greeting, starttls, size, extensions, certificate } = facts;
    let starttls = match starttls {
        StartTlsOffer::Offered => "offered",
        StartTlsOffer::NotOffered => "not-offered",
        StartTlsOffer::Masked => "masked",
    };
    let certificate = certificate.map(|CertificateFacts { subject, thumbprint, not_after }| SeenCertificateView {
        subject,
        thumbprint,
        expires: not_after,
    });
    SightView { node, since, greeting, starttls: starttls.to_owned(), size, extensions, certificate }
}

/// The last attempt from one node at one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastAttempt {
    pub node: String,
    pub address: IpAddr,
    pub tls_policy: String,
    /// Version and cipher suite; `None`: in plaintext, or no handshake succeeded.
    pub tls: Option<(String, String)>,
    /// Why it failed; `None`: it worked.
    pub failure: Option<String>,
    pub at: Timestamp,
}

/// The newest attempt for each node and address among deliveries, which are the newest first. What waits for its first
/// attempt or was removed says nothing.
pub fn last_attempts(records: &[DeliveryRecord]) -> Vec<LastAttempt> {
    let mut seen = HashSet::new();
    let attempts = records.iter().filter_map(|record| {
        let last = record.last_attempt.as_ref()?;
        let address = last.to_ip?;
        let failure = match record.state {
            State::Delivered => None,
            State::Removed => return None,
            _ => Some(record.delivery.failure.as_ref()?.summary()),
        };
        seen.insert((last.node.clone(), address)).then(|| LastAttempt {
            node: last.node.clone(),
            address,
            tls_policy: last.tls_policy.clone(),
            tls: last.tls.clone(),
            failure,
            at: record.settled.unwrap_or(record.message.received),
        })
    });
    let mut attempts: Vec<LastAttempt> = attempts.collect();
    attempts.sort_by(|a, b| (a.address, &a.node).cmp(&(b.address, &b.node)));
    attempts
}
