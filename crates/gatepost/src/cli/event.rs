//! Events as lines for people.

use std::io::{self, Write};

use protocol::smtp::{PhaseTime, TlsSummary};
use trace::{Attempt, Event, EventKind, Received};

use super::screen::{Screen, size, wrapped};

/// One line with time, node, recipient and event; below it the TLS handshake, and the duration of each phase.
pub(crate) fn write(event: &Event, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    wrapped(&line(event, screen), "  ", "      ", screen, out)?;
    let (handshake, attempt) = match &event.kind {
        EventKind::Received(received) => (received.handshake.as_deref(), None),
        kind => (kind.attempt().and_then(|attempt| attempt.handshake.as_deref()), kind.attempt()),
    };
    if let Some(facts) = handshake {
        wrapped(&format!("TLS: {facts}"), "      ", "        ", screen, out)?;
    }
    if let Some(attempt) = attempt {
        wrapped(&circumstances(attempt), "      ", "        ", screen, out)?;
    }
    Ok(())
}

/// Policy, rollout plan, session, and the duration of each phase.
fn circumstances(attempt: &Attempt) -> String {
    let plan = attempt.plan_version.map(|version| format!(" (rollout plan {version})")).unwrap_or_default();
    let policy = format!("policy {}{plan}, session {}", attempt.tls_policy, attempt.session);
    let phase = |time: &PhaseTime| format!("{} {} ms", time.phase, (time.duration_us + 500) / 1000);
    let phases: Vec<String> = attempt.phases.iter().map(phase).collect();
    if phases.is_empty() { policy } else { format!("{policy}; {}", phases.join(", ")) }
}

fn line(event: &Event, screen: &Screen) -> String {
    let recipient = event.recipient.as_ref().map(|recipient| format!("{recipient}: ")).unwrap_or_default();
    format!("{}  {}  {recipient}{}", screen.time(event.at), event.node, describe(&event.kind, screen))
}

fn describe(kind: &EventKind, screen: &Screen) -> String {
    match kind {
        EventKind::Received(received) => describe_received(received),
        EventKind::Delivered { attempt, reply } => format!("delivered {}: {reply}", describe_attempt(attempt)),
        EventKind::Deferred { attempt, failure, due } => {
            format!("deferred {}: {failure}; next attempt {}", describe_attempt(attempt), screen.time(*due))
        }
        EventKind::Failed { attempt: Some(attempt), failure } => {
            format!("bounced {}: {failure}", describe_attempt(attempt))
        }
        EventKind::Failed { attempt: None, failure } => format!("bounced: {failure}"),
        EventKind::HostFailed { attempt, failure } => {
            format!("host failed {}: {failure}; the node tried the next host", describe_attempt(attempt))
        }
        other => insight::deed(other).unwrap_or_default(),
    }
}

fn describe_received(received: &Received) -> String {
    let from = match (received.from, received.ehlo_name.as_str()) {
        (Some(address), "") => format!("received from {address}"),
        (Some(address), name) => format!("received from {address} ({name})"),
        (None, _) => "created by the gateway".to_owned(),
    };
    let plural = if received.recipients == 1 { "" } else { "s" };
    let bytes = size(received.size_bytes);
    format!("{from}{}, {bytes}, {} recipient{plural}", describe_tls(received.tls.as_ref()), received.recipients)
}

/// The destination, TLS and duration. A failure names its destination too.
fn describe_attempt(attempt: &Attempt) -> String {
    let destination = attempt.destination.as_ref().map(|destination| format!(" to {destination}")).unwrap_or_default();
    let tls = match &attempt.plaintext_because {
        Some(failure) => format!(" in plaintext, because the TLS handshake failed ({})", failure.kind),
        None => describe_tls(attempt.tls.as_ref()),
    };
    format!("through {}{destination}{tls} after {} ms", attempt.connector, attempt.duration_ms)
}

fn describe_tls(tls: Option<&TlsSummary>) -> String {
    tls.map(|tls| format!(" with {} {}", tls.version, tls.cipher)).unwrap_or_default()
}
