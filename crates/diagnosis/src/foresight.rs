//! Foresight: whether a server that is known from handshakes would agree on anything under another TLS policy.
//!
//! What proves what:
//! - It agreed on a version, a suite and a group that the policy has: it would again.
//! - It refused an offer that has all that the policy offers: it would again.
//! - It chose an older version than was offered: it has no newer one (RFC 5246 appendix E.1, RFC 8446 section 4.2.1).
//! - Which suite it chose shows what it prefers, not what else it has. Then nothing is decided.
//!
//! The latest handshake that decides is believed: servers change.

use jiff::Timestamp;
use protocol::tls::{
    Alert, CertificateFault, CipherSuite, ClientHello, HandshakeFacts, KeyExchange, ServerHello, Side, WireVersion,
};
use serde::Serialize;

/// What a client offers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Offer {
    versions: Vec<WireVersion>,
    suites: Vec<CipherSuite>,
    groups: Vec<u16>,
    signatures: Vec<u16>,
    /// Bits that a prime for Diffie-Hellman must have; not in a hello.
    prime_bits_min: u32,
}

/// The extension that lists versions (RFC 8446 section 4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;

impl Offer {
    /// What a hello offers that was seen on the wire: without a list of versions, all up to the one that it names.
    fn of_hello(hello: &ClientHello) -> Self {
        let mut offer = Self::of_policy(hello, 0);
        if !hello.extensions.contains(&SUPPORTED_VERSIONS)
            && let Some(newest) = hello.versions.iter().max()
        {
            offer.versions = (WireVersion::SSL30.0..=newest.0).rev().map(WireVersion).collect();
        }
        offer
    }

    /// What a policy offers, by a hello under it that names all of its versions, and the least strength that OpenSSL asks
    /// for at its security level (SSL_CTX_set_security_level(3)).
    pub fn of_policy(hello: &ClientHello, security_level: u32) -> Self {
        let prime_bits_min = match security_level {
            0 => 0,
            1 => 1024,
            2 => 2048,
            3 => 3072,
            4 => 7680,
            _ => 15360,
        };
        Self {
            versions: hello.versions.clone(),
            suites: hello.cipher_suites.clone(),
            groups: hello.groups.clone(),
            signatures: hello.signature_algorithms.clone(),
            prime_bits_min,
        }
    }

    /// Nothing in it is missing in the other, so far as that was observed.
    fn is_within(&self, other: &Self) -> bool {
        fn within<T: PartialEq>(small: &[T], large: &[T]) -> bool {
            small.iter().all(|item| large.contains(item))
        }
        let unless_unknown = |small: &[u16], large: &[u16]| large.is_empty() || within(small, large);
        within(&self.versions, &other.versions)
            && within(&self.suites, &other.suites)
            && unless_unknown(&self.groups, &other.groups)
            && unless_unknown(&self.signatures, &other.signatures)
    }
}

/// What an offer came to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// The server made its choice, and mail was talked about.
    Worked(ServerHello),
    /// The server refused by an alert: nothing that was offered would do.
    Refused(u8),
    /// It failed in another way, before the server chose or after.
    Failed(Option<ServerHello>),
    /// The server did not offer STARTTLS.
    NoStartTls,
}

/// What one server showed of itself.
#[derive(Clone, Debug, Default)]
pub struct Server(Vec<Seen>);

/// Handshakes with the same offer and the same outcome.
#[derive(Clone, Debug)]
struct Seen {
    /// `None` without STARTTLS.
    offer: Option<Offer>,
    outcome: Outcome,
    last: Timestamp,
}

/// What would happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Breaks,
    Undecided,
    Works,
}

/// A verdict with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foresight {
    pub verdict: Verdict,
    /// For people, about the server; begins with a verb.
    pub because: String,
}

impl Server {
    /// Adds a handshake. `works` where the conversation went on after it.
    pub fn add(&mut self, facts: &HandshakeFacts, works: bool, at: Timestamp) {
        let Some(hello) = &facts.client_hello else { return };
        let outcome = match (&facts.server_hello, refusal(facts)) {
            (Some(chosen), _) if (works && facts.completed) || is_over_the_certificate(facts) => {
                Outcome::Worked(chosen.clone())
            }
            (None, Some(alert)) => Outcome::Refused(alert),
            (chosen, _) => Outcome::Failed(chosen.clone()),
        };
        self.note(Some(Offer::of_hello(hello)), outcome, at);
    }

    /// Adds a conversation in which STARTTLS was not offered.
    pub fn add_plaintext(&mut self, at: Timestamp) {
        self.note(None, Outcome::NoStartTls, at);
    }

    fn note(&mut self, offer: Option<Offer>, outcome: Outcome, at: Timestamp) {
        match self.0.iter_mut().find(|seen| seen.offer == offer && seen.outcome == outcome) {
            Some(seen) => seen.last = seen.last.max(at),
            None => self.0.push(Seen { offer, outcome, last: at }),
        }
    }

    /// What would become of this offer.
    pub fn foresee(&self, offer: &Offer) -> Foresight {
        let mut latest: Vec<&Seen> = self.0.iter().collect();
        latest.sort_by_key(|seen| std::cmp::Reverse(seen.last));
        let decided = latest.iter().find_map(|seen| self.decide(seen, offer));
        decided.unwrap_or_else(|| Foresight { verdict: Verdict::Undecided, because: open(&latest, offer) })
    }

    /// What one kind of handshake proves, if anything.
    fn decide(&self, seen: &Seen, offer: &Offer) -> Option<Foresight> {
        let (works, breaks) = (
            |because| Some(Foresight { verdict: Verdict::Works, because }),
            |because| Some(Foresight { verdict: Verdict::Breaks, because }),
        );
        let Some(seen_offer) = &seen.offer else { return works("does not offer STARTTLS".to_owned()) };
        match &seen.outcome {
            Outcome::Worked(chosen) if lacks(offer, chosen).is_none() => return works(agreed(chosen)),
            Outcome::Refused(alert) if offer.is_within(seen_offer) && !self.worked_since(seen) => {
                return breaks(format!(
                    "refused an offer with all of this policy: alert {alert} {}",
                    Alert::description_name(*alert)
                ));
            }
            // What fails now and then, and works with the same offer at other times, is not a matter of the offer.
            Outcome::Failed(_) if offer.is_within(seen_offer) && !self.worked(seen_offer) => {
                return breaks("failed with every offer that had all of this policy".to_owned());
            }
            _ => {}
        }
        let (Outcome::Worked(chosen) | Outcome::Failed(Some(chosen))) = &seen.outcome else { return None };
        let is_missing = |version: &WireVersion| *version > chosen.version && seen_offer.versions.contains(version);
        let newest = seen_offer.versions.iter().max()?;
        let old = || format!("chose {} when {newest} was offered, so it supports nothing newer", chosen.version);
        offer.versions.iter().all(is_missing).then(old).and_then(breaks)
    }

    fn worked(&self, offer: &Offer) -> bool {
        self.0.iter().any(|seen| seen.offer.as_ref() == Some(offer) && matches!(seen.outcome, Outcome::Worked(_)))
    }

    fn worked_since(&self, refused: &Seen) -> bool {
        let is_newer = |seen: &&Seen| seen.offer == refused.offer && seen.last > refused.last;
        self.0.iter().filter(is_newer).any(|seen| matches!(seen.outcome, Outcome::Worked(_)))
    }
}

/// Both sides agreed, and this one rejected the certificate. A weak certificate is a matter of the policy anyway,
/// because its security level rejects it.
pub fn is_over_the_certificate(facts: &HandshakeFacts) -> bool {
    let fault = facts.certificate_fault.filter(|fault| *fault != CertificateFault::Weak);
    // In TLS 1.3 the client's alert is encrypted.
    let is_about_it =
        |alert: &Alert| alert.by == Side::Client && matches!(alert.description, None | Some(42..=46 | 48));
    !facts.completed && fault.is_some() && facts.alerts.iter().any(is_about_it)
}

/// An alert by which a server says that it has nothing in common with the client.
fn refusal(facts: &HandshakeFacts) -> Option<u8> {
    let alert = facts.alerts.iter().find(|alert| alert.by == Side::Server && alert.fatal)?;
    let refuses = [Alert::HANDSHAKE_FAILURE, Alert::PROTOCOL_VERSION, Alert::INSUFFICIENT_SECURITY];
    alert.description.filter(|description| refuses.contains(description))
}

/// What an offer lacks of a server's choice, for people; `None`: nothing.
fn lacks(offer: &Offer, chosen: &ServerHello) -> Option<String> {
    if !offer.versions.contains(&chosen.version) {
        return Some(chosen.version.to_string());
    }
    if !offer.suites.contains(&chosen.cipher_suite) {
        return Some(chosen.cipher_suite.name().into_owned());
    }
    match chosen.key_exchange? {
        KeyExchange::Group(group) if !offer.groups.is_empty() && !offer.groups.contains(&group) => {
            Some(KeyExchange::Group(group).to_string())
        }
        small @ KeyExchange::DiffieHellman { prime_bits } if prime_bits < offer.prime_bits_min => {
            Some(small.to_string())
        }
        KeyExchange::Group(_) | KeyExchange::DiffieHellman { .. } => None,
    }
}

fn agreed(chosen: &ServerHello) -> String {
    format!("agreed on {} {}", chosen.version, chosen.cipher_suite.name())
}

/// Why nothing is decided, by the latest handshake that tells most.
fn open(latest: &[&Seen], offer: &Offer) -> String {
    let chosen = latest.iter().find_map(|seen| match &seen.outcome {
        Outcome::Worked(chosen) => Some(chosen),
        _ => None,
    });
    match chosen.and_then(|chosen| Some((agreed(chosen), lacks(offer, chosen)?))) {
        Some((agreed, missing)) => format!("{agreed}; no handshake without {missing} was recorded"),
        None if latest.is_empty() => "has no recorded handshake".to_owned(),
        None => "failed, but the policy offers more than was tried".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS10: WireVersion = WireVersion::TLS10;
    const TLS12: WireVersion = WireVersion::TLS12;
    const TLS13: WireVersion = WireVersion::TLS13;
    const RC4: u16 = 0x0005;
    const AES_CBC: u16 = 0x002f;
    const AES_GCM: u16 = 0xc02f;
    const AES_13: u16 = 0x1301;
    const X25519: u16 = 0x001d;

    fn hello(versions: &[WireVersion], suites: &[u16]) -> ClientHello {
        ClientHello {
            versions: versions.to_vec(),
            cipher_suites: suites.iter().copied().map(CipherSuite).collect(),
            extensions: vec![SUPPORTED_VERSIONS],
            server_name: None,
            groups: vec![X25519],
            signature_algorithms: vec![],
            length_bytes: 200,
        }
    }

    fn legacy() -> ClientHello {
        hello(&[TLS13, TLS12, TLS10], &[AES_13, AES_GCM, AES_CBC, RC4])
    }

    fn modern() -> ClientHello {
        hello(&[TLS13, TLS12], &[AES_13, AES_GCM])
    }

    fn chose(hello: ClientHello, version: WireVersion, suite: u16) -> HandshakeFacts {
        let cipher_suite = CipherSuite(suite);
        HandshakeFacts {
            client_hello: Some(hello),
            server_hello: Some(ServerHello { version, cipher_suite, key_exchange: None, retried: false }),
            completed: true,
            ..HandshakeFacts::default()
        }
    }

    fn refused(hello: ClientHello) -> HandshakeFacts {
        let alert = Alert { by: Side::Server, description: Some(Alert::HANDSHAKE_FAILURE), fatal: true };
        HandshakeFacts { client_hello: Some(hello), alerts: vec![alert], ..HandshakeFacts::default() }
    }

    fn reset(hello: ClientHello) -> HandshakeFacts {
        HandshakeFacts { client_hello: Some(hello), ..HandshakeFacts::default() }
    }

    /// This side rejected the certificate.
    fn rejected(hello: ClientHello, fault: CertificateFault) -> HandshakeFacts {
        let facts = chose(hello, TLS12, AES_GCM);
        let alerts = vec![Alert { by: Side::Client, description: Some(42), fatal: true }];
        HandshakeFacts { completed: false, alerts, certificate_fault: Some(fault), ..facts }
    }

    /// Handshakes in their order, each with whether mail went on, against the modern offer.
    fn foresee(handshakes: &[(HandshakeFacts, bool)]) -> Foresight {
        let mut server = Server::default();
        for (second, (facts, works)) in handshakes.iter().enumerate() {
            server.add(facts, *works, Timestamp::from_second(second as i64).unwrap());
        }
        server.foresee(&Offer::of_policy(&modern(), 2))
    }

    #[test]
    fn what_proves_what() {
        use Verdict::{Breaks, Undecided, Works};
        let cases = [
            (
                "agreed on what the policy has",
                vec![(chose(legacy(), TLS12, AES_GCM), true)],
                Works,
                "agreed on TLS 1.2",
            ),
            ("nothing newer", vec![(chose(legacy(), TLS10, RC4), true)], Breaks, "chose TLS 1.0 when TLS 1.3"),
            (
                "a preference only",
                vec![(chose(legacy(), TLS12, RC4), true)],
                Undecided,
                "no handshake without TLS_RSA_WITH_RC4_128_SHA",
            ),
            ("refused more", vec![(refused(legacy()), false)], Breaks, "alert 40 handshake_failure"),
            ("refused the same", vec![(refused(modern()), false)], Breaks, "alert 40"),
            (
                "refused less",
                vec![(refused(hello(&[TLS12], &[AES_GCM])), false)],
                Undecided,
                "offers more than was tried",
            ),
            (
                "refused once, and works since with another",
                vec![(refused(modern()), false), (chose(legacy(), TLS12, AES_GCM), true)],
                Works,
                "",
            ),
            (
                "worked once, and refuses since",
                vec![(chose(modern(), TLS12, AES_GCM), true), (refused(modern()), false)],
                Breaks,
                "",
            ),
            ("a hiccup", vec![(chose(modern(), TLS12, AES_GCM), true), (reset(modern()), false)], Works, ""),
            (
                "it never works",
                vec![(reset(modern()), false), (reset(modern()), false)],
                Breaks,
                "failed with every offer",
            ),
            (
                "silent after the handshake",
                vec![(chose(modern(), TLS12, AES_GCM), false)],
                Breaks,
                "failed with every offer",
            ),
            (
                "rejected for its certificate",
                vec![(rejected(modern(), CertificateFault::Expired), false)],
                Works,
                "agreed on TLS 1.2",
            ),
            (
                "rejected for a certificate that the policy forbids",
                vec![(rejected(modern(), CertificateFault::Weak), false)],
                Breaks,
                "failed with every offer",
            ),
            ("nothing", vec![], Undecided, "no recorded handshake"),
        ];
        for (name, handshakes, verdict, because) in cases {
            let foreseen = foresee(&handshakes);
            assert!(foreseen.verdict == verdict && foreseen.because.contains(because), "{name}: {foreseen:?}");
        }
    }

    /// A hello without a list of versions stands for all up to the one that it names.
    #[test]
    fn a_hello_up_to_tls_1_2_says_nothing_of_tls_1_3() {
        let old = |suites: &[u16]| ClientHello { extensions: vec![], ..hello(&[TLS12], suites) };
        assert_eq!(foresee(&[(chose(old(&[RC4, AES_GCM]), TLS10, RC4), true)]).verdict, Verdict::Undecided);
        let mut server = Server::default();
        server.add(&chose(old(&[RC4]), TLS10, RC4), true, Timestamp::UNIX_EPOCH);
        let only_12 = Offer::of_policy(&hello(&[TLS12], &[AES_GCM]), 0);
        assert_eq!(server.foresee(&only_12).verdict, Verdict::Breaks);
    }

    #[test]
    fn groups_and_primes_count() {
        let with = |key_exchange| {
            let mut facts = chose(legacy(), TLS12, AES_GCM);
            if let Some(chosen) = &mut facts.server_hello {
                chosen.key_exchange = Some(key_exchange);
            }
            foresee(&[(facts, true)])
        };
        assert_eq!(with(KeyExchange::Group(X25519)).verdict, Verdict::Works);
        assert!(with(KeyExchange::Group(0x0017)).because.contains("without secp256r1 "));
        assert!(with(KeyExchange::DiffieHellman { prime_bits: 1024 }).because.contains("without DHE 1024 bits "));
        assert_eq!(with(KeyExchange::DiffieHellman { prime_bits: 2048 }).verdict, Verdict::Works);
    }

    #[test]
    fn without_starttls_no_policy_matters() {
        let mut server = Server::default();
        server.add(&refused(modern()), false, Timestamp::UNIX_EPOCH);
        server.add_plaintext(Timestamp::from_second(1).unwrap());
        let foreseen = server.foresee(&Offer::of_policy(&modern(), 2));
        assert_eq!((foreseen.verdict, foreseen.because.as_str()), (Verdict::Works, "does not offer STARTTLS"));
    }
}
