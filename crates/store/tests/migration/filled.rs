//! An embedded store with a row of every kind, and what a store of any engine has.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use gatepost_store::{
    Accepted, Bodies as _, ChangeQuery, Clock, Closed, Command, Content, Fleet as _, Incident, IncidentNote,
    Incidents as _, LedgerEntry, Member, MessageRecord, NewMessage, Outcome, Queue as _, QueueCount, Selection,
    Settlement, SqliteStore, Store, StoredPlan, Tally, TallyBy, TallyQuery, TallyStep, Telling, TraceQuery,
    WeakDelivery, Weakness, WebhookCall,
};
use jiff::{Timestamp, ToSpan};
use protocol::smtp::{
    Address, BodyType, Destination, Envelope, Failure, FailureKind, Notify, Phase, Reply, Ret, ReversePath, TlsSummary,
};
use trace::{Attempt, Event, EventKind, event::NoticeAction};
use uuid::Uuid;

use crate::server::{delivery, message, received};

pub(crate) const NODE: &str = "edge-1";

/// Fills a store by the calls of a node.
struct Filling {
    store: SqliteStore,
    member: Member,
    clock: Clock,
    now: Timestamp,
}

/// An embedded store that was used for some days, and whose node has died.
pub(crate) async fn fill(folder: &Path) {
    let (clock, now) = (Clock::system(), Timestamp::now());
    let store = SqliteStore::open_by(folder, NODE, clock.clone()).unwrap();
    let member = store.join(NODE).await.unwrap().member;
    let filling = Filling { store, member, clock, now };
    filling.finished().await;
    filling.waiting().await;
    filling.large().await;
    filling.owed().await;
    filling.beside_mail().await;
    filling.store.close().await;
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn attempt() -> Attempt {
    Attempt {
        connector: "c".to_owned(),
        destination: Some(destination()),
        local: None,
        tls_policy: "legacy".to_owned(),
        plan_version: Some(1),
        tls: Some(TlsSummary { version: "TLSv1".to_owned(), cipher: "RC4-SHA".to_owned() }),
        handshake: None,
        phases: vec![],
        plaintext_because: None,
        session: "00".to_owned(),
        duration_ms: 1,
    }
}

fn destination() -> Destination {
    Destination { host: "mail.x.test".to_owned(), port: 25, address: Some(([192, 0, 2, 1], 25).into()) }
}

/// With what a PostgreSQL server does not take in text.
fn failure() -> Failure {
    let reply = Reply::new(451, None, "4.7.1 \0 später \u{1f4ee}");
    Failure { reply: Some(reply), ..Failure::new(Phase::Mail, FailureKind::Rejected) }
}

impl Filling {
    /// A message of everything, received some hours ago.
    async fn accept(&self, hours: i64, recipients: &[&str], withhold: bool, is_held: bool) -> (NewMessage, Accepted) {
        let at = self.now - hours.hours();
        self.clock.set(at);
        let mut new = message("Body: grüße\r\n.\r\n\0\u{ff}".as_bytes());
        new.received = at;
        new.envelope = Envelope {
            sender: ReversePath::Address(address("Grüße@partner.test")),
            body_type: BodyType::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("envid+40".to_owned()),
        };
        new.message_id = Some(format!("{}ä@partner.test", "long".repeat(200)));
        new.subject = Some("Ä \u{1f600} '\"\\ \t".to_owned());
        new.client = Some([192, 0, 2, 7].into());
        new.withhold_addresses = withhold;
        new.deliveries = recipients.iter().map(|recipient| delivery(recipient)).collect();
        new.deliveries[0].notify = Some(Notify::On { success: true, failure: false, delay: true });
        new.deliveries[0].orcpt = Some("rfc822;x@y".to_owned());
        let holder = is_held.then(|| self.member.clone());
        let accepted = self.store.accept(new.clone(), holder, vec![received(&new)]).await.unwrap();
        (new, accepted)
    }

    async fn settle(&self, new: &NewMessage, accepted: &Accepted, index: usize, outcome: Outcome) {
        self.settle_owing(new, accepted, index, outcome, None).await;
    }

    async fn settle_owing(
        &self,
        new: &NewMessage,
        accepted: &Accepted,
        index: usize,
        outcome: Outcome,
        notice: Option<NoticeAction>,
    ) {
        let at = new.received;
        let kind = match &outcome {
            Outcome::Delivered { reply, .. } => EventKind::Delivered { attempt: attempt(), reply: reply.clone() },
            Outcome::Failed { failure, .. } => EventKind::Failed { attempt: Some(attempt()), failure: failure.clone() },
            _ => EventKind::Deferred { attempt: attempt(), failure: failure(), due: at },
        };
        let recipient = Some(new.deliveries[index].recipient.clone());
        let event = Event { at, node: NODE.to_owned(), message: new.network_message_id, recipient, kind };
        let weak = WeakDelivery {
            destination: destination(),
            connector: "c".to_owned(),
            tls_policy: "legacy".to_owned(),
            tls: attempt().tls,
            why: Weakness::OldVersion,
            at,
        };
        let settlement = Settlement {
            delivery: accepted.deliveries[index],
            lease: accepted.lease.unwrap(),
            message: accepted.message,
            outcome,
            events: vec![event.into()],
            notice,
            weak: Some(weak),
        };
        assert_eq!(self.store.settle(vec![settlement]).await.unwrap(), []);
    }

    fn delivered(&self) -> Outcome {
        Outcome::Delivered { reply: Reply::new(250, None, "2.0.0 \0 über"), at: self.now }
    }

    fn failed(&self) -> Outcome {
        Outcome::Failed { failure: failure(), at: self.now }
    }

    /// On several days, one of them long ago and one to come: clocks are wrong at times.
    async fn finished(&self) {
        for hours in [24 * 60, 24 * 5, 30, 2, -20, -24 * 30] {
            let (new, accepted) = self.accept(hours, &["a@x.test", "ä@x.test"], hours == 30, true).await;
            self.settle(&new, &accepted, 0, self.delivered()).await;
            self.settle(&new, &accepted, 1, self.failed()).await;
        }
    }

    /// One delivery of each state, and those of a node that died.
    async fn waiting(&self) {
        let (new, accepted) = self.accept(50, &["a@x.test", "b@GRÜSSE.test", "c@y.test", "d@y.test"], true, true).await;
        self.settle(&new, &accepted, 0, self.delivered()).await;
        self.settle(&new, &accepted, 1, self.deferred()).await;
        self.settle(&new, &accepted, 2, self.failed()).await;
        let (new, accepted) = self.accept(3, &["suspended@x.test"], false, true).await;
        self.settle(&new, &accepted, 0, self.deferred()).await;
        self.accept(3, &["removed@x.test"], false, false).await;
        let command = async |command, recipient: &str| {
            let selection = Selection { recipient: Some(recipient.to_owned()), ..Selection::default() };
            assert_eq!(self.store.command(command, selection, "ève").await.unwrap().changed, 1);
        };
        command(Command::Suspend, "suspended@x.test").await;
        command(Command::Remove, "removed@x.test").await;
        self.accept(1, &["untried@z.test"], false, false).await;
        self.accept(1, &["held@z.test"], false, true).await;
    }

    fn deferred(&self) -> Outcome {
        let (due_in, review_in) = (Duration::from_secs(900), Duration::from_secs(14_400));
        Outcome::Deferred { failure: failure(), due_in, review_in, delay_notified: true }
    }

    /// A body of several pieces, one of nothing, and one that never was accepted.
    async fn large(&self) {
        let body = self.store.new_body(&self.member).await.unwrap();
        for (sequence, byte) in [(0, b'a'), (1, b'\0'), (2, 0xff)] {
            let bytes = Bytes::from(vec![byte; 256 * 1024]);
            self.store.append_body(body, sequence, bytes).await.unwrap();
        }
        let mut new = message(b"");
        new.content = Content::Stored(body);
        self.store.accept(new.clone(), None, vec![received(&new)]).await.unwrap();
        self.store.accept(message(b""), None, vec![]).await.unwrap();
        let never = self.store.new_body(&self.member).await.unwrap();
        self.store.append_body(never, 0, Bytes::from_static(b"never")).await.unwrap();
    }

    /// Notices that senders are owed, and one that was sent.
    async fn owed(&self) {
        let (new, accepted) = self.accept(2, &["failed@x.test", "late@x.test"], false, true).await;
        self.settle_owing(&new, &accepted, 0, self.failed(), Some(NoticeAction::Failed)).await;
        self.settle_owing(&new, &accepted, 1, self.deferred(), Some(NoticeAction::Delayed)).await;
        let (new, accepted) = self.accept(2, &["told@x.test"], false, true).await;
        self.settle_owing(&new, &accepted, 0, self.failed(), Some(NoticeAction::Failed)).await;
        let telling = Telling {
            message: accepted.message,
            action: NoticeAction::Failed,
            deliveries: accepted.deliveries,
            notice: message(b"it failed"),
            sent_max: 1,
            sent_within: Duration::from_secs(36_000),
        };
        self.store.tell(&self.member, telling).await.unwrap();
    }

    async fn beside_mail(&self) {
        self.clock.set(self.now);
        self.store.replace_plan(None, "{\"one\":1}".to_owned(), "ève").await.unwrap();
        self.store.replace_plan(Some(1), "{\"two\":\"\\u0000\"}".to_owned(), "ève").await.unwrap();
        let turn = self.store.take_watch(&self.member, Duration::from_secs(1)).await.unwrap().unwrap();
        let incident = |cause: &str, closed| Incident {
            id: Uuid::now_v7(),
            connector: "c".to_owned(),
            destination: "mail.x.test:25".to_owned(),
            cause: cause.to_owned(),
            node: NODE.to_owned(),
            opened: self.now,
            last_seen: self.now,
            closed,
            pending: 3,
            pending_peak: 9,
            oldest: Some(self.now),
            finding: "{}".to_owned(),
        };
        let (open, closed) = (incident("greylisted", None), incident("dns", Some((self.now, Closed::MailFlows))));
        let call = |incident: &Incident, attempts| WebhookCall {
            id: Uuid::now_v7(),
            incident: incident.id,
            body: "{\"text\":\"ä\"}".to_owned(),
            attempts,
        };
        let calls = vec![call(&open, 0), call(&closed, 0), call(&open, 0)];
        let id = open.id;
        assert!(self.store.note_incidents(turn, vec![open, closed], calls).await.unwrap());
        self.store.keep_picture(id, "{\"lanes\":\"ä\"}".to_owned()).await.unwrap();
        self.store.add_note(id, "ève", "a note").await.unwrap();
        let selection = Selection { connector: Some("c".to_owned()), ..Selection::default() };
        self.store.command(Command::Retry, selection, "ève").await.unwrap();
        self.store.drain(NODE, true, "ève").await.unwrap();
    }
}

/// All that a store has, as its users see it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<(MessageRecord, Vec<Event>, Vec<Bytes>)>,
    counts: Vec<QueueCount>,
    untold: Vec<(Uuid, Vec<NoticeAction>)>,
    plans: Vec<StoredPlan>,
    ledger: Vec<LedgerEntry>,
    incidents: Vec<Incident>,
    pictures: Vec<Option<String>>,
    notes: Vec<IncidentNote>,
    is_retry_requested: bool,
    pub(crate) changes: Vec<trace::Change>,
    tallies: Vec<Tally>,
}

fn all_tallies() -> TallyQuery {
    let (since, until) = (Timestamp::MIN, Timestamp::MAX);
    TallyQuery { since, until, step: TallyStep::Minute, by: TallyBy::ALL.to_vec(), limit: None }
}

pub(crate) async fn seen<S: Store>(store: &S) -> Seen {
    let mut ids = store.ids_between(Uuid::nil(), Uuid::max(), 100_000).await.unwrap();
    let rows = store.trace(TraceQuery { limit: 100_000, ..TraceQuery::default() }).await.unwrap();
    let traced: std::collections::BTreeSet<Uuid> = rows.iter().map(|row| row.message.network_message_id).collect();
    ids.sort_unstable();
    assert_eq!(traced.into_iter().collect::<Vec<_>>(), ids, "each is traced");
    let mut messages = Vec::new();
    for id in ids {
        let record = store.message(id).await.unwrap().unwrap();
        let (mut body, key) = (Vec::new(), record.message.key);
        while record.body_present
            && let Some(piece) = store.read_body(key, body.len() as u32).await.unwrap()
        {
            body.push(piece);
        }
        messages.push((record, store.events(id).await.unwrap(), body));
    }
    let incidents = store.incidents(100).await.unwrap();
    let (mut pictures, mut notes) = (Vec::new(), Vec::new());
    for incident in &incidents {
        pictures.push(store.picture(incident.id).await.unwrap());
        notes.extend(store.notes(incident.id).await.unwrap());
    }
    let untold = store.untold(Duration::ZERO, 1000).await.unwrap().into_iter();
    let actions = |untold: gatepost_store::Untold| {
        (untold.message.network_message_id, untold.deliveries.iter().map(|(action, _)| *action).collect())
    };
    Seen {
        messages,
        counts: store.counts().await.unwrap(),
        untold: untold.map(actions).collect(),
        plans: store.plans().await.unwrap(),
        ledger: store.ledger().await.unwrap(),
        pictures,
        notes,
        incidents,
        is_retry_requested: store.retry_requested("c").await.unwrap().is_some(),
        tallies: store.tallies(all_tallies()).await.unwrap(),
        changes: store.changes(ChangeQuery { limit: 100, ..ChangeQuery::default() }).await.unwrap(),
    }
}
