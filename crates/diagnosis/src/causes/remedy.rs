//! Remedies: rows of a cause's file, chosen by the system that the evidence came from, by the signs, and by what worked.
//!
//! In a text, `{us}` is this side, `{domain}` the recipients' domain, `{port}` the destination's port, and `{policy}` the
//! strictest built-in TLS policy that contains what worked.

use std::fmt;

use protocol::smtp::Phase;

use crate::evidence::{Sign, Signs, Source};

const SMTP_PORT: u16 = 25;

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
    /// The host that connects to this side.
    Sender,
}

/// As in JSON.
impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destination => "destination",
            Self::Gateway => "gateway",
            Self::Network => "network",
            Self::Sender => "sender",
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
    /// A sender that has reported to the receiving server, whose administrator reads this.
    Reporter,
    /// Not known, or one that has no remedies of its own.
    Other,
}

impl System {
    pub(crate) fn of(source: Source) -> Self {
        match source {
            Source::History | Source::Probe | Source::OwnProtocolLog => Self::Gatepost,
            Source::ProtocolLog => Self::Exchange,
            Source::Log(format) => Self::named(format.name),
            Source::TlsReport => Self::Reporter,
            Source::Capture | Source::Dsn => Self::Other,
        }
    }

    /// By the name of a log format.
    fn named(format: &str) -> Self {
        match format {
            "postfix-log" | "postqueue-json" | "mailq" => Self::Postfix,
            "exim-log" => Self::Exim,
            "tracking-log" | "tracking-output" | "exchange-queue" | "connectivity-log" => Self::Exchange,
            // Exchange Online has other commands than Exchange.
            _ => Self::Other,
        }
    }

    fn us(self) -> &'static str {
        match self {
            Self::Gatepost => "this gateway",
            Self::Postfix | Self::Exchange | Self::Exim => "this server",
            Self::Reporter | Self::Other => "the sending server",
        }
    }
}

/// How much of the conversation the evidence shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Depth {
    /// Its result.
    Result,
    /// Commands and replies.
    Dialogue,
    Packets,
}

impl Depth {
    pub(crate) fn of(source: Source) -> Self {
        match source {
            Source::Capture => Self::Packets,
            Source::ProtocolLog | Source::OwnProtocolLog => Self::Dialogue,
            Source::History | Source::Probe | Source::Log(_) | Source::Dsn | Source::TlsReport => Self::Result,
        }
    }
}

/// What is known where a remedy is chosen.
#[derive(Clone, PartialEq, Debug)]
pub struct Situation {
    pub(crate) system: System,
    pub(crate) depth: Depth,
    pub(crate) signs: Signs,
    pub(crate) phase: Option<Phase>,
    /// It fails at all destinations.
    pub(crate) is_everywhere: bool,
    /// All of them are on this machine, such as a content filter: no network is between.
    pub(crate) is_local: bool,
    /// This side receives: what holds for a destination holds for this side.
    pub(crate) is_inbound: bool,
    /// The strictest built-in TLS policy that contains what worked.
    pub(crate) policy: Option<String>,
    /// If all recipients are there.
    pub(crate) domain: Option<String>,
    /// Of the destination.
    pub(crate) port: Option<u16>,
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            system: System::Gatepost,
            depth: Depth::Result,
            signs: Signs::default(),
            phase: None,
            is_everywhere: false,
            is_local: false,
            is_inbound: false,
            policy: None,
            domain: None,
            port: None,
        }
    }
}

/// One remedy, and when it is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(super) side: Side,
    /// `None`: whatever the system is.
    pub(super) system: Option<System>,
    /// Only if no row holds for the system.
    pub(super) is_fallback: bool,
    /// One of them must be there. Empty: always.
    on: &'static [Sign],
    /// None of them may be there.
    unless: &'static [Sign],
    phases: &'static [Phase],
    is_everywhere: Option<bool>,
    is_local: Option<bool>,
    has_policy: Option<bool>,
    is_inbound: Option<bool>,
    /// Only if the evidence shows this.
    shows: Option<Depth>,
    /// Only if the evidence shows less than this.
    collects: Option<Depth>,
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
        is_local: None,
        has_policy: None,
        is_inbound: None,
        shows: None,
        collects: None,
        text,
    }
}

/// For the destination.
pub(super) const fn destination(text: &'static str) -> Row {
    row(Side::Destination, None, text)
}

/// For the path between this side and the destination, where there is one.
pub(super) const fn network(text: &'static str) -> Row {
    row(Side::Network, None, text).local(false)
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

    /// Only if the destination is on this machine, or only if it is not.
    pub(super) const fn local(self, is_local: bool) -> Self {
        Self { is_local: Some(is_local), ..self }
    }

    /// What is said of all systems at this place, for one of them.
    pub(super) const fn of(self, system: System) -> Self {
        Self { system: Some(system), ..self }
    }

    /// Only where the evidence shows it.
    pub(super) const fn showing(self, depth: Depth) -> Self {
        Self { shows: Some(depth), ..self }
    }

    /// To collect this: not where the evidence shows it already.
    pub(super) const fn collecting(self, depth: Depth) -> Self {
        Self { collects: Some(depth), ..self }
    }

    /// Only if this side receives.
    pub(super) const fn inbound(self) -> Self {
        Self { is_inbound: Some(true), ..self }
    }

    /// Only if this side sends.
    pub(super) const fn outbound(self) -> Self {
        Self { is_inbound: Some(false), ..self }
    }

    /// Only if `{policy}` is known, or only if it is not.
    pub(super) const fn if_policy(self, is_known: bool) -> Self {
        Self { has_policy: Some(is_known), ..self }
    }

    pub(super) fn holds(&self, now: &Situation) -> bool {
        // At all destinations at once, none of them is at fault.
        let is_meant = !now.is_everywhere || self.side != Side::Destination || self.is_everywhere == Some(true);
        // Settings of a sender are of no use to a receiver.
        let is_of_role = (!now.is_inbound || self.system.is_none() || self.is_inbound == Some(true))
            && self.is_inbound.is_none_or(|is_inbound| is_inbound == now.is_inbound);
        is_meant
            && is_of_role
            && self.system.is_none_or(|system| system == now.system)
            && (self.on.is_empty() || now.signs.any(self.on))
            && !now.signs.any(self.unless)
            && (self.phases.is_empty() || now.phase.is_some_and(|phase| self.phases.contains(&phase)))
            && self.is_everywhere.is_none_or(|is_everywhere| is_everywhere == now.is_everywhere)
            && self.is_local.is_none_or(|is_local| is_local == now.is_local)
            && self.shows.is_none_or(|depth| now.depth >= depth)
            && self.collects.is_none_or(|depth| now.depth < depth)
            && self.has_policy.is_none_or(|is_known| is_known == now.policy.is_some())
    }

    pub(super) fn remedy(&self, now: &Situation) -> Remedy {
        let side = match self.side {
            Side::Destination if now.is_inbound => Side::Gateway,
            Side::Gateway if now.is_inbound => Side::Sender,
            side => side,
        };
        let us = if now.is_inbound { "the sender" } else { now.system.us() };
        let action = self.text.replace("{us}", us);
        let action = action.replace("{domain}", now.domain.as_deref().unwrap_or("DOMAIN"));
        let action = action.replace("{port}", &now.port.unwrap_or(SMTP_PORT).to_string());
        Remedy { side, action: action.replace("{policy}", now.policy.as_deref().unwrap_or_default()) }
    }
}
