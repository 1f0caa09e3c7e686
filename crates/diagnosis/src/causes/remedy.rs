//! Remedies: rows of a cause's file, chosen by the system that the evidence came from, by the signs, and by what worked.
//!
//! In a text, `{us}` is this side, `{domain}` the recipients' domain, and `{policy}` the strictest built-in TLS policy
//! that contains what worked.

use std::fmt;

use protocol::smtp::Phase;

use super::cause::{Cause, Sign};
use crate::evidence::{Signs, Source};

/// Something to do.
#[derive(Clone, PartialEq, Debug)]
pub struct Remedy {
    pub side: Side,
    pub action: String,
}

/// Who can do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Destination,
    /// This side.
    Gateway,
    Network,
}

/// As in JSON.
impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destination => "destination",
            Self::Gateway => "gateway",
            Self::Network => "network",
        })
    }
}

/// The mail system on this side. Its settings differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Gatepost,
    Postfix,
    Exchange,
    Exim,
    /// Not known, or one that has no remedies of its own.
    Other,
}

impl System {
    pub(crate) fn of(source: Source) -> Self {
        match source {
            Source::History | Source::Probe => Self::Gatepost,
            Source::ProtocolLog => Self::Exchange,
            Source::Log(format) => Self::named(format.name),
            Source::Capture | Source::Dsn | Source::TlsReport => Self::Other,
        }
    }

    /// By the name of a log format.
    fn named(format: &str) -> Self {
        const EXCHANGE: [&str; 7] =
            ["exchange", "message-trace", "tracking", "connectivity", "queue-viewer", "get-queue", "graph"];
        const POSTFIX: [&str; 3] = ["postfix", "postqueue", "mailq"];
        let has = |word: &&str| format.contains(*word);
        match () {
            () if POSTFIX.iter().any(has) => Self::Postfix,
            () if format.contains("exim") => Self::Exim,
            () if EXCHANGE.iter().any(has) => Self::Exchange,
            () => Self::Other,
        }
    }

    fn us(self) -> &'static str {
        match self {
            Self::Gatepost => "this gateway",
            Self::Postfix | Self::Exchange | Self::Exim => "this server",
            Self::Other => "the sending server",
        }
    }
}

/// What is known where a remedy is chosen.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    pub system: System,
    pub signs: Signs,
    pub phase: Option<Phase>,
    /// It fails at all destinations.
    pub is_everywhere: bool,
    /// This side receives: what holds for a destination holds for this side.
    pub is_inbound: bool,
    /// The strictest built-in TLS policy that contains what worked.
    pub policy: Option<String>,
    /// If all recipients are there.
    pub domain: Option<String>,
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            system: System::Gatepost,
            signs: Signs::default(),
            phase: None,
            is_everywhere: false,
            is_inbound: false,
            policy: None,
            domain: None,
        }
    }
}

/// One remedy, and when it is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    side: Side,
    /// `None`: whatever the system is.
    system: Option<System>,
    /// Only if no row holds for the system.
    is_fallback: bool,
    /// One of them must be there. Empty: always.
    on: &'static [Sign],
    /// None of them may be there.
    unless: &'static [Sign],
    phases: &'static [Phase],
    is_everywhere: Option<bool>,
    has_policy: Option<bool>,
    text: &'static str,
}

const fn row(side: Side, system: Option<System>, text: &'static str) -> Row {
    Row {
        side,
        system,
        is_fallback: false,
        on: &[],
        unless: &[],
        phases: &[],
        is_everywhere: None,
        has_policy: None,
        text,
    }
}

/// For the other side.
pub(super) const fn destination(text: &'static str) -> Row {
    row(Side::Destination, None, text)
}

/// For the path between the two.
pub(super) const fn network(text: &'static str) -> Row {
    row(Side::Network, None, text)
}

/// For this side, whatever its system is.
pub(super) const fn here(text: &'static str) -> Row {
    row(Side::Gateway, None, text)
}

/// For this side if nothing more exact is known.
pub(super) const fn sender(text: &'static str) -> Row {
    Row { is_fallback: true, ..row(Side::Gateway, None, text) }
}

pub(super) const fn gatepost(text: &'static str) -> Row {
    row(Side::Gateway, Some(System::Gatepost), text)
}

pub(super) const fn postfix(text: &'static str) -> Row {
    row(Side::Gateway, Some(System::Postfix), text)
}

pub(super) const fn exchange(text: &'static str) -> Row {
    row(Side::Gateway, Some(System::Exchange), text)
}

pub(super) const fn exim(text: &'static str) -> Row {
    row(Side::Gateway, Some(System::Exim), text)
}

impl Row {
    pub(super) const fn on(self, signs: &'static [Sign]) -> Self {
        Self { on: signs, ..self }
    }

    pub(super) const fn unless(self, signs: &'static [Sign]) -> Self {
        Self { unless: signs, ..self }
    }

    pub(super) const fn in_phases(self, phases: &'static [Phase]) -> Self {
        Self { phases, ..self }
    }

    /// Only if it fails at all destinations.
    pub(super) const fn everywhere(self) -> Self {
        Self { is_everywhere: Some(true), ..self }
    }

    /// Only if `{policy}` is known, or only if it is not.
    pub(super) const fn if_policy(self, is_known: bool) -> Self {
        Self { has_policy: Some(is_known), ..self }
    }

    fn holds(&self, now: &Situation) -> bool {
        // At all destinations at once, none of them is at fault.
        let is_meant = !now.is_everywhere || self.side != Side::Destination || self.is_everywhere == Some(true);
        // Settings of a sender are of no use to a receiver.
        let is_of_role = !now.is_inbound || self.system.is_none();
        is_meant
            && is_of_role
            && self.system.is_none_or(|system| system == now.system)
            && (self.on.is_empty() || now.signs.any(self.on))
            && !now.signs.any(self.unless)
            && (self.phases.is_empty() || now.phase.is_some_and(|phase| self.phases.contains(&phase)))
            && self.is_everywhere.is_none_or(|is_everywhere| is_everywhere == now.is_everywhere)
            && self.has_policy.is_none_or(|is_known| is_known == now.policy.is_some())
    }

    fn remedy(&self, now: &Situation) -> Remedy {
        let side = match self.side {
            Side::Destination if now.is_inbound => Side::Gateway,
            Side::Gateway if now.is_inbound => Side::Destination,
            side => side,
        };
        let us = if now.is_inbound { "the sender" } else { now.system.us() };
        let action = self.text.replace("{us}", us);
        let action = action.replace("{domain}", now.domain.as_deref().unwrap_or("DOMAIN"));
        Remedy { side, action: action.replace("{policy}", now.policy.as_deref().unwrap_or_default()) }
    }
}

impl Cause {
    /// In the order of the file; this side's come first where the fault is on this side.
    pub(crate) fn remedies(&self, now: &Situation) -> Vec<Remedy> {
        let rows: Vec<&Row> = self.remedies.iter().filter(|row| row.holds(now)).collect();
        let has_own = rows.iter().any(|row| row.system.is_some());
        let shown = rows.into_iter().filter(|row| !(row.is_fallback && has_own));
        let mut remedies: Vec<Remedy> = shown.map(|row| row.remedy(now)).collect();
        if now.is_everywhere || now.is_inbound {
            remedies.sort_by_key(|remedy| remedy.side != Side::Gateway);
        }
        remedies
    }

    /// The remedies for the system of `before`, which are those of another cause.
    pub(crate) fn remedies_instead_of(&self, other: &Self, before: &[Remedy]) -> Vec<Remedy> {
        let systems = [System::Gatepost, System::Postfix, System::Exchange, System::Exim, System::Other];
        let situation = |system| Situation { system, ..Situation::default() };
        let system = systems.into_iter().find(|system| other.remedies(&situation(*system)) == before);
        self.remedies(&situation(system.unwrap_or(System::Gatepost)))
    }

    /// The remedies of `before`, which were chosen without knowing a TLS policy that works, now that one is known.
    pub(crate) fn remedies_with(&self, policy: &str, before: &[Remedy]) -> Vec<Remedy> {
        let systems = [System::Gatepost, System::Postfix, System::Exchange, System::Exim, System::Other];
        let chosen = systems.into_iter().find_map(|system| {
            let now = Situation { system, ..Situation::default() };
            (self.remedies(&now) == before)
                .then(|| self.remedies(&Situation { policy: Some(policy.to_owned()), ..now }))
        });
        chosen.unwrap_or_else(|| before.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::{CATALOGUE, CauseId};

    const SYSTEMS: [System; 5] = [System::Gatepost, System::Postfix, System::Exchange, System::Exim, System::Other];

    fn actions(id: CauseId, now: &Situation) -> Vec<String> {
        id.cause().remedies(now).into_iter().map(|remedy| remedy.action).collect()
    }

    #[test]
    fn every_cause_has_a_remedy_for_every_system_and_every_situation() {
        for cause in &CATALOGUE {
            for system in SYSTEMS {
                for (is_everywhere, is_inbound) in [(false, false), (true, false), (false, true)] {
                    let now = Situation { system, is_everywhere, is_inbound, ..Situation::default() };
                    let remedies = cause.remedies(&now);
                    let may_be = !is_everywhere || cause.id.can_be_everywhere();
                    assert!(!remedies.is_empty() || !may_be, "{} for {now:?}", cause.id);
                    for Remedy { action, .. } in remedies {
                        assert!(!action.contains(['{', '}']) || action.contains("{ "), "{}: {action}", cause.id);
                        assert!(action.ends_with(['.', ')']), "{}: {action}", cause.id);
                        let is_foreign = system != System::Gatepost && action.contains("this gateway");
                        assert!(!is_foreign, "{}: {action}", cause.id);
                    }
                }
            }
        }
    }

    #[test]
    fn settings_are_those_of_the_system() {
        let of = |system| actions(CauseId::StarttlsRequired, &Situation { system, ..Situation::default() }).concat();
        for (system, setting) in [
            (System::Gatepost, "`tls = \"opportunistic\"`"),
            (System::Postfix, "smtp_tls_security_level = may"),
            (System::Exchange, "-IgnoreSTARTTLS $false"),
            (System::Exim, "hosts_avoid_tls"),
        ] {
            assert!(of(system).contains(setting), "{setting}: {}", of(system));
            let others = SYSTEMS.into_iter().filter(|other| *other != system);
            assert!(others.into_iter().all(|other| !of(other).contains(setting)), "{setting}");
        }
    }

    #[test]
    fn what_worked_names_the_policy() {
        let now = Situation { policy: Some("legacy".to_owned()), ..Situation::default() };
        for id in [CauseId::NoSharedCipher, CauseId::NoSharedTlsVersion] {
            let known = actions(id, &now).concat();
            assert!(known.contains("\"legacy\"") && !known.contains("intermediate"), "{known}");
            let open = Situation::default();
            assert!(!actions(id, &open).concat().contains("\"legacy\""), "{id}");
            let before = id.cause().remedies(&open);
            assert_eq!(id.cause().remedies_with("legacy", &before), id.cause().remedies(&now));
        }
    }

    #[test]
    fn no_remedy_exempts_from_a_verdict_about_the_content() {
        for sign in [Sign::VirusFound, Sign::SpamFound] {
            for system in SYSTEMS {
                let now = Situation { system, signs: Signs::default().and(sign), ..Situation::default() };
                let text = actions(CauseId::RejectedByPolicy, &now).concat();
                assert!(!text.is_empty() && !text.to_lowercase().contains("exempt"), "{text}");
            }
        }
    }

    #[test]
    fn this_sides_remedies_come_first_where_all_destinations_fail() {
        let now = Situation { is_everywhere: true, ..Situation::default() };
        for cause in CATALOGUE.iter().filter(|cause| cause.id.can_be_everywhere()) {
            let sides: Vec<Side> = cause.remedies(&now).into_iter().map(|remedy| remedy.side).collect();
            assert_eq!(sides.first(), Some(&Side::Gateway), "{}", cause.id);
            assert!(!sides.contains(&Side::Destination), "{}", cause.id);
        }
    }
}
