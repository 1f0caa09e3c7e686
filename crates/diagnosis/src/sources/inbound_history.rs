//! Mail that this gateway received, from its own events: attempts of senders that worked. Those that failed are in the
//! protocol log alone.

use std::borrow::Cow;

use trace::{Event, EventKind};

use crate::evidence::{Attempt, Direction, Evidence, Place, Source};

pub(super) fn add(evidence: &mut Evidence, events: &[Event], message_id: Option<&str>) {
    for event in events {
        let EventKind::Received(received) = &event.kind else { continue };
        // A notice is made here.
        let Some(client) = received.from else { continue };
        let name = Some(received.ehlo_name.as_str()).filter(|name| name.contains('.') && !name.starts_with('['));
        let attempt = Attempt {
            direction: Direction::Inbound,
            at: Some(event.at),
            session: Some(Cow::from(&received.session)).filter(|session| !session.is_empty()),
            message: Some(event.message.to_string().into()),
            message_id: message_id.map(Cow::from),
            node: Some(Cow::from(&event.node)),
            destination: Some((name.map_or_else(|| client.to_string().into(), Cow::from), None)),
            destination_address: Some(client),
            tls: received.tls.as_ref().map(|tls| (Cow::from(&tls.version), Cow::from(&tls.cipher))),
            handshake: received.handshake.as_deref().map(Cow::Borrowed),
            message_bytes: Some(received.size_bytes),
            sender_domain: received.sender.address().map(|sender| sender.domain().into()),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, || Some(Place::Session { id: received.session.clone(), file: None }));
    }
}
