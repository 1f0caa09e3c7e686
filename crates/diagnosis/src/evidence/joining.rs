//! Merges what several sources have about the same attempt. A protocol log has the dialogue, also if it was encrypted; a
//! capture has the handshake; a trace has the message; the gateway's own history has the TLS policy. Together they are
//! one attempt, not four.
//!
//! ```text
//!   capture ──hold──> by connection ─┐
//!   log, trace, … ──meet──────────── completed ──held──> by session id, by message ─┐
//!   history (the last source) ──meet─────────────────────────────────────── completed ──> Evidence
//! ```

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use capture::Session;
use protocol::smtp::Phase;
use trace::foreign::Detail;

use super::{
    attempt::Attempt,
    captured::{APART_MAX, Captured, Clock, HELD_MAX, apart},
    source::{Place, Source},
};

/// What came of joining.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Attempts that another source completed.
    pub attempts: u64,
    /// Attempts and sessions that were not compared with other sources, since too many wait already.
    pub alone: u64,
    /// Clocks that differ by more than a second.
    pub clocks: Vec<Clock>,
}

/// Who knows of an attempt already.
pub(crate) enum Met {
    Nobody,
    /// It waits for further sources.
    Held,
    /// No further source follows.
    Complete(Box<Attempt<'static>>),
}

#[derive(Debug, Default)]
pub(crate) struct Joining {
    pub is_last_source: bool,
    captured: Captured,
    held: Vec<Held>,
    /// Indices of `held`.
    by_session: HashMap<String, Vec<usize>>,
    /// By message, in each of its names, and recipient, all in lower case.
    by_message: HashMap<(String, String), Vec<usize>>,
    /// Those of which the source names no message: a protocol log has the envelope only.
    by_recipient: HashMap<String, Vec<usize>>,
    attempts: u64,
    alone: u64,
}

#[derive(Debug)]
struct Held {
    attempt: Attempt<'static>,
    /// It went into another one.
    is_told: bool,
    /// Others went into it.
    is_joined: bool,
}

impl Joining {
    pub(crate) fn hold_session(&mut self, session: Session, file: &str) -> Option<Session> {
        let rest = self.captured.keep(session, file);
        self.alone += u64::from(rest.is_some());
        rest
    }

    /// Completes an attempt by what is known of it. `places` is asked if it is needed.
    pub(crate) fn meet(&mut self, observed: &Attempt<'_>, places: impl Fn() -> Vec<(Source, Place)>) -> Met {
        let index = self.find(observed);
        let captured = self.captured.find(observed, &places);
        let is_known = index.is_some() || captured.is_some();
        // What is of three sources counts once.
        self.attempts += u64::from(is_known && !index.is_some_and(|index| self.held[index].is_joined));
        let can_be_met = observed.session.is_some() || observed.recipient.is_some();
        if !is_known && (self.is_last_source || !can_be_met) {
            return Met::Nobody;
        }
        let mut attempt = observed.kept(places());
        if let Some((handshake, place)) = captured {
            attempt.handshake = attempt.handshake.or(handshake.map(Cow::Owned));
            attempt.places.push((Source::Capture, place));
        }
        if let Some(index) = index {
            self.held[index].is_told = true;
            attempt = together(attempt, self.held[index].attempt.clone());
        }
        if self.is_last_source {
            return Met::Complete(Box::new(attempt));
        }
        if self.held.len() >= HELD_MAX {
            self.alone += 1;
            return Met::Complete(Box::new(attempt));
        }
        self.hold(attempt, is_known);
        Met::Held
    }

    fn hold(&mut self, attempt: Attempt<'static>, is_joined: bool) {
        let index = self.held.len();
        if let Some(session) = &attempt.session {
            self.by_session.entry(session.to_string()).or_default().push(index);
        }
        let names = names(&attempt);
        if let (true, Some(recipient)) = (names.is_empty(), &attempt.recipient) {
            self.by_recipient.entry(recipient.to_ascii_lowercase()).or_default().push(index);
        }
        for name in names {
            self.by_message.entry(name).or_default().push(index);
        }
        self.held.push(Held { attempt, is_told: false, is_joined });
    }

    /// The same attempt in another source: by session, or else by message and time.
    fn find(&self, observed: &Attempt<'_>) -> Option<usize> {
        let of_session = observed.session.as_deref().and_then(|session| self.by_session.get(session));
        let fits = |index: &&usize| is_other(&self.held[**index].attempt, observed);
        // Several messages may go by one session, and one message to several recipients.
        let rank = |index: &&usize| {
            let Held { attempt, is_told, .. } = &self.held[**index];
            of_recipient(attempt, observed).map(|rank| (rank, *is_told))
        };
        let in_session = of_session.into_iter().flatten().filter(fits).filter(|index| rank(index).is_some());
        if let Some(index) = in_session.min_by_key(rank) {
            return Some(*index);
        }
        let names = names(observed);
        let of_message = names.iter().filter_map(|name| self.by_message.get(name));
        let of_recipient = names.first().and_then(|(_, recipient)| self.by_recipient.get(recipient));
        let same = of_message
            .chain(of_recipient)
            .flatten()
            .filter(fits)
            .filter(|index| !self.held[**index].is_told && is_same_hop(&self.held[**index], observed));
        let near = same.filter_map(|index| Some((apart(self.held[*index].attempt.at?, observed.at?), index)));
        near.filter(|(apart, _)| *apart <= APART_MAX).min().map(|(_, index)| *index)
    }

    /// Attempts that only one source has, and sessions of captures with their files.
    pub(crate) fn finish(self) -> (Joined, Vec<Attempt<'static>>, impl Iterator<Item = (Session, String)>) {
        let untold = self.held.into_iter().filter(|held| !held.is_told).map(|held| held.attempt).collect();
        let joined = Joined { attempts: self.attempts, alone: self.alone, clocks: self.captured.clocks() };
        (joined, untold, self.captured.rest())
    }
}

/// What names message and recipient across systems.
fn names(observed: &Attempt<'_>) -> Vec<(String, String)> {
    let Some(recipient) = observed.recipient.as_deref().map(str::to_ascii_lowercase) else { return Vec::new() };
    let bare = |id: &str| id.trim_matches(['<', '>', ' ']).to_ascii_lowercase();
    let ids = [&observed.message, &observed.message_id].into_iter().flatten().map(|id| bare(id));
    let mut names: Vec<_> = ids.map(|id| (id, recipient.clone())).collect();
    names.dedup();
    names
}

/// True if another source has an attempt with the same outcome.
fn is_other(attempt: &Attempt<'_>, observed: &Attempt<'_>) -> bool {
    let sources = attempt.places.iter().map(|(source, _)| *source).chain([attempt.source]);
    attempt.failure.is_some() == observed.failure.is_some()
        && sources.into_iter().all(|source| source.name() != observed.source.name())
}

/// Within a session: 0 for the same recipient, 1 where one of them tells none, 2 for another one who shares its fate.
fn of_recipient(attempt: &Attempt<'_>, observed: &Attempt<'_>) -> Option<u8> {
    match (&attempt.recipient, &observed.recipient) {
        (Some(held), Some(recipient)) if held.eq_ignore_ascii_case(recipient) => Some(0),
        (None, _) | (_, None) => Some(1),
        // A recipient is refused for reasons of its own.
        _ if attempt.failure.as_ref().is_some_and(|failed| failed.phase == Some(Phase::Rcpt)) => None,
        _ => Some(2),
    }
}

/// A message passes several servers: an attempt is one server's to reach the next.
fn is_same_hop(held: &Held, observed: &Attempt<'_>) -> bool {
    let host = |attempt: &Attempt<'_>| {
        attempt.destination.as_ref().map(|(host, _)| host.trim_end_matches('.').to_ascii_lowercase())
    };
    let held = &held.attempt;
    match (held.destination_address, observed.destination_address) {
        (Some(held), Some(address)) => return held == address,
        _ if [held.source, observed.source].contains(&Source::Dsn) => {}
        _ => return host(held).is_some_and(|name| Some(name) == host(observed)),
    }
    // A bounce names the server that refused, or none.
    match (host(held), host(observed)) {
        (Some(held), Some(host)) => held == host || held.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}

/// The words of the source that knows most, completed by the other.
fn together(a: Attempt<'static>, b: Attempt<'static>) -> Attempt<'static> {
    let (first, second) = if rank(a.source) <= rank(b.source) { (a, b) } else { (b, a) };
    let named = second.tls.clone().filter(|_| first.source.is_protocol_log());
    let mut attempt = first.completed_by(second);
    // Exchange's protocol log names the bulk cipher only.
    attempt.tls = named.or(attempt.tls);
    attempt
}

fn rank(source: Source) -> u8 {
    match source {
        Source::History => 0,
        Source::ProtocolLog | Source::OwnProtocolLog => 1,
        Source::Log(format) => match format.detail {
            Detail::Attempts => 2,
            Detail::Events => 3,
            Detail::Summaries => 4,
        },
        Source::Dsn => 5,
        Source::Capture | Source::Probe | Source::TlsReport => 6,
    }
}
