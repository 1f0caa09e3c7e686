//! Refines a cause by what one attempt alone cannot show: what worked, the size of messages, the port.

use protocol::host_port;

use crate::{
    causes::{Cause, CauseId},
    comparison::Split,
    evidence::{Dimension, Evidence, Record},
    tables::HashSet,
};

/// What nearly all that works has in common, leaving room for noise.
pub(super) const NEARLY_ALL: f64 = 0.95;

/// A cause, and how likely it is.
type Judged = (&'static Cause, f64);

/// The attempts of a group that a cause is judged by.
pub(super) struct Attempts<'a> {
    pub evidence: &'a Evidence,
    pub failing: &'a [&'a Record],
    pub working: &'a [&'a Record],
    pub split: Option<&'a Split>,
}

impl Attempts<'_> {
    pub(super) fn refine(&self, cause: &'static Cause, likelihood: f64) -> Judged {
        match cause.id {
            CauseId::HandshakeReset | CauseId::NoSharedCipher | CauseId::NoSharedTlsVersion => {
                self.by_what_was_agreed(cause, likelihood)
            }
            CauseId::NoReplyToMessage if self.is_split_by_size() => (CauseId::SizeDependentStall.cause(), 0.9),
            CauseId::BannerTimeout | CauseId::ConnectionDroppedBeforeBanner if self.are_all_at_port(465) => {
                (CauseId::ImplicitTlsMismatch.cause(), 0.9)
            }
            // What differs between handshakes with one host is the session that they resume.
            CauseId::TlsSessionTicketInterop if self.has_encrypted() => (cause, 0.8),
            CauseId::TlsSessionTicketInterop => (CauseId::Unknown.cause(), 0.3),
            _ => (cause, likelihood),
        }
    }

    fn is_split_by_size(&self) -> bool {
        self.split.is_some_and(|split| split.dimension == [Dimension::MessageSize])
    }

    fn are_all_at_port(&self, port: u16) -> bool {
        let port_of = |record: &&Record| host_port::split(self.evidence.name(record.destination)).1;
        self.failing.iter().all(|record| port_of(record) == Some(port))
    }

    /// Other handshakes with a host of those that fail worked.
    fn has_encrypted(&self) -> bool {
        let hosts: HashSet<u32> = self.failing.iter().map(|record| record.destination).collect();
        let is_encrypted = |record: &&&Record| record.agreed != 0 || record.value(Dimension::TlsVersion) != 0;
        self.working.iter().filter(is_encrypted).any(|record| hosts.contains(&record.destination))
    }

    /// What works tells why the rest fails: what it agreed on, and whether those that fail had offered that.
    fn by_what_was_agreed(&self, cause: &'static Cause, likelihood: f64) -> Judged {
        let is_reset = cause.id == CauseId::HandshakeReset;
        let offers: HashSet<u32> = self.failing.iter().map(|record| record.offer).filter(|offer| *offer != 0).collect();
        let offers: Vec<_> = offers.into_iter().filter_map(|number| self.evidence.offers.get(number)).collect();
        let agreed: Vec<_> = self.working.iter().filter_map(|record| self.evidence.agreed.get(record.agreed)).collect();
        if offers.is_empty() || agreed.is_empty() {
            return (cause, likelihood);
        }
        let nearly_all = |count: usize| count as f64 >= NEARLY_ALL * agreed.len() as f64;
        let lacks_version =
            agreed.iter().filter(|agreed| !offers.iter().any(|offer| offer.versions.contains(&agreed.0))).count();
        let lacks_suite =
            agreed.iter().filter(|agreed| !offers.iter().any(|offer| offer.suites.contains(&agreed.1))).count();
        match (nearly_all(lacks_version), nearly_all(lacks_suite)) {
            (true, false) => (CauseId::NoSharedTlsVersion.cause(), likelihood.max(0.95)),
            (false, true) => (CauseId::NoSharedCipher.cause(), likelihood.max(0.95)),
            // Either change alone would not do; what the server said decides, and where it said nothing, the suite: a
            // server that has it in a later version would have agreed on that.
            (true, true) if is_reset => (CauseId::NoSharedCipher.cause(), 0.85),
            (true, true) => (cause, likelihood.max(0.92)),
            (false, false) => (cause, likelihood * 0.7),
        }
    }
}
