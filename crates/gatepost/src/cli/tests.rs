//! Tests of what the commands print, over a store with a few fixed values.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use insight::{GroupView, WaitReasons, views};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use node::config::Config;
use protocol::smtp::{
    Address, BodyType, Destination, EnhancedCode, Envelope, Failure, FailureKind, Phase, Reply, ReversePath, TlsSummary,
};
use store::*;
use trace::{Change, ChangeKind, Event, EventKind, Received, Waiting};
use uuid::Uuid;

use super::{Arguments, Command as Line, PolicyCommand, Screen};

const NOW: &str = "2026-07-30T12:00:00Z";

/// A store that answers from fixed records and keeps the commands that it gets.
#[derive(Clone, Default)]
struct Fixed {
    records: Vec<DeliveryRecord>,
    events: Vec<Event>,
    reports: Vec<NodeReport>,
    members: Vec<MemberRecord>,
    pieces: Vec<Bytes>,
    commands: Arc<Mutex<Vec<(Command, Selection)>>>,
    plans: Arc<Mutex<Vec<StoredPlan>>>,
    ledger: Vec<LedgerEntry>,
    incidents: Vec<Incident>,
    changes: Vec<Change>,
    users: (Vec<User>, Vec<Invitation>),
}

fn config_id(version: u64) -> ConfigurationId {
    ConfigurationId { version, at: at(NOW) - 1.hour() }
}

/// For methods that the command line never calls.
fn refused<T>() -> Result<T> {
    Err(StoreError::Other("not for the command line".to_owned()))
}

impl Queue for Fixed {
    fn room(&self) -> store::Room {
        store::Room::Enough
    }
    async fn accept(&self, _: NewMessage, _: Option<Member>, _: Vec<NewEvent>) -> Result<Accepted> {
        refused()
    }
    async fn claim(&self, _: Claim) -> Result<Vec<Claimed>> {
        refused()
    }
    async fn claim_for_review(&self, _: Member, _: u32) -> Result<Vec<Claimed>> {
        refused()
    }
    fn lease_term(&self) -> Duration {
        Duration::from_secs(30)
    }
    async fn renew(&self, _: &Member, _: Vec<Holding>) -> Result<Vec<Holding>> {
        refused()
    }
    async fn settle(&self, _: Vec<Settlement>) -> Result<Vec<DeliveryKey>> {
        refused()
    }
    async fn untold(&self, _: Duration, _: u32) -> Result<Vec<Untold>> {
        refused()
    }
    async fn tell(&self, _: &Member, _: Telling) -> Result<Told> {
        refused()
    }
    async fn expire_leases(&self) -> Result<u64> {
        refused()
    }
    async fn follow_clock(&self, _: Vec<Duration>) -> Result<u64> {
        refused()
    }
    async fn command(&self, command: Command, selection: Selection, _: impl Into<Actor> + Send) -> Result<Commanded> {
        self.commands.lock().unwrap().push((command, selection));
        Ok(Commanded { changed: 2, leased: 1 })
    }
    async fn retry_requested(&self, _: &str) -> Result<Option<Duration>> {
        Ok(None)
    }
    async fn list(&self, query: QueueQuery) -> Result<Vec<DeliveryRecord>> {
        let after = query.after.map(|(_, key)| key);
        let rows = self.records.iter().filter(|record| after.is_none_or(|after| record.delivery.key > after));
        let rows =
            rows.filter(|record| query.selection.message.is_none_or(|id| id == record.message.network_message_id));
        let Selection { connector, recipient, .. } = &query.selection;
        let rows = rows.filter(|record| is_selected(record, connector.as_deref(), recipient.as_deref()));
        Ok(rows.take(query.limit as usize).cloned().collect())
    }
    async fn counts(&self) -> Result<Vec<QueueCount>> {
        let due = self.records.iter().map(|record| record.due).min();
        let deliveries = self.records.len() as u64;
        Ok(vec![QueueCount { connector: "onprem".to_owned(), state: State::Queued, deliveries, due }])
    }
    async fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        mut value: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> Result<T> {
        let wanted = |record: &&DeliveryRecord| {
            selection.connector.as_ref().is_none_or(|connector| *connector == record.delivery.connector)
        };
        for record in self.records.iter().filter(wanted) {
            let row = QueueRow {
                delivery: record.delivery.key,
                message: record.message.key,
                network_message_id: record.message.network_message_id,
                connector: &record.delivery.connector,
                state: record.state,
                received: record.message.received,
                due: record.due,
                failure: record.delivery.failure.as_ref(),
            };
            step(&mut value, &row);
        }
        Ok(value)
    }
    async fn pending(&self, _: Duration) -> Result<Vec<Pending>> {
        refused()
    }
    async fn deferred(&self, _: &str, _: u32) -> Result<Vec<MessageKey>> {
        refused()
    }
}

impl Bodies for Fixed {
    async fn new_body(&self, _: &Member) -> Result<BodyKey> {
        refused()
    }
    async fn append_body(&self, _: BodyKey, _: u32, _: Bytes) -> Result<()> {
        refused()
    }
    async fn discard_body(&self, _: BodyKey) -> Result<()> {
        refused()
    }
    async fn read_body(&self, _: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        Ok(self.pieces.get(sequence as usize).cloned())
    }
    async fn clean_bodies(&self) -> Result<u64> {
        refused()
    }
}

impl History for Fixed {
    async fn trace(&self, query: TraceQuery) -> Result<Vec<DeliveryRecord>> {
        let rows = self
            .records
            .iter()
            .rev()
            .filter(|record| query.states.as_ref().is_none_or(|states| states.contains(&record.state)))
            .filter(|record| is_selected(record, query.connector.as_deref(), query.recipient.as_deref()));
        // Keys descend here, in the order of the rows.
        let rows = rows.filter(|record| query.after.is_none_or(|after| record.delivery.key < after.delivery));
        Ok(rows.take(query.limit as usize).cloned().collect())
    }
    async fn message(&self, id: Uuid) -> Result<Option<MessageRecord>> {
        let of = |record: &&DeliveryRecord| record.message.network_message_id == id;
        let deliveries: Vec<_> = self.records.iter().filter(of).cloned().collect();
        Ok(deliveries.first().map(|first| MessageRecord {
            message: first.message.clone(),
            body_present: !self.pieces.is_empty(),
            deliveries: deliveries.clone(),
        }))
    }
    async fn events(&self, message: Uuid) -> Result<Vec<Event>> {
        Ok(self.events.iter().filter(|event| event.message == message).cloned().collect())
    }
    async fn histories(&self, messages: Vec<MessageKey>) -> Result<Vec<Vec<Event>>> {
        let id = |key: &MessageKey| {
            self.records
                .iter()
                .find(|record| record.message.key == *key)
                .map(|record| record.message.network_message_id)
        };
        let history = |key: &MessageKey| {
            let id = id(key);
            self.events.iter().filter(|event| Some(event.message) == id).cloned().collect()
        };
        Ok(messages.iter().map(history).collect())
    }
    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
        let ids = self.records.iter().map(|record| record.message.network_message_id);
        Ok(ids.filter(|id| (first..=last).contains(id)).take(limit as usize).collect())
    }
    async fn forget(&self, _: Duration, _: u32) -> Result<u64> {
        refused()
    }
}

impl Tallies for Fixed {
    async fn tallies(&self, query: TallyQuery) -> Result<Vec<Tally>> {
        assert_eq!((query.since, query.until), (at(NOW) - 24.hours(), Timestamp::MAX));
        Ok(vec![])
    }
    async fn tidy_tallies(&self, _: Duration, _: u32) -> Result<u64> {
        refused()
    }
}

impl Fleet for Fixed {
    async fn join(&self, _: &str) -> Result<Joined> {
        refused()
    }
    async fn leave(&self, _: &Member) -> Result<()> {
        refused()
    }
    async fn report(&self, _: &Member, _: NodeState) -> Result<bool> {
        refused()
    }
    async fn share(&self, _: &Member, _: Vec<Demand>) -> Result<Vec<Share>> {
        refused()
    }
    async fn members(&self) -> Result<Vec<MemberRecord>> {
        Ok(self.members.clone())
    }
    async fn drain(&self, node: &str, _: bool, _: &str) -> Result<bool> {
        Ok(self.members.iter().any(|member| member.name == node))
    }
    async fn reports(&self) -> Result<Vec<NodeReport>> {
        Ok(self.reports.clone())
    }
    fn holds_restored(&self) -> bool {
        false
    }
    async fn restoration(&self) -> Result<Option<Restoration>> {
        Ok(None)
    }
    async fn answer_restoration(&self, _: RestorationDecision, _: &str) -> Result<Option<Answered>> {
        Ok(None)
    }
    async fn plan(&self) -> Result<Option<StoredPlan>> {
        Ok(self.plans.lock().expect("unpoisoned").last().cloned())
    }
    async fn replace_plan(&self, before: Option<u64>, plan: String, by: &str) -> Result<Option<u64>> {
        let mut plans = self.plans.lock().expect("unpoisoned");
        let in_force = plans.last().map(|plan| plan.version);
        if in_force != before {
            return Ok(None);
        }
        let version = in_force.unwrap_or(0) + 1;
        plans.push(StoredPlan { version, at: at(NOW), by: by.to_owned(), plan });
        Ok(Some(version))
    }
    async fn plans(&self) -> Result<Vec<StoredPlan>> {
        let mut plans = self.plans.lock().expect("unpoisoned").clone();
        plans.reverse();
        Ok(plans)
    }
    async fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        Ok(self.ledger.clone())
    }
    async fn take_watch(&self, _: &Member, _: Duration) -> Result<Option<u64>> {
        refused()
    }
    async fn ask(&self, _: Vec<Inquiry>) -> Result<()> {
        refused()
    }
    async fn take_inquiries(&self, _: &Member, _: Duration, _: u32) -> Result<Vec<Inquiry>> {
        refused()
    }
    async fn answer(&self, _: Uuid, _: String) -> Result<()> {
        refused()
    }
    async fn answers(&self, _: Vec<Uuid>) -> Result<Vec<(Uuid, String)>> {
        refused()
    }
}

impl Incidents for Fixed {
    async fn note_incidents(&self, _: u64, _: Vec<Incident>, _: Vec<WebhookCall>) -> Result<bool> {
        refused()
    }
    async fn incidents(&self, limit: u32) -> Result<Vec<Incident>> {
        Ok(self.incidents.iter().take(limit as usize).cloned().collect())
    }
    async fn incident(&self, id: Uuid) -> Result<Option<Incident>> {
        Ok(self.incidents.iter().find(|incident| incident.id == id).cloned())
    }
    async fn keep_picture(&self, _: Uuid, _: String) -> Result<()> {
        refused()
    }
    async fn picture(&self, _: Uuid) -> Result<Option<String>> {
        refused()
    }
    async fn add_note(&self, _: Uuid, _: &str, _: &str) -> Result<NoteAdded> {
        refused()
    }
    async fn notes(&self, _: Uuid) -> Result<Vec<IncidentNote>> {
        refused()
    }
    async fn claim_calls(&self, _: Duration, _: u32) -> Result<Vec<WebhookCall>> {
        refused()
    }
    async fn settle_call(&self, _: Uuid, _: Option<Duration>) -> Result<()> {
        refused()
    }
}

impl Access for Fixed {
    async fn invite(&self, _: NewInvitation, _: Actor) -> Result<Timestamp> {
        Ok(at(NOW) + 1.hour())
    }
    async fn invitation(&self, _: SecretHash) -> Result<Option<Invitation>> {
        refused()
    }
    async fn accept_invitation(&self, _: SecretHash, _: PasswordHash, _: Option<IpAddr>) -> Result<Option<Invitation>> {
        refused()
    }
    async fn users(&self) -> Result<(Vec<User>, Vec<Invitation>)> {
        Ok(self.users.clone())
    }
    async fn has_users(&self) -> Result<bool> {
        refused()
    }
    async fn password(&self, _: &str) -> Result<Option<PasswordHash>> {
        refused()
    }
    async fn set_right(&self, user: &str, _: Right, _: Actor) -> Result<Option<Right>> {
        Ok(self.users.0.iter().find(|known| known.name == user).map(|user| user.right))
    }
    async fn remove_user(&self, user: &str, _: Actor) -> Result<bool> {
        Ok(self.users.0.iter().any(|known| known.name == user))
    }
    async fn open_session(&self, _: NewSession) -> Result<bool> {
        refused()
    }
    async fn session(&self, _: SecretHash) -> Result<Option<Session>> {
        refused()
    }
    async fn watched_session(&self, _: SecretHash) -> Result<Option<Session>> {
        refused()
    }
    async fn end_session(&self, _: SecretHash) -> Result<()> {
        refused()
    }
}

impl ChangeLog for Fixed {
    async fn record_change(&self, _: NewChange) -> Result<()> {
        refused()
    }
    async fn note_destinations(&self, _: &str, _: Vec<SeenDestination>) -> Result<()> {
        refused()
    }
    async fn destinations(&self, _: Option<&str>, _: u32) -> Result<Vec<KnownDestination>> {
        refused()
    }
    async fn changes(&self, query: ChangeQuery) -> Result<Vec<Change>> {
        Ok(self.changes.iter().take(query.limit as usize).cloned().collect())
    }
    async fn forget_changes(&self, _: Duration) -> Result<u64> {
        refused()
    }
}

impl Tokens for Fixed {
    async fn create_token(&self, _: NewToken) -> Result<bool> {
        refused()
    }
    async fn revoke_token(&self, _: &str, _: Actor) -> Result<bool> {
        refused()
    }
    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        refused()
    }
    async fn token(&self, _: &str) -> Result<Option<TokenRecord>> {
        refused()
    }
    async fn note_token_use(&self, _: &str) -> Result<()> {
        refused()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn failure() -> Failure {
    let destination =
        Destination { host: "mail.onprem.test".to_owned(), port: 25, address: Some("192.0.2.25:25".parse().unwrap()) };
    let reply = Reply::new(451, Some(EnhancedCode::new(4, 3, 0)), "mailbox busy\nlater");
    Failure::rejected(Phase::Rcpt, reply).at(&destination)
}

fn record(number: u32) -> DeliveryRecord {
    DeliveryRecord {
        message: Message {
            key: MessageKey(number.into()),
            network_message_id: id(number),
            received: at("2026-07-30T09:00:00Z"),
            envelope: Envelope {
                sender: ReversePath::Address(Address::parse("alice@example.org").unwrap()),
                body_type: BodyType::EightBitMime,
                smtputf8: false,
                ret: None,
                envid: None,
            },
            subject: Some("Re: \x1b]0;owned\x07 numbers".to_owned()),
            message_id: Some("m1@example.org".to_owned()),
            size_bytes: 10_445,
            client: Some("192.0.2.7".parse().unwrap()),
        },
        delivery: Delivery {
            key: DeliveryKey(number.into()),
            recipient: Address::parse("bob@onprem.test").unwrap(),
            notify: None,
            orcpt: None,
            connector: "onprem".to_owned(),
            attempts: 4,
            delay_notified: false,
            failure: Some(failure()),
        },
        state: State::Queued,
        due: at("2026-07-30T12:12:30Z"),
        review: at("2026-07-30T13:00:00Z"),
        lease: None,
        suspended_by: None,
        is_held: false,
        reply: None,
        settled: None,
        last_attempt: None,
    }
}

/// A recipient may be a domain, or a pattern that begins with `*`.
fn is_selected(record: &DeliveryRecord, connector: Option<&str>, recipient: Option<&str>) -> bool {
    let address = record.delivery.recipient.as_str();
    let is_to = |wanted: &str| match wanted.strip_prefix('*').or_else(|| wanted.starts_with('@').then_some(wanted)) {
        Some(end) => address.ends_with(end),
        None => address == wanted,
    };
    connector.is_none_or(|connector| connector == record.delivery.connector) && recipient.is_none_or(is_to)
}

fn store_with(records: Vec<DeliveryRecord>) -> Fixed {
    Fixed { records, ..Fixed::default() }
}

fn config() -> Config {
    Config::parse(node::config::EXAMPLE, "gatepost.toml".as_ref()).unwrap()
}

/// Runs a command line and returns its output or its error.
fn run(line: &str, store: &Fixed, width: Option<usize>) -> Result<String, String> {
    let arguments = Arguments::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    let screen = Screen { width, colour: false, zone: TimeZone::UTC, now: at(NOW) };
    let (mut out, config) = (Vec::new(), config());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(async {
        match &arguments.command {
            Line::Queue(command) => super::run_queue(command, store, &config, &screen, &mut out).await,
            Line::Trace(arguments) => super::run_trace(arguments, store, &config, &screen, &mut out).await,
            Line::Policy(PolicyCommand::List { format }) => super::list_policies(*format, &config, &screen, &mut out),
            Line::Policy(PolicyCommand::Ledger(output)) => super::run_ledger(*output, store, &screen, &mut out).await,
            Line::Policy(PolicyCommand::Impact(arguments)) => {
                super::run_impact(arguments, store, &config, &screen, &mut out).await.map(drop)
            }
            Line::Rollout(command) => super::run_rollout(command, store, &config, &screen, &mut out).await,
            Line::Node(command) => super::run_node(command, store, &screen, &mut out).await,
            Line::User(command) => super::run_user(command, store, &config, &screen, &mut out).await,
            Line::Changes(arguments) => super::run_changes(arguments, store, &screen, &mut out).await,
            Line::Incident(command) => super::run_incident(command, store, &screen, &mut out).await,
            Line::Tallies(arguments) => super::run_tallies(arguments, store, &screen, &mut out).await,
            Line::Serve { .. }
            | Line::Backup(_)
            | Line::Restore(_)
            | Line::Config(_)
            | Line::Case(_)
            | Line::Token(_)
            | Line::Api(_)
            | Line::Connector(_)
            | Line::Store(_)
            | Line::Why(_)
            | Line::Probe(_)
            | Line::Capture(_) => Ok(()),
        }
    });
    result.map(|()| String::from_utf8(out).unwrap()).map_err(|error| format!("{error:#}"))
}

fn json(line: &str, store: &Fixed) -> serde_json::Value {
    serde_json::from_str(&run(line, store, None).unwrap()).unwrap()
}

#[test]
fn the_queue_as_a_table() {
    let text = run("gatepost queue list", &store_with(vec![record(1)]), None).unwrap();
    assert_eq!(
        text,
        "\
ID                                    AGE  SENDER             RECIPIENT        CONNECTOR  ATTEMPTS  WAITS                \
CAUSE
00000000-0000-0000-0000-000000000001   3h  alice@example.org  bob@onprem.test  onprem            4  next attempt in 12m  \
mail.onprem.test:25 [192.0.2.25]: rejected while sending RCPT TO: 451 4.3.0 mailbox busy / later

1 of 1 delivery in the queue.
CONNECTOR  STATE   DELIVERIES  NEXT DUE
onprem     queued           1  in 12m
"
    );
    let wide = run("gatepost queue list", &store_with(vec![record(1)]), Some(150)).unwrap();
    assert!(wide.lines().all(|line| line.chars().count() <= 150) && wide.contains('…'), "{wide}");
    let narrow = run("gatepost queue list", &store_with(vec![record(1)]), Some(80)).unwrap();
    let row: Vec<&str> = narrow.lines().take(2).collect();
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(
        row[0].starts_with("ID                  AGE  ") && row[1].starts_with("00000000-0000-0000   3h  "),
        "{narrow}"
    );
}

#[test]
fn an_empty_queue_says_so() {
    assert_eq!(run("gatepost queue list", &store_with(vec![]), None).unwrap(), "The queue is empty.\n");
    let text = run(&format!("gatepost queue list --message {}", id(9)), &store_with(vec![record(1)]), None).unwrap();
    assert_eq!(text, "No deliveries match; the queue has 1 delivery.\n");
}

#[test]
fn a_name_that_nothing_on_record_has_is_an_error_with_the_nearest_names() {
    let store = store_with(vec![record(1)]);
    for (line, expected) in [
        ("gatepost queue list --connector onprm", "no connector is named onprm; did you mean onprem?"),
        ("gatepost queue list --connector onprm --format json", "no connector is named onprm; did you mean onprem?"),
        (
            "gatepost queue list --recipient bo@onprem.test",
            "no delivery in the queue is to bo@onprem.test; did you mean bob@onprem.test?",
        ),
        (
            "gatepost queue list --destination nosuch.elsewhere:25",
            "no delivery in the queue has the destination nosuch.elsewhere:25",
        ),
        ("gatepost queue list --cause rcpt", "no delivery in the queue has the cause rcpt"),
        ("gatepost trace --connector onprm", "no connector is named onprm; did you mean onprem?"),
        (
            "gatepost trace --recipient @onprm.test",
            "no message on record is to @onprm.test; did you mean @onprem.test?",
        ),
    ] {
        let error = run(line, &store, None).unwrap_err();
        assert!(error.starts_with(expected), "{line}: {error}");
    }
    // In an empty queue, and for a pattern, nothing is wrong with a name.
    assert!(run("gatepost queue list --recipient bo@onprem.test", &store_with(vec![]), None).is_ok());
    assert!(run("gatepost trace --recipient *@nosuch.test --since 1d", &store, None).is_ok());
}

#[test]
fn long_queues_are_read_page_by_page() {
    let store = store_with((1..=1203).map(record).collect());
    let text = run("gatepost queue list", &store, None).unwrap();
    assert!(text.contains("\n1,203 of 1,203 deliveries in the queue.\n"));
    assert_eq!(text.lines().filter(|line| line.starts_with("00000000-")).count(), 1203);
    assert!(text.ends_with("\nTo show one row per cause: gatepost queue list --by cause\n"));
    assert_eq!(json("gatepost queue list --format json", &store)["deliveries"].as_array().unwrap().len(), 1203);
}

#[test]
fn one_cause_is_one_row() {
    let mut records: Vec<_> = (1..=62).map(record).collect();
    for (number, record) in records.iter_mut().enumerate() {
        let text = format!("greylisted, try again in {} seconds", number + 7);
        record.delivery.failure.as_mut().unwrap().reply.as_mut().unwrap().text = text;
    }
    // Another recipient of the same message, and a delivery without an attempt.
    records.push(DeliveryRecord { message: records[61].message.clone(), ..record(63) });
    records[62].delivery.failure = records[0].delivery.failure.clone();
    records.push(record(64));
    records[63].delivery.failure = None;
    records[63].delivery.connector = "other".to_owned();
    let store = store_with(records);
    let text = run("gatepost queue list --by cause", &store, Some(80)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "MESSAGES  OLDEST  NEXT    EXAMPLE             CAUSE");
    assert!(lines[1].starts_with("      62      3h  in 12m  00000000-0000-0000  rejected while sending"), "{text}");
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  gatepost ")).collect();
    assert!(commands[0].starts_with("queue list --cause rcpt-451-4.3.0-"), "{text}");
    assert_eq!(commands[1], "queue list --cause untried");
    assert!(
        text.contains("\n64 deliveries in 2 groups.\n") && lines.iter().all(|line| line.chars().count() <= 80),
        "{text}"
    );

    // The command lists what the row counts.
    let listed = run(&format!("gatepost {}", commands[0]), &store, None).unwrap();
    assert!(listed.contains("\n63 of 64 deliveries in the queue.\n"), "{listed}");
    let counts = json("gatepost queue list --connector other --format json", &store)["counts"].clone();
    assert_eq!((&counts[0]["connector"], &counts[0]["deliveries"]), (&"other".into(), &1.into()), "{counts}");
    assert_eq!(counts.as_array().unwrap().len(), 1, "filtered lists have filtered counts");

    let value = json("gatepost queue list --by connector --format json", &store);
    assert_eq!((&value["groups"][0]["group"], &value["groups"][0]["messages"]), (&"onprem".into(), &62.into()));
    assert_eq!(value["groups"][1]["command"], "gatepost queue list --connector other");
    let ages = json("gatepost queue list --by age --format json", &store);
    assert_eq!(ages["groups"][0]["command"], "gatepost queue list --older-than 1h --younger-than 4h");
    let old = run("gatepost queue list --older-than 4h", &store, None).unwrap();
    assert_eq!(old, "No deliveries match; the queue has 64 deliveries.\n");
}

#[test]
fn a_shortened_id_is_enough() {
    let mut other = record(2);
    other.message.network_message_id = "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e".parse().unwrap();
    let store = store_with(vec![record(1), other]);
    let text = run("gatepost queue show 0198f3c2-7f5a-7c11", &store, None).unwrap();
    assert!(text.starts_with("Message 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e\n"), "{text}");
    let error = run("gatepost queue show ffffffff", &store, None).unwrap_err();
    assert_eq!(error, "there is no message whose id begins with ffffffff");
}

#[test]
fn the_queue_as_json() {
    let value = json("gatepost queue list --format json", &store_with(vec![record(1)]));
    let expected = serde_json::json!({
        "deliveries": [{
            "network_message_id": "00000000-0000-0000-0000-000000000001",
            "message_id": "m1@example.org",
            "received": "2026-07-30T09:00:00Z",
            "sender": "alice@example.org",
            "recipient": "bob@onprem.test",
            "subject": "Re: \x1b]0;owned\x07 numbers",
            "size_bytes": 10445,
            "connector": "onprem",
            "state": "queued",
            "due": "2026-07-30T12:12:30Z",
            "attempts": 4,
            "waiting": {
                "waits": "timer",
                "until": "2026-07-30T12:12:30Z",
                "unblocked_by": "the next attempt at 2026-07-30T12:12:30Z",
                "command": "gatepost queue retry --message 00000000-0000-0000-0000-000000000001",
            },
            "failure": {
                "phase": "rcpt",
                "kind": "rejected",
                "reply": {"code": 451, "enhanced": "4.3.0", "text": "mailbox busy\nlater"},
                "destination": {"host": "mail.onprem.test", "port": 25, "address": "192.0.2.25:25"},
            },
        }],
        "counts": [{"connector": "onprem", "state": "queued", "deliveries": 1, "due": "2026-07-30T12:12:30Z"}],
    });
    assert_eq!(value, expected);
    let empty = json("gatepost queue list --format json", &store_with(vec![]));
    assert_eq!(empty["deliveries"], serde_json::json!([]));
}

#[test]
fn json_cannot_steer_a_terminal() {
    let mut hostile = record(1);
    hostile.message.subject = Some("a\u{9b}31mb\u{202e}c\x7f".to_owned());
    let store = store_with(vec![hostile.clone()]);
    let text = run("gatepost trace --format json", &store, None).unwrap();
    assert!(text.contains("a\\u009b31mb\\u202ec\\u007f"), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["messages"][0]["subject"].as_str(), hostile.message.subject.as_deref());
}

#[test]
fn one_message_in_full() {
    let mut store = store_with(vec![record(1)]);
    store.events.push(Event {
        at: at("2026-07-30T09:00:00Z"),
        node: "edge-1".to_owned(),
        message: id(1),
        recipient: None,
        kind: EventKind::Received(Received {
            sender: ReversePath::Null,
            recipients: 1,
            size_bytes: 10_445,
            from: Some("192.0.2.7".parse().unwrap()),
            ehlo_name: "client.example".to_owned(),
            tls: None,
            handshake: None,
            session: String::new(),
        }),
    });
    let text = run(&format!("gatepost queue show {}", id(1)), &store, Some(80)).unwrap();
    assert_eq!(
        text,
        "\
Message 00000000-0000-0000-0000-000000000001
  Received      2026-07-30 09:00:00 +00:00 (3h ago) from 192.0.2.7
  Sender        alice@example.org
  Subject       Re: \u{fffd}]0;owned\u{fffd} numbers
  Message-ID    m1@example.org
  Size          10.2 KiB, 8BITMIME
  Content       deleted, because no delivery needs it any more

Delivery to bob@onprem.test
  Status        Pending (queued)
  Connector     onprem
  Attempts      4
  Waits         next attempt at 2026-07-30 12:12:30 +00:00
  Unblocked by  the next attempt at 2026-07-30 12:12:30 +00:00
  Act now       with this command:
    gatepost queue retry --message 00000000-0000-0000-0000-000000000001
  Due           2026-07-30 12:12:30 +00:00 (in 12m)
  Cause         rejected
  Phase         rcpt (sending RCPT TO)
  Destination   mail.onprem.test:25 [192.0.2.25]
  Reply code    451
  Enhanced code 4.3.0
  Reply text    mailbox busy
  Reply text    later

Events
  2026-07-30 09:00:00 +00:00  edge-1  received from 192.0.2.7 (client.example),
      10.2 KiB, 1 recipient
"
    );
    let value = json(&format!("gatepost queue show {} --format json", id(1)), &store);
    assert_eq!(value["message"]["content_kept"], false);
    assert_eq!(value["deliveries"][0]["status"], "Pending");
    assert_eq!(value["events"][0]["event"], "received");
}

#[test]
fn a_message_that_is_not_there_is_an_error() {
    let store = store_with(vec![record(1)]);
    for command in ["show", "export"] {
        let error = run(&format!("gatepost queue {command} {}", id(9)), &store, None).unwrap_err();
        assert_eq!(error, "there is no message 00000000-0000-0000-0000-000000000009");
    }
}

#[test]
fn export_writes_the_content_as_it_is() {
    let mut store = store_with(vec![record(1)]);
    let line = format!("gatepost queue export {}", id(1));
    assert!(run(&line, &store, None).unwrap_err().contains("is deleted"));
    store.pieces = vec![Bytes::from_static(b"Subject: a\r\n\r\n"), Bytes::from_static(b".body\r\n")];
    assert_eq!(run(&line, &store, None).unwrap(), "Subject: a\r\n\r\n.body\r\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.eml");
    assert_eq!(run(&format!("{line} --output {}", file.display()), &store, None).unwrap(), "");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "Subject: a\r\n\r\n.body\r\n");
}

#[test]
fn commands_reach_the_store() {
    let store = store_with(vec![record(1), record(2)]);
    let text = run("gatepost queue suspend --connector onprem", &store, None).unwrap();
    assert_eq!(text, "2 deliveries suspended; 1 delivery not changed, because a node is sending now.\n");
    let selection = Selection { connector: Some("onprem".to_owned()), ..Selection::default() };
    assert_eq!(*store.commands.lock().unwrap(), [(Command::Suspend, selection)]);
    assert_eq!(
        json("gatepost queue retry --all --format json", &store),
        serde_json::json!({"changed": 2, "leased": 1})
    );
}

#[test]
fn commands_refuse_to_act_without_a_selection() {
    let store = store_with(vec![record(1)]);
    for command in ["retry", "suspend", "resume", "remove", "remove --yes"] {
        let error = run(&format!("gatepost queue {command}"), &store, None).unwrap_err();
        assert!(error.starts_with("no deliveries selected; add --message, "), "{error}");
    }
    assert!(store.commands.lock().unwrap().is_empty());
}

#[test]
fn removing_several_messages_needs_a_second_word() {
    let store = store_with(vec![record(1), record(2)]);
    let error = run("gatepost queue remove --all", &store, None).unwrap_err();
    assert_eq!(error, "this would remove more than one message: check with `gatepost queue list`, then add --yes");
    let error = run("gatepost queue remove --connector onprem --state queued", &store, None).unwrap_err();
    assert!(error.contains("`gatepost queue list --connector onprem --state queued`"), "{error}");
    assert!(store.commands.lock().unwrap().is_empty());
    run(&format!("gatepost queue remove --message {}", id(1)), &store, None).unwrap();
    run("gatepost queue remove --all --yes", &store, None).unwrap();
    assert_eq!(store.commands.lock().unwrap().len(), 2);
}

#[test]
fn trace_shows_status_and_why() {
    let ended = |number, state, reply: Option<Reply>| DeliveryRecord { state, reply, ..record(number) };
    let delivered = ended(2, State::Delivered, Some(Reply::new(250, None, "queued as 4F")));
    let store = store_with(vec![
        record(1),
        delivered,
        ended(3, State::Failed, None),
        ended(4, State::Removed, None),
        ended(5, State::Suspended, None),
    ]);
    let text = run("gatepost trace", &store, None).unwrap();
    for (number, words) in [
        (1, ["Pending", "next attempt in 12m: mail.onprem.test:25 [192.0.2.25]: rejected"]),
        (2, ["Delivered", "250 queued as 4F"]),
        (3, ["Failed", "451 4.3.0 mailbox busy"]),
        (4, ["Removed", "removed from the queue by an operator"]),
        (5, ["Pending", "suspended by"]),
    ] {
        let line = text.lines().find(|line| line.ends_with(&id(number).to_string())).unwrap();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    let pending = json("gatepost trace --status pending --format json", &store);
    let ids: Vec<_> = pending["messages"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(ids, ["suspended", "queued"], "newest first");
    for (statuses, count) in [
        ("Pending", 2),
        ("quarantined", 0),
        ("FilteredAsSpam,gettingstatus,Expanded", 0),
        ("filtered-as-spam,delivered", 1),
    ] {
        let found = json(&format!("gatepost trace --status {statuses} --format json"), &store);
        assert_eq!(found["messages"].as_array().unwrap().len(), count, "{statuses}");
    }
    let short = run("gatepost trace --limit 2", &store, None).unwrap();
    assert!(!run("gatepost trace --limit 5", &store, None).unwrap().contains("--after"), "there are no more");
    assert_eq!(json("gatepost trace --limit 5 --format json", &store)["next"], serde_json::Value::Null);
    let end = short.lines().last().unwrap();
    assert!(end.starts_with("Showing 2 rows; there are more. Next page: --after 17"), "{end}");
    assert_eq!(run("gatepost trace", &store_with(vec![]), None).unwrap(), "No messages match.\n");
}

#[test]
fn detail_has_the_events_of_its_recipient_only() {
    let event = |recipient: Option<&str>, kind| Event {
        at: at(NOW),
        node: "edge-1".to_owned(),
        message: id(1),
        recipient: recipient.map(|recipient| Address::parse(recipient).unwrap()),
        kind,
    };
    let mut store = store_with(vec![record(1)]);
    store.events = vec![
        event(None, EventKind::Interrupted { leased_by: "edge-2".to_owned() }),
        event(Some("bob@onprem.test"), EventKind::Resumed { by: "root".to_owned() }),
        event(Some("eve@onprem.test"), EventKind::Removed { by: "root".to_owned() }),
    ];
    let text = run("gatepost trace --detail", &store, None).unwrap();
    assert!(
        text.contains("edge-1  interrupted: edge-2") && text.contains("bob@onprem.test: resumed by root"),
        "{text}"
    );
    assert!(!text.contains("eve@"));
    let value = json("gatepost trace --detail --format json", &store);
    assert_eq!(value["messages"][0]["events"].as_array().unwrap().len(), 2);
    assert!(json("gatepost trace --format json", &store)["messages"][0].get("events").is_none());
}

#[test]
fn why_a_delivery_waits() {
    let report = |age_s: i64, limited: Option<&str>, backed_off: Option<&str>| NodeReport {
        node: "edge-1".to_owned(),
        at: at(NOW).checked_sub(std::time::Duration::from_secs(age_s as u64)).unwrap(),
        connectors: vec![ConnectorReport {
            name: "onprem".to_owned(),
            connections: 20,
            connections_max: 20,
            limited: limited.map(|text| text.to_owned().into()),
            under_policy: None,
            domains_under_policy: Default::default(),
            running: vec![],
            backed_off: backed_off.map(|until| BackOff {
                since: at(NOW),
                began: at(NOW),
                until: at(until),
                failure: Failure::new(Phase::Connect, FailureKind::ConnectionRefused),
            }),
        }],
        ..NodeReport::default()
    };
    let due = DeliveryRecord { due: at("2026-07-30T11:00:00Z"), ..record(1) };
    let lease = Some(Lease { node: "edge-1".to_owned(), until: at("2026-07-30T12:01:00Z") });
    let leased = DeliveryRecord { state: State::Leased, lease, ..due.clone() };
    let suspended = DeliveryRecord { state: State::Suspended, suspended_by: Some("root".to_owned()), ..due.clone() };
    let mut routeless = due.clone();
    routeless.delivery.connector = "gone".to_owned();
    let later = "2026-07-30T12:03:00Z";
    for (record, reports, expected) in [
        (&record(1), vec![report(1, None, None)], "timer"),
        (&due, vec![], "no-node"),
        (&due, vec![report(3600, Some("20 connections"), None)], "no-node"),
        (&due, vec![report(1, Some("20 connections"), None)], "connector-limit"),
        (&due, vec![report(1, None, Some(later))], "connector-backed-off"),
        (&due, vec![report(1, None, Some(later)), report(2, None, None)], "timer"),
        (&due, vec![report(1, None, None)], "timer"),
        (&leased, vec![report(1, None, None)], "leased"),
        (&suspended, vec![], "suspended"),
        (&routeless, vec![report(1, None, None)], "no-route"),
    ] {
        let store = Fixed { reports, ..Fixed::default() };
        let (config, runtime) = (config(), tokio::runtime::Builder::new_current_thread().build().unwrap());
        let reasons = runtime.block_on(WaitReasons::read(&store, &config, at(NOW))).unwrap();
        assert_eq!(reasons.waiting(record).as_ref().map(Waiting::name), Some(expected));
    }
}

fn reporting(nodes: &[&str]) -> Fixed {
    let report = |node: &&str| NodeReport { node: (*node).to_owned(), at: at(NOW), ..NodeReport::default() };
    Fixed { reports: nodes.iter().map(report).collect(), ..Fixed::default() }
}

/// Nodes in each state.
fn fleet_of_seven() -> Fixed {
    let member = |name: &str, seen_ago_s: i64, lives, has_left, is_drained: bool| MemberRecord {
        name: name.to_owned(),
        epoch: store::Epoch(7),
        host: "mail1".to_owned(),
        process: 4711,
        started: at(NOW) - 3.hours() * 20,
        seen: at(NOW) - seen_ago_s.seconds(),
        has_left,
        lives,
        drained: is_drained.then(|| store::Drained { at: at(NOW) - 1.minute(), by: "amy".to_owned() }),
    };
    let report = |name: &str, is_drained, held| NodeReport {
        node: name.to_owned(),
        at: at(NOW) - 1.second(),
        version: "1.2.3".to_owned(),
        is_drained,
        held,
        ..NodeReport::default()
    };
    let refused = RefusedConfiguration { id: config_id(7), why: vec!["no ca.pem".to_owned()] };
    Fixed {
        members: vec![
            member("edge-1", 1, true, false, false),
            member("edge-2", 1, true, false, true),
            member("edge-3", 1, true, false, true),
            // It has not heard of it yet.
            member("edge-4", 1, true, false, true),
            member("edge-5", 300, false, false, false),
            member("edge-6", 300, false, true, false),
            member("edge-7", 100_000, false, true, false),
        ],
        reports: vec![
            NodeReport {
                configuration: Following { id: Some(config_id(6)), refused: None },
                ..report("edge-1", false, 5)
            },
            NodeReport {
                configuration: Following { id: Some(config_id(6)), refused: Some(refused) },
                ..report("edge-2", true, 3)
            },
            report("edge-3", true, 0),
            report("edge-4", false, 0),
            // Of the process before.
            NodeReport { at: at(NOW) - 100.hours(), ..report("edge-6", false, 9) },
        ],
        ..Fixed::default()
    }
}

#[test]
fn nodes_are_listed_with_what_they_do() {
    let store = fleet_of_seven();
    let value = json("gatepost node list --format json", &store);
    let state = |node: &serde_json::Value| {
        let text = |key: &str| node[key].as_str().unwrap_or("-").to_owned();
        (text("node"), text("state"), text("version"), node["deliveries"].as_u64().unwrap())
    };
    let states: Vec<_> = value["nodes"].as_array().unwrap().iter().map(state).collect();
    let expected = [
        ("edge-1", "running", "1.2.3", 5),
        ("edge-2", "draining", "1.2.3", 3),
        ("edge-3", "drained", "1.2.3", 0),
        ("edge-4", "draining", "1.2.3", 0),
        ("edge-5", "silent", "-", 0),
        ("edge-6", "stopped", "-", 0),
    ];
    let expected = expected.map(|(node, state, version, held)| (node.into(), state.into(), version.into(), held));
    assert_eq!(states, expected);
    let (first, second) = (&value["nodes"][0], &value["nodes"][1]);
    assert_eq!((&first["config_version"], &first["config_refused"]), (&6.into(), &serde_json::Value::Null));
    assert_eq!((&second["config_version"], &second["config_refused"]["version"]), (&6.into(), &7.into()));
    assert_eq!(second["config_applied"], "2026-07-30T11:00:00Z");
    let text = run("gatepost node list", &store, Some(80)).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let refusal = "edge-2 cannot follow version 7 of the fleet's configuration, and keeps version 6: no ca.pem";
    assert!(words.contains(refusal), "{text}");
    let wide = run("gatepost node list", &store, None).unwrap();
    assert!(wide.contains("CONFIG") && wide.contains("6, not 7"), "{wide}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("by amy. To let it take mail again: gatepost node resume edge-2"), "{text}");
    assert!(run("gatepost node list --all", &store, None).unwrap().contains("edge-7"));
    let text = run("gatepost node drain edge-3 --wait", &store, None).unwrap();
    assert!(text.starts_with("edge-3 is drained and has nothing left to do.\n"), "{text}");
    let error = run("gatepost node drain egde-3", &store, None).unwrap_err();
    assert!(error.starts_with("no node is named egde-3; did you mean edge-"), "{error}");
}

/// The restored database has another version 7, and another plan of version 1, which the node cannot follow.
#[test]
fn what_a_node_has_from_before_a_restore_is_shown_as_such() {
    let mut store = fleet_of_seven();
    store.reports[1].configuration.id = Some(ConfigurationId { version: 7, at: at(NOW) - 5.hours() });
    let text = run("gatepost node list", &store, None).unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("keeps version 7 from before the database was restored: no ca.pem"), "{text}");
    let mut store = reporting(&["mx1", "mx2"]);
    run("gatepost rollout set --from legacy --to modern --percent 50", &store, None).unwrap();
    let set = store.plans.lock().unwrap()[0].at;
    for (report, at) in store.reports.iter_mut().zip([set, set - 5.hours()]) {
        (report.plan_version, report.plan_at) = (Some(1), Some(at));
    }
    let text = run("gatepost rollout status", &store, None).unwrap();
    let line = |node: &str| text.lines().find(|line| line.contains(node)).unwrap().to_owned();
    assert!(line("mx2 ").contains("old version 1"), "{text}");
    assert!(line("mx1 ").contains("version 1") && !line("mx1 ").contains("old"), "{text}");
}

#[test]
fn a_rollout_moves_half_the_fleet_and_back() {
    let store = reporting(&["mx1", "mx2", "mx3", "mx4"]);
    let text = run("gatepost rollout status", &store, None).unwrap();
    assert!(text.starts_with("No rollout: every node uses the policies in its configuration."), "{text}");
    let text = run("gatepost rollout set --from legacy --to modern --percent 50", &store, None).unwrap();
    assert!(
        text.starts_with("Rollout from legacy to modern: 50%. Plan version 1, set on 2026-07-30 12:00:00"),
        "{text}"
    );
    assert_eq!(text.matches("to modern  no plan yet").count(), 2, "{text}");
    let text = run("gatepost rollout halt --because why-not", &store, None).unwrap();
    assert!(text.contains("\nHALTED: why-not. To continue: gatepost rollout resume\n"), "{text}");
    let error = run("gatepost rollout set --from legacy --to modern --percent 75", &store, None).unwrap_err();
    assert!(error.starts_with("the rollout is halted (why-not), and this would move "), "{error}");
    run("gatepost rollout resume", &store, None).unwrap();
    run("gatepost rollout set --from legacy --to modern --percent 0", &store, None).unwrap();
    let status = json("gatepost rollout status --format json", &store);
    assert_eq!((&status["version"], &status["percent"]), (&4.into(), &0.into()));
    assert!(status["nodes"].as_array().unwrap().iter().all(|node| node["moved"] == false));
}

#[test]
fn a_rollout_that_cannot_be_is_refused_and_changes_nothing() {
    let store = reporting(&["mx1", "mx2"]);
    let table = [
        (
            "--from legacy --to modren --percent 50",
            "unknown TLS policy \"modren\"; policies are: modern, intermediate, legacy",
        ),
        ("--from legacy --to modern --percent 101", "101 is not in 0..=100"),
        ("--from legacy --to modern --percent -1", "unexpected argument '-1'"),
        ("--from legacy --to legacy --percent 50", "from and to name the same policy, \"legacy\""),
        (
            "--from legacy --to modern --node mx9",
            "no node is called mx9; nodes that reported in the last 10 minutes: mx1, mx2",
        ),
        ("--from legacy --to modern", "--percent <N>"),
    ];
    for (arguments, expected) in table {
        let error = run(&format!("gatepost rollout set {arguments}"), &store, None).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    assert!(store.plans.lock().unwrap().is_empty());
    let error = run("gatepost rollout set --from legacy --to modern --percent 50", &reporting(&[]), None).unwrap_err();
    assert!(error.starts_with("no node has reported in the last 10 minutes"), "{error}");
}

#[test]
fn tallies_are_of_the_last_day_by_outcome() {
    let store = Fixed::default();
    assert_eq!(run("gatepost tallies", &store, None).unwrap(), "No deliveries were counted in this time.\n");
    assert_eq!(
        json("gatepost tallies --by cause,tls-policy --step minute --format json", &store)["tallies"],
        serde_json::json!([])
    );
    assert!(run("gatepost tallies --by colour", &store, None).unwrap_err().contains("possible values"));
}

#[test]
fn the_ledger_says_what_was_weak_and_why() {
    let entry = |tls: Option<&str>, why| LedgerEntry {
        host: "mail.onprem.test".to_owned(),
        port: 25,
        connector: "onprem".to_owned(),
        tls_policy: "legacy".to_owned(),
        tls: tls.map(|cipher| TlsSummary { version: "TLSv1".to_owned(), cipher: cipher.to_owned() }),
        why,
        deliveries: 7,
        first: at("2026-07-28T12:00:00Z"),
        last: at("2026-07-30T11:00:00Z"),
    };
    let ledger = vec![entry(Some("RC4-SHA"), Weakness::OldVersion), entry(None, Weakness::StartTlsNotOffered)];
    let store = Fixed { ledger, ..Fixed::default() };
    let text = run("gatepost policy ledger", &store, None).unwrap();
    let expected = "\
DESTINATION          CONNECTOR  POLICY  ENCRYPTION     WHY                   DELIVERIES  FIRST   LAST
mail.onprem.test:25  onprem     legacy  TLSv1 RC4-SHA  old-version                    7  2d ago  1h ago
mail.onprem.test:25  onprem     legacy  plaintext      starttls-not-offered           7  2d ago  1h ago
";
    assert_eq!(text, expected);
    let value = json("gatepost policy ledger --format json", &store);
    assert_eq!(value["ledger"][0]["why"], "old-version");
    assert!(value["ledger"][1]["tls"].is_null());
    assert!(
        run("gatepost policy ledger", &Fixed::default(), None)
            .unwrap()
            .starts_with("No deliveries in plaintext or below")
    );
}

#[test]
fn a_trace_that_cannot_be_meant_is_refused() {
    let table = [
        ("--since 2h --until 3h", "the time range is reversed: --since is 2026-07-30T10:00:00Z"),
        ("--recipient *", "--recipient '*' matches every message; leave it out, or add --since with at most 90d"),
        ("--sender @* --since 91d", "--sender '*' matches every message"),
        ("--tls-version 1.4", "\"1.4\" is not a TLS version; use 1.0, 1.1, 1.2, 1.3, or none for plaintext"),
        ("--after x", "\"x\" is not the start of a page; copy it from the end of the previous page"),
        ("--from-ip mail.test", "invalid value 'mail.test' for '--from-ip <IP>'"),
        ("--colour red", "unexpected argument '--colour'"),
        ("--status delivrd", "invalid value 'delivrd' for '--status <STATUS>'"),
    ];
    for (arguments, expected) in table {
        let error = run(&format!("gatepost trace {arguments}"), &Fixed::default(), None).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    assert!(run("gatepost trace --recipient * --since 89d", &Fixed::default(), None).is_ok());
}

#[test]
fn a_page_parts_no_message() {
    // Three recipients each: the first page of 2000 records would end within a message.
    let of_three = |number: u32| {
        let mut record = record(number);
        record.message.key = MessageKey((number / 3).into());
        record.message.network_message_id = id(number / 3);
        record.delivery.recipient = Address::parse(&format!("user{number}@onprem.test")).unwrap();
        record
    };
    let mut store = store_with((0..2103).map(of_three).collect());
    store.events = (0..701).map(received).collect();
    let text = run("gatepost trace --format csv --limit 3000", &store, None).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 701);
    assert!(lines.iter().all(|line| line.matches("##Receive").count() == 3));
    let text = run("gatepost trace --detail --format csv --limit 3000", &store, None).unwrap();
    assert_eq!(text.lines().skip(1).count(), 701, "an event of the whole message has one row");
    let whole = json("gatepost trace --format json --limit 2050", &store);
    assert_eq!(whole["messages"].as_array().unwrap().len(), 2050);
    assert!(whole["next"].as_str().unwrap().ends_with("-53"));
}

fn received(message: u32) -> Event {
    let received = Received {
        sender: ReversePath::Null,
        recipients: 3,
        size_bytes: 1,
        from: None,
        ehlo_name: String::new(),
        tls: None,
        handshake: None,
        session: String::new(),
    };
    Event {
        at: at(NOW),
        node: "edge-1".to_owned(),
        message: id(message),
        recipient: None,
        kind: EventKind::Received(received),
    }
}

#[test]
fn a_trace_as_exchange_onlines_csv() {
    let mut second = record(1);
    second.delivery.recipient = Address::parse("carol@onprem.test").unwrap();
    second.state = State::Delivered;
    let store = store_with(vec![record(1), second]);
    let text = run("gatepost trace --format csv", &store, None).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("origin_timestamp_utc,sender_address,recipient_status,message_subject,total_bytes,"));
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[1].contains(",alice@example.org,\"carol@onprem.test##Receive, Send;bob@onprem.test##Receive\","),
        "{text}"
    );
    let text = run("gatepost trace --format tracking-log", &store, None).unwrap();
    assert!(text.contains("\r\n#Log-type: Message Tracking Log\r\n"), "{text}");
}

fn incident(number: u32) -> Incident {
    let finding = serde_json::json!({
        "cause": "no-shared-cipher",
        "confidence": 0.97,
        "summary": "mail.onprem.test:25 agrees on no cipher suite: all 104 attempts failed",
        "messages_pending": 96,
        "evidence": [{ "what": "server sent alert 40\u{1b}[31m", "source": "attempt", "where": "session 08DF" }],
        "remedy": [{ "side": "destination", "action": "Enable AES." }],
        "check": "gatepost probe mail.onprem.test:25",
    });
    Incident {
        id: id(number),
        connector: "onprem".to_owned(),
        destination: "mail.onprem.test:25".to_owned(),
        cause: "no-shared-cipher".to_owned(),
        node: "mx1".to_owned(),
        opened: at("2026-07-30T09:05:00Z"),
        last_seen: at("2026-07-30T11:59:55Z"),
        closed: None,
        pending: 96,
        pending_peak: 104,
        oldest: Some(at("2026-07-30T09:00:00Z")),
        finding: finding.to_string(),
    }
}

#[test]
fn incidents_as_a_table_one_in_full_and_as_json() {
    let closed = Incident { closed: Some((at("2026-07-30T10:00:00Z"), Closed::MailFlows)), ..incident(2) };
    let store = Fixed { incidents: vec![incident(1), closed], ..store_with(vec![record(1)]) };
    assert_eq!(
        run("gatepost incident list --utc", &store, None).unwrap(),
        "\
ID                                    STATE   CONNECTOR  DESTINATION          CAUSE             OPENED                      \
WAITING  PEAK
00000000-0000-0000-0000-000000000001  open    onprem     mail.onprem.test:25  no-shared-cipher  2026-07-30 09:05:00 \
+00:00       96   104
00000000-0000-0000-0000-000000000002  closed  onprem     mail.onprem.test:25  no-shared-cipher  2026-07-30 09:05:00 \
+00:00       96   104
"
    );
    assert_eq!(
        run(&format!("gatepost incident show {}", id(1)), &store, None).unwrap(),
        "\
Incident 00000000-0000-0000-0000-000000000001: no-shared-cipher
  Connector     onprem
  Destination   mail.onprem.test:25
  Opened        2026-07-30 09:05:00 +00:00 by mx1
  State         open, last seen 5s ago
  Waiting       96 messages (peak 104)
  Oldest        received 2026-07-30 09:00:00 +00:00 (3h ago)

1. no-shared-cipher, certain (97%)
   mail.onprem.test:25 agrees on no cipher suite: all 104 attempts failed

   Evidence
     - server sent alert 40\u{fffd}[31m (session 08DF)

   Remedy
     - destination: Enable AES.

   Check
     gatepost probe mail.onprem.test:25
"
    );
    let shown = run(&format!("gatepost incident show {}", id(2)), &store, None).unwrap();
    assert!(shown.contains("closed 2026-07-30 10:00:00 +00:00: mail flows again"), "{shown}");
    let value = json("gatepost incident list --format json --limit 1", &store);
    assert_eq!(value["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&value["incidents"][0]["closed"], &value["incidents"][0]["messages_pending"]),
        (&().into(), &96.into())
    );
    let one = json(&format!("gatepost incident show {} --format json", id(2)), &store);
    assert_eq!((&one["closed_because"], &one["finding"]["confidence"]), (&"mail-flows".into(), &0.97.into()));
    let error = run(&format!("gatepost incident show {}", id(9)), &store, None).unwrap_err();
    assert!(error.contains("there is no incident 0000"), "{error}");
    // The queue list mentions it.
    let queue = run("gatepost queue list", &store, None).unwrap();
    assert!(queue.ends_with(&format!("An incident is open for onprem: gatepost incident show {}\n", id(1))), "{queue}");
    assert_eq!(run("gatepost incident list", &store_with(vec![]), None).unwrap(), "No incidents.\n");
}

/// Reads printed items into a view, writes them again and compares.
fn assert_read_back<T: serde::de::DeserializeOwned + serde::Serialize>(items: &serde_json::Value) {
    let items = items.as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        let view: T = serde_json::from_value(item.clone()).unwrap();
        assert_eq!(serde_json::to_value(view).unwrap(), *item);
    }
}

#[test]
fn views_read_back_what_is_printed() {
    let mut delivered = record(2);
    delivered.state = State::Delivered;
    let mut store = store_with(vec![record(1), delivered]);
    store.events = vec![received(1), received(2)];
    store.incidents = vec![incident(1)];
    assert_read_back::<views::DeliveryView>(&json("gatepost queue list --format json", &store)["deliveries"]);
    assert_read_back::<views::CountView>(&json("gatepost queue list --format json", &store)["counts"]);
    assert_read_back::<GroupView>(&json("gatepost queue list --by age --format json", &store)["groups"]);
    assert_read_back::<views::TraceView>(&json("gatepost trace --detail --format json", &store)["messages"]);
    assert_read_back::<views::IncidentView>(&json("gatepost incident list --format json", &store)["incidents"]);
    let shown = json(&format!("gatepost queue show {} --format json", id(1)), &store);
    assert_read_back::<views::MessageView>(&serde_json::json!([shown]));
}

#[test]
fn changes_as_a_table_in_pages_and_as_json() {
    let change = |number: u32, node: Option<&str>, who: &str, kind: ChangeKind| Change {
        id: id(number),
        at: at("2026-07-30T10:00:00Z"),
        node: node.map(str::to_owned),
        who: who.to_owned(),
        from: None,
        kind,
    };
    let changes = vec![
        change(1, None, "amy", ChangeKind::RestoreAnswered { deliver_since: None }),
        change(2, Some("mx1"), "node mx1", ChangeKind::Started { version: "1.2.3".to_owned() }),
    ];
    let store = Fixed { changes, ..Fixed::default() };
    assert_eq!(
        run("gatepost changes --utc", &store, None).unwrap(),
        "TIME                        NODE   WHO       WHAT
2026-07-30 10:00:00 +00:00  fleet  amy       restored mail stays suspended
2026-07-30 10:00:00 +00:00  mx1    node mx1  node started, Gatepost 1.2.3
"
    );
    let page = run("gatepost changes --utc --limit 1", &store, None).unwrap();
    let next = format!("{}.{}", at("2026-07-30T10:00:00Z").as_millisecond(), id(1));
    assert!(page.ends_with(&format!("\nShowing 1 change; there are more. Next page: --after {next}\n")), "{page}");
    let value = json("gatepost changes --format json", &store);
    assert_eq!((&value["next"], &value["changes"][1]["facts"]["version"]), (&serde_json::Value::Null, &"1.2.3".into()));
    assert_eq!(run("gatepost changes", &Fixed::default(), None).unwrap(), "No changes.\n");
    let error = run("gatepost changes --since 1h --until 2h", &store, None).unwrap_err();
    assert!(error.contains("the time range is reversed"), "{error}");
    let error = run("gatepost changes --kind moon-phase", &store, None).unwrap_err();
    assert!(error.contains("destination-changed"), "{error}");
}
