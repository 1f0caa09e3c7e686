//! Which evidence is about what somebody asks for: a message, an address, a domain, a connector, or a host.

use std::collections::BTreeSet;

use protocol::host_port;

use super::{Attempt, Dimension, Evidence};
use crate::tables::HashSet;

/// A question about some attempts.
#[derive(Debug, Default)]
pub(super) struct About {
    /// Any of these, in lower case.
    names: HashSet<String>,
    /// Group and symptom of each attempt that one of the names matches; symptom 0: it worked.
    matched: HashSet<(u32, u32)>,
}

impl About {
    pub(super) fn note(&mut self, attempt: &Attempt<'_>, group: u32, symptom: u32) {
        if self.matched.contains(&(group, symptom)) || !self.concerns(attempt) {
            return;
        }
        self.matched.insert((group, symptom));
    }

    fn concerns(&self, attempt: &Attempt<'_>) -> bool {
        let is_named = |text: &str| self.names.contains(&text.to_ascii_lowercase());
        let texts = [
            &attempt.message,
            &attempt.message_id,
            &attempt.recipient,
            &attempt.session,
            &attempt.connector,
            &attempt.recipient_domain,
            &attempt.sender_domain,
        ];
        let bare = |text: &str| is_named(text) || is_named(text.trim_matches(['<', '>']));
        // A source that names no port may mean any.
        let to = |host: &str, port: Option<u16>| {
            let is_host = |name: &String| host_port::split(name).0.eq_ignore_ascii_case(host);
            is_named(host) || is_named(&host_port::join(host, port)) || port.is_none() && self.names.iter().any(is_host)
        };
        texts.into_iter().flatten().any(|text| bare(text))
            || attempt.destination.as_ref().is_some_and(|(host, port)| to(host, *port))
            || attempt.destination_address.is_some_and(|address| is_named(&address.to_string()))
    }

    fn is_matched(&self, group: u32, symptom: u32) -> bool {
        self.matched.contains(&(group, symptom))
    }
}

impl Evidence {
    /// Attempts that are added from now on are matched with any of these names: of a message, an address, a domain, a
    /// connector, a host or an IP address. Case does not matter.
    pub fn ask_about(&mut self, names: impl IntoIterator<Item = String>) {
        let names: Vec<String> =
            names.into_iter().map(|name| name.trim_matches(['<', '>']).to_ascii_lowercase()).collect();
        if let Some(senders) = &mut self.senders {
            senders.ask_about(names.clone());
        }
        self.about.get_or_insert_default().names.extend(names);
    }

    /// True if any attempt matched, or if nothing was asked.
    pub fn has_match(&self) -> bool {
        self.about.as_ref().is_none_or(|about| !about.matched.is_empty())
    }

    /// True if an attempt of the group that failed by this symptom matched, or if nothing was asked.
    pub(crate) fn is_asked_about(&self, group: u32, symptom: u32) -> bool {
        self.about.as_ref().is_none_or(|about| about.is_matched(group, symptom))
    }

    /// The names of connectors, hosts, addresses and domains in the evidence.
    pub fn names(&self) -> BTreeSet<&str> {
        const NAMED: [Dimension; 4] = [
            Dimension::DestinationHost,
            Dimension::DestinationAddress,
            Dimension::RecipientDomain,
            Dimension::SenderDomain,
        ];
        let mut numbers: HashSet<u32> = self.connectors.iter().copied().collect();
        for record in &self.records {
            numbers.extend(NAMED.iter().map(|dimension| record.value(*dimension)));
        }
        numbers.into_iter().map(|number| self.name(number)).filter(|name| !name.is_empty()).collect()
    }
}
