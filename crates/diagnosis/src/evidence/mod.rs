//! Evidence: delivery attempts from any source, each a compact record.

mod about;
mod attempt;
mod captured;
mod dimension;
mod inbound;
mod intern;
mod joining;
mod newest;
mod record;
mod signs;
mod source;
mod waiting;

use std::{borrow::Cow, collections::BTreeSet, hash::BuildHasher, net::IpAddr};

use foldhash::quality::RandomState;
use jiff::Timestamp;
use protocol::{
    host_port,
    tls::{CipherSuite, WireVersion},
};

use about::About;
pub use attempt::{Attempt, Connection, Direction, Failed};
pub use captured::Clock;
use dimension::DIMENSIONS;
pub use dimension::Dimension;
pub use inbound::LeftOut;
use inbound::sender_group;
use intern::Interner;
pub use joining::Joined;
pub(crate) use joining::Joining;
use joining::Met;
use newest::Newest;
pub use record::Symptom;
pub(crate) use record::{Delivery, Example, Flight, Offer, Record, Seen};
pub use signs::{ProviderCode, Sign, Signs, Speaker, Who, Words, provider_code};
pub use source::{Place, Source, in_words};
use waiting::Suspended;
pub(crate) use waiting::Untried;

use crate::tables::{HashMap, HashSet};

/// Version and cipher suite that the server chose, in OpenSSL's words, as a handshake on the wire shows them.
fn chosen(attempt: &Attempt<'_>) -> Option<(Cow<'static, str>, Cow<'static, str>)> {
    let hello = attempt.handshake.as_ref()?.server_hello.as_ref()?;
    Some((hello.version.openssl_name(), hello.cipher_suite.openssl_name()))
}

/// The message left, and its source, which shows TLS where it is used, shows none.
fn is_plaintext(attempt: &Attempt<'_>) -> bool {
    let shows_tls = attempt.source == Source::History || attempt.source.is_protocol_log();
    attempt.failure.is_none()
        && (attempt.plaintext_after.is_some() || (shows_tls && attempt.tls.is_none() && attempt.handshake.is_none()))
}

/// A log may name its connector, or nothing, in the place of a host.
fn is_host(name: &str, connector: Option<&str>) -> bool {
    !name.is_empty() && !name.eq_ignore_ascii_case("none") && connector != Some(name)
}

/// A message of this size does not fit into what a system buffers for a connection, so that its end is in doubt with the
/// rest of it.
const LARGE_MESSAGE_BYTES: u64 = 256 * 1024;

/// What an attempt is compared by, as numbers of names.
struct Keys {
    values: [u32; DIMENSIONS],
    host: u32,
    group: u32,
}

/// Examples kept of each symptom at each destination.
const EXAMPLES_MAX: usize = 3;
/// Symptoms of which examples are kept: foreign text must not fill the memory.
const EXAMPLES_OF_MAX: usize = 10_000;

/// Attempts, ready to be explained.
#[derive(Debug, Default)]
pub struct Evidence {
    pub(crate) records: Vec<Record>,
    pub(crate) names: Interner<String>,
    pub(crate) symptoms: Interner<Symptom>,
    pub(crate) offers: Interner<Offer>,
    pub(crate) agreed: Interner<(WireVersion, CipherSuite)>,
    /// By the number in [`Record::flight`], from 1.
    pub(crate) flights: Vec<Flight>,
    pub(crate) seen: Interner<Seen>,
    /// Nodes that stopped and started again, by the number of the name, with the time in milliseconds since 1970.
    pub(crate) restarts: Vec<(u32, i64)>,
    /// Deliveries that were given up after an attempt, because they were too old.
    pub(crate) expired: HashSet<Delivery>,
    /// Deliveries that an operator removed from the queue.
    pub(crate) removed: HashSet<Delivery>,
    /// By group and symptom: deliveries that no attempt was made for, since their connector is paused after this symptom.
    untried: HashMap<(u32, u32), Vec<Untried>>,
    /// By group.
    suspended: HashMap<u32, Suspended>,
    /// Groups with an attempt that failed.
    failed_groups: HashSet<u32>,
    about: Option<About>,
    connectors: BTreeSet<u32>,
    examples: HashMap<(u32, u32), Vec<Example>>,
    hasher: RandomState,
    newest: Newest,
    /// Attempts of the other direction are not compared with these.
    direction: Direction,
    left_out: LeftOut,
    /// The attempts of the other direction, until the first one of this direction comes.
    senders: Option<Box<Evidence>>,
    told: u64,
    /// `None`: what is added is of one source.
    joining: Option<Box<Joining>>,
}

impl Evidence {
    /// Keeps this number of attempts of each way of failing in full, and the same number that worked.
    pub fn keeping(attempts: usize) -> Self {
        Self { newest: Newest::of_each(attempts), ..Self::default() }
    }

    /// The same about mail that comes in: which senders fail to deliver to the system that the sources are about.
    pub fn inbound(self) -> Self {
        Self { direction: Direction::Inbound, senders: None, ..self }
    }

    /// The same, ready to turn to senders if the sources have nothing else; see [`Evidence::turn_to_senders`].
    pub fn or_senders(self) -> Self {
        let senders = Self { newest: Newest::of_each(self.kept()), ..Self::default() }.inbound();
        Self { senders: Some(Box::new(senders)), ..self }
    }

    /// True if attempts of senders are kept for as long as nothing else is known.
    pub(crate) fn keeps_senders(&self) -> bool {
        self.senders.is_some()
    }

    /// Nothing was about mail that goes out, but senders failed to hand mail in: from now on this is about them. False if
    /// that is not so.
    pub fn turn_to_senders(&mut self) -> bool {
        let is_about_them = self.told == 0 && self.left_out.failed > 0;
        let Some(senders) = self.senders.take().filter(|_| is_about_them) else { return false };
        *self = *senders;
        true
    }

    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Attempts of the other direction, which were not added.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Attempts added from now on come from several sources, which may have the same attempt: it is counted once. Until
    /// [`Evidence::joined`] attempts wait here, except those of the last source.
    pub fn join(&mut self) {
        self.joining.get_or_insert_default();
        if let Some(senders) = &mut self.senders {
            senders.join();
        }
    }

    /// A capture's session, for the logs of its connection that are added after it.
    /// Given back where nothing is joined, or no more can be held.
    pub fn hold(&mut self, session: capture::Session, file: &str) -> Option<capture::Session> {
        let Some(joining) = &mut self.joining else { return Some(session) };
        let rest = joining.hold_session(session, file);
        self.told += u64::from(rest.is_none());
        rest
    }

    /// No further source follows the one that is added now: of it, nothing has to wait.
    pub fn last_source(&mut self) {
        if let Some(joining) = &mut self.joining {
            joining.is_last_source = true;
        }
    }

    /// All sources were added: what waited for others is given back.
    pub(crate) fn end_joining(&mut self) -> Option<Joining> {
        self.joining.take().map(|joining| *joining)
    }

    /// Number of attempts in all sources; an attempt in two sources counts twice.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Counts an attempt of the other direction.
    pub(crate) fn leave_out(&mut self, has_failed: bool) {
        self.left_out.count(has_failed);
    }

    /// Adds an attempt. `place` is asked where it is kept as an example, or in full.
    pub fn add(&mut self, attempt: &Attempt<'_>, place: impl Fn() -> Option<Place> + Copy) {
        if attempt.direction != self.direction {
            self.leave_out(attempt.failure.is_some());
            return self.senders.iter_mut().for_each(|senders| senders.add(attempt, place));
        }
        self.senders = None;
        self.told += 1;
        let places = || place().map(|place| (attempt.source, place)).into_iter().collect::<Vec<_>>();
        match self.joining.as_mut().map(|joining| joining.meet(attempt, places)) {
            None | Some(Met::Nobody) => {
                self.record(attempt, places);
            }
            Some(Met::Complete(attempt)) => self.record_kept(&attempt),
            Some(Met::Held) => {}
        }
    }

    pub(crate) fn record_kept(&mut self, attempt: &Attempt<'static>) {
        self.record(attempt, || attempt.places.clone());
    }

    /// What an attempt is compared by.
    fn keys(&mut self, attempt: &Attempt<'_>) -> Keys {
        let mut values = [0; DIMENSIONS];
        let mut set = |dimension: Dimension, number: u32| values[dimension as usize] = number;
        let names = &mut self.names;
        let mut name =
            |text: Option<&Cow<'_, str>>| text.map_or(0, |text| names.number(text.as_ref(), || text.to_string()));
        set(Dimension::TlsPolicy, name(attempt.tls_policy.as_ref()));
        set(Dimension::Node, name(attempt.node.as_ref()));
        let tls = attempt.tls.clone().or_else(|| chosen(attempt));
        set(Dimension::TlsVersion, name(tls.as_ref().map(|tls| &tls.0)));
        set(Dimension::Cipher, name(tls.as_ref().map(|tls| &tls.1)));
        set(Dimension::SenderDomain, name(attempt.sender_domain.as_ref()));
        set(Dimension::RecipientDomain, name(attempt.recipient_domain.as_ref()));
        let mut address = |ip: Option<IpAddr>| ip.map_or(0, |ip| self.names.number(&ip, || ip.to_string()));
        // The other side of an inbound attempt is the one that connects.
        let (client, server) = match attempt.direction {
            Direction::Outbound => (attempt.source_address, attempt.destination_address),
            Direction::Inbound => (attempt.destination_address, attempt.source_address),
        };
        set(Dimension::SourceAddress, address(client));
        set(Dimension::DestinationAddress, address(server));
        let host = attempt.destination.as_ref().map(|(host, port)| (host.as_ref(), *port));
        let host = host.filter(|(host, _)| is_host(host, attempt.connector.as_deref()));
        let host = host.map_or(0, |host| self.names.number(&host, || host_port::join(host.0, host.1)));
        set(Dimension::DestinationHost, host);
        let connector = attempt.connector.as_deref();
        let connector = connector.map(|name| self.names.number(&("connector", name), || name.to_owned()));
        self.connectors.extend(connector);
        // A TLS report counts by domain what worked, and by host what failed.
        let is_by_domain = host == 0 || attempt.source == Source::TlsReport;
        let group = match &attempt.destination {
            Some((sender, _)) if attempt.direction == Direction::Inbound => {
                let sender = sender_group(sender);
                self.names.number(&("sender", sender), || sender.to_owned())
            }
            _ => connector.unwrap_or(if is_by_domain { values[Dimension::RecipientDomain as usize] } else { host }),
        };
        Keys { values, host, group }
    }

    fn record(&mut self, attempt: &Attempt<'_>, places: impl Fn() -> Vec<(Source, Place)>) -> (u32, u32) {
        let Keys { values, host, group } = self.keys(attempt);
        let symptom = attempt.failure.as_ref().map_or(0, |failed| self.symptom(attempt, failed));
        let before = attempt.plaintext_after.as_deref().filter(|_| symptom == 0);
        let plaintext_after = before.map_or(0, |failed| self.symptom_of(failed, Signs::default()));
        if symptom != 0 {
            self.failed_groups.insert(group);
        }
        if let Some(failed) = attempt.failure.as_ref().or(before) {
            self.keep_example(group, symptom.max(plaintext_after), attempt, failed, &places);
        }
        if let Some(about) = &mut self.about {
            about.note(attempt, group, symptom.max(plaintext_after));
        }
        self.newest.add(group, symptom, &values, attempt, places);
        let (offer, agreed) = (self.offer(attempt), self.agreed(attempt));
        let (flight, seen) = (self.flight(attempt), self.see(attempt));
        self.records.push(Record {
            at: attempt.at.map_or(i64::MIN, Timestamp::as_millisecond),
            delivery: self.delivery(attempt),
            message_bytes: u32::try_from(attempt.message_bytes.unwrap_or(0)).unwrap_or(u32::MAX),
            group,
            destination: host,
            values,
            symptom,
            plaintext_after,
            offer,
            agreed,
            flight,
            seen,
        });
        (group, symptom)
    }

    fn delivery(&self, attempt: &Attempt<'_>) -> Delivery {
        self.delivery_of(attempt.message.as_deref(), attempt.recipient.as_deref())
    }

    fn delivery_of(&self, message: Option<&str>, recipient: Option<&str>) -> Delivery {
        let recipient = recipient.map(|recipient| self.hasher.hash_one(recipient.to_ascii_lowercase()));
        Delivery::new(message.map(|message| self.hasher.hash_one(message)), recipient)
    }

    /// A node stopped before this time, and its work went on.
    pub fn add_restart(&mut self, node: &str, at: Timestamp) {
        let node = self.names.number(node, || node.to_owned());
        self.restarts.push((node, at.as_millisecond()));
    }

    /// This was given up, after an attempt that is among the evidence.
    pub fn expire(&mut self, message: &str, recipient: &str) {
        let delivery = self.delivery_of(Some(message), Some(recipient));
        self.expired.insert(delivery);
    }

    /// An operator removed this from the queue.
    pub fn remove(&mut self, message: &str, recipient: &str) {
        let delivery = self.delivery_of(Some(message), Some(recipient));
        self.removed.insert(delivery);
    }

    fn symptom(&mut self, attempt: &Attempt<'_>, failed: &Failed<'_>) -> u32 {
        let signs = attempt.handshake.as_deref().map(Signs::of_handshake).unwrap_or_default();
        let is_large = attempt.message_bytes.is_some_and(|bytes| bytes >= LARGE_MESSAGE_BYTES);
        let signs = signs.and_if(attempt.tls.is_some(), Sign::TlsEstablished);
        self.symptom_of(failed, signs.and_if(is_large, Sign::LargeMessage))
    }

    fn symptom_of(&mut self, failed: &Failed<'_>, more: Signs) -> u32 {
        let Failed { phase, signs, code, enhanced, text } = failed;
        let known = provider_code(text, *code, *enhanced);
        let symptom = Symptom { phase: *phase, code: *code, enhanced: *enhanced, signs: signs.union(more), known };
        self.symptoms.number(&symptom, || symptom)
    }

    fn keep_example(
        &mut self,
        group: u32,
        symptom: u32,
        attempt: &Attempt<'_>,
        failed: &Failed<'_>,
        places: &impl Fn() -> Vec<(Source, Place)>,
    ) {
        let is_full = self.examples.len() >= EXAMPLES_OF_MAX && !self.examples.contains_key(&(group, symptom));
        if is_full {
            return;
        }
        let examples = self.examples.entry((group, symptom)).or_default();
        let text = failed.text.as_ref();
        // What follows the text is the handshake's, which differs by its times at least.
        let is_same = |known: &Example| {
            known.text.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
        };
        if examples.len() >= EXAMPLES_MAX || examples.iter().any(is_same) {
            return;
        }
        let mut text = text.to_owned();
        // Some sources' words have it already.
        let handshake =
            attempt.handshake.as_deref().map(ToString::to_string).filter(|handshake| !text.contains(handshake));
        if let Some(handshake) = handshake {
            text = format!("{text}: {handshake}");
        }
        let (source, places) = (attempt.source, places());
        let own = places.iter().find(|(of, _)| *of == source);
        let file = own.and_then(|(_, place)| place.file()).map(str::to_owned);
        examples.push(Example { source, place: in_words(&places), file, text });
    }

    fn offer(&mut self, attempt: &Attempt<'_>) -> u32 {
        let Some(hello) = attempt.handshake.as_ref().and_then(|facts| facts.client_hello.as_ref()) else { return 0 };
        let make = || Offer { versions: hello.versions.clone(), suites: hello.cipher_suites.clone() };
        self.offers.number(&(&hello.versions, &hello.cipher_suites), make)
    }

    fn agreed(&mut self, attempt: &Attempt<'_>) -> u32 {
        let facts = attempt.handshake.as_ref().filter(|facts| facts.completed);
        let Some(hello) = facts.and_then(|facts| facts.server_hello.as_ref()) else { return 0 };
        let agreed = (hello.version, hello.cipher_suite);
        self.agreed.number(&agreed, || agreed)
    }

    fn flight(&mut self, attempt: &Attempt<'_>) -> u32 {
        let since = |connection: Connection| {
            let client = self.hasher.hash_one(connection.client) as u32;
            Flight::Since { client, began: connection.began.as_millisecond() }
        };
        let Some(flight) = attempt.connections.map(Flight::Counted).or_else(|| attempt.connection.map(since)) else {
            return 0;
        };
        self.flights.push(flight);
        u32::try_from(self.flights.len()).unwrap_or(0)
    }

    fn see(&mut self, attempt: &Attempt<'_>) -> u32 {
        let certificate = attempt.handshake.as_ref().and_then(|facts| facts.certificates.first());
        let key = (certificate.map(|certificate| &certificate.thumbprint), is_plaintext(attempt));
        if key == (None, false) {
            return 0;
        }
        let make = || Seen {
            certificate: certificate.map(|certificate| (certificate.thumbprint.clone(), certificate.subject.clone())),
            is_plaintext: key.1,
        };
        self.seen.number(&key, make)
    }

    /// How many attempts of a kind are kept in full.
    pub(crate) fn kept(&self) -> usize {
        self.newest.limit()
    }

    pub(crate) fn kept_attempts(&self, group: u32, symptom: u32) -> impl Iterator<Item = &Attempt<'static>> {
        self.newest.of(group, symptom)
    }

    pub(crate) fn examples(&self, group: u32, symptom: u32) -> &[Example] {
        self.examples.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }

    /// True if a group's number is a connector's, not a host's or a domain's.
    pub(crate) fn is_connector(&self, group: u32) -> bool {
        self.connectors.contains(&group)
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }
}
