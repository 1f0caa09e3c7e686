//! The engine behind a store. What uses a store is compiled once, whichever engine a configuration names.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use trace::{Change, Event};
use uuid::Uuid;

use crate::*;

/// A store of one engine or another.
#[derive(Clone)]
pub enum Backend {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// The same call to whichever engine it is. What a call to a server keeps while it waits is on the heap, so that the tasks of a
/// node on the embedded store, of which there are many, are no larger for it.
macro_rules! each {
    ($backend:expr, $store:ident => $call:expr) => {
        match $backend {
            Backend::Sqlite($store) => $call.await,
            Backend::Postgres($store) => Box::pin($call).await,
        }
    };
}

impl Backend {
    /// Opens the embedded store of a node; see [`SqliteStore::open`].
    pub fn open(folder: &Path, node: &str) -> Result<Self> {
        SqliteStore::open(folder, node).map(Self::Sqlite)
    }

    /// See [`SqliteStore::open_despite_loss`].
    pub fn open_despite_loss(folder: &Path, node: &str) -> Result<Self> {
        SqliteStore::open_despite_loss(folder, node).map(Self::Sqlite)
    }

    /// Opens a store for commands; see [`SqliteStore::attach`].
    pub fn attach(folder: &Path) -> Result<Self> {
        SqliteStore::attach(folder).map(Self::Sqlite)
    }

    /// Opens the store of a fleet for a node; see [`PostgresStore::open`].
    pub async fn open_server(server: &PostgresSettings) -> Result<Self> {
        PostgresStore::open(server).await.map(Self::Postgres)
    }

    /// The same for commands; see [`PostgresStore::attach`].
    pub async fn attach_server(server: &PostgresSettings) -> Result<Self> {
        PostgresStore::attach(server).await.map(Self::Postgres)
    }

    /// True if other machines may share it. It then has a clock of its own.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// What the store measures of itself.
    pub fn times(&self) -> &StoreTimes {
        match self {
            Self::Sqlite(store) => store.times(),
            Self::Postgres(store) => store.times(),
        }
    }

    /// The size of the embedded store's files. `None`: it is on a server, or the files cannot be read.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Sqlite(store) => store.bytes(),
            Self::Postgres(_) => None,
        }
    }

    /// Waits for what was handed over, and closes the store.
    pub async fn close(self) {
        each!(self, store => store.close());
    }

    /// See [`PostgresStore::newest_configuration`]. The embedded store has none.
    pub async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.newest_configuration().await,
        }
    }

    /// See [`PostgresStore::newest_configuration_id`]. The embedded store has none.
    pub async fn newest_configuration_id(&self) -> Result<Option<ConfigurationId>> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.newest_configuration_id().await,
        }
    }

    /// See [`PostgresStore::configuration`]. The embedded store has none.
    pub async fn configuration(&self, version: u64) -> Result<Option<StoredConfiguration>> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.configuration(version).await,
        }
    }

    /// See [`SqliteStore::backup`].
    pub async fn backup(&self, folder: &Path) -> Result<(PathBuf, u64)> {
        match self {
            Self::Sqlite(store) => store.backup(folder).await,
            Self::Postgres(_) => Err(PostgresError::Backup.into()),
        }
    }

    /// See [`SqliteStore::backup_size`].
    pub async fn backup_size(&self, folder: &Path) -> Result<(u64, PathBuf)> {
        match self {
            Self::Sqlite(store) => store.backup_size(folder).await,
            Self::Postgres(_) => Err(PostgresError::Backup.into()),
        }
    }
}

impl Queue for Backend {
    fn room(&self) -> Room {
        match self {
            Self::Sqlite(store) => store.room(),
            Self::Postgres(store) => store.room(),
        }
    }

    async fn accept(&self, message: NewMessage, holder: Option<Member>, events: Vec<NewEvent>) -> Result<Accepted> {
        each!(self, store => store.accept(message, holder, events))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        each!(self, store => store.claim(claim))
    }

    async fn claim_for_review(&self, holder: Member, limit: u32) -> Result<Vec<Claimed>> {
        each!(self, store => store.claim_for_review(holder, limit))
    }

    fn lease_term(&self) -> Duration {
        match self {
            Self::Sqlite(store) => store.lease_term(),
            Self::Postgres(store) => store.lease_term(),
        }
    }

    async fn renew(&self, member: &Member, held: Vec<Holding>) -> Result<Vec<Holding>> {
        each!(self, store => store.renew(member, held))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<DeliveryKey>> {
        each!(self, store => store.settle(settlements))
    }

    async fn untold(&self, waited: Duration, limit: u32) -> Result<Vec<Untold>> {
        each!(self, store => store.untold(waited, limit))
    }

    async fn tell(&self, member: &Member, telling: Telling) -> Result<Told> {
        each!(self, store => store.tell(member, telling))
    }

    async fn expire_leases(&self) -> Result<u64> {
        each!(self, store => store.expire_leases())
    }

    async fn follow_clock(&self, waits: Vec<Duration>) -> Result<u64> {
        each!(self, store => store.follow_clock(waits))
    }

    async fn command(&self, command: Command, selection: Selection, by: impl Into<Actor> + Send) -> Result<Commanded> {
        each!(self, store => store.command(command, selection, by))
    }

    async fn retry_requested(&self, connector: &str) -> Result<Option<Duration>> {
        each!(self, store => store.retry_requested(connector))
    }

    async fn list(&self, query: QueueQuery) -> Result<Vec<DeliveryRecord>> {
        each!(self, store => store.list(query))
    }

    async fn counts(&self) -> Result<Vec<QueueCount>> {
        each!(self, store => store.counts())
    }

    async fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> Result<T> {
        each!(self, store => store.fold_queue(selection, start, step))
    }

    async fn pending(&self, untried_for: Duration) -> Result<Vec<Pending>> {
        each!(self, store => store.pending(untried_for))
    }

    async fn deferred(&self, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
        each!(self, store => store.deferred(connector, limit))
    }
}

impl Bodies for Backend {
    async fn new_body(&self, member: &Member) -> Result<BodyKey> {
        each!(self, store => store.new_body(member))
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        each!(self, store => store.append_body(body, sequence, bytes))
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        each!(self, store => store.discard_body(body))
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        each!(self, store => store.read_body(message, sequence))
    }

    async fn clean_bodies(&self) -> Result<u64> {
        each!(self, store => store.clean_bodies())
    }
}

impl History for Backend {
    async fn trace(&self, query: TraceQuery) -> Result<Vec<DeliveryRecord>> {
        each!(self, store => store.trace(query))
    }

    async fn message(&self, id: Uuid) -> Result<Option<MessageRecord>> {
        each!(self, store => store.message(id))
    }

    async fn events(&self, message: Uuid) -> Result<Vec<Event>> {
        each!(self, store => store.events(message))
    }

    async fn histories(&self, messages: Vec<MessageKey>) -> Result<Vec<Vec<Event>>> {
        each!(self, store => store.histories(messages))
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
        each!(self, store => store.ids_between(first, last, limit))
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64> {
        each!(self, store => store.forget(age, limit))
    }
}

impl Tallies for Backend {
    async fn tallies(&self, query: TallyQuery) -> Result<Vec<Tally>> {
        each!(self, store => store.tallies(query))
    }

    async fn tidy_tallies(&self, keep: Duration, limit: u32) -> Result<u64> {
        each!(self, store => store.tidy_tallies(keep, limit))
    }
}

impl Fleet for Backend {
    async fn join(&self, name: &str) -> Result<Joined> {
        each!(self, store => store.join(name))
    }

    async fn leave(&self, member: &Member) -> Result<()> {
        each!(self, store => store.leave(member))
    }

    async fn report(&self, member: &Member, state: NodeState) -> Result<bool> {
        each!(self, store => store.report(member, state))
    }

    async fn members(&self) -> Result<Vec<MemberRecord>> {
        each!(self, store => store.members())
    }

    async fn drain(&self, node: &str, is_drained: bool, by: &str) -> Result<bool> {
        each!(self, store => store.drain(node, is_drained, by))
    }

    async fn reports(&self) -> Result<Vec<NodeReport>> {
        each!(self, store => store.reports())
    }

    async fn share(&self, member: &Member, demands: Vec<Demand>) -> Result<Vec<Share>> {
        each!(self, store => store.share(member, demands))
    }

    fn holds_restored(&self) -> bool {
        match self {
            Self::Sqlite(store) => store.holds_restored(),
            Self::Postgres(store) => store.holds_restored(),
        }
    }

    async fn restoration(&self) -> Result<Option<Restoration>> {
        each!(self, store => store.restoration())
    }

    async fn answer_restoration(&self, decision: RestorationDecision, by: &str) -> Result<Option<Answered>> {
        each!(self, store => store.answer_restoration(decision, by))
    }

    async fn plan(&self) -> Result<Option<StoredPlan>> {
        each!(self, store => store.plan())
    }

    async fn replace_plan(&self, before: Option<u64>, plan: String, by: &str) -> Result<Option<u64>> {
        each!(self, store => store.replace_plan(before, plan, by))
    }

    async fn plans(&self) -> Result<Vec<StoredPlan>> {
        each!(self, store => store.plans())
    }

    async fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        each!(self, store => store.ledger())
    }

    async fn take_watch(&self, member: &Member, interval: Duration) -> Result<Option<u64>> {
        each!(self, store => store.take_watch(member, interval))
    }

    async fn ask(&self, inquiries: Vec<Inquiry>) -> Result<()> {
        each!(self, store => store.ask(inquiries))
    }

    async fn take_inquiries(&self, member: &Member, within: Duration, limit: u32) -> Result<Vec<Inquiry>> {
        each!(self, store => store.take_inquiries(member, within, limit))
    }

    async fn answer(&self, id: Uuid, answer: String) -> Result<()> {
        each!(self, store => store.answer(id, answer))
    }

    async fn answers(&self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, String)>> {
        each!(self, store => store.answers(ids))
    }
}

impl Incidents for Backend {
    async fn note_incidents(&self, turn: u64, incidents: Vec<Incident>, calls: Vec<WebhookCall>) -> Result<bool> {
        each!(self, store => store.note_incidents(turn, incidents, calls))
    }

    async fn incidents(&self, limit: u32) -> Result<Vec<Incident>> {
        each!(self, store => store.incidents(limit))
    }

    async fn incident(&self, id: Uuid) -> Result<Option<Incident>> {
        each!(self, store => store.incident(id))
    }

    async fn keep_picture(&self, incident: Uuid, picture: String) -> Result<()> {
        each!(self, store => store.keep_picture(incident, picture))
    }

    async fn picture(&self, incident: Uuid) -> Result<Option<String>> {
        each!(self, store => store.picture(incident))
    }

    async fn add_note(&self, incident: Uuid, who: &str, text: &str) -> Result<NoteAdded> {
        each!(self, store => store.add_note(incident, who, text))
    }

    async fn notes(&self, incident: Uuid) -> Result<Vec<IncidentNote>> {
        each!(self, store => store.notes(incident))
    }

    async fn claim_calls(&self, again: Duration, limit: u32) -> Result<Vec<WebhookCall>> {
        each!(self, store => store.claim_calls(again, limit))
    }

    async fn settle_call(&self, id: Uuid, due_in: Option<Duration>) -> Result<()> {
        each!(self, store => store.settle_call(id, due_in))
    }
}

impl Access for Backend {
    async fn invite(&self, new: NewInvitation, by: Actor) -> Result<Timestamp> {
        each!(self, store => store.invite(new, by))
    }

    async fn invitation(&self, token: SecretHash) -> Result<Option<Invitation>> {
        each!(self, store => store.invitation(token))
    }

    async fn accept_invitation(
        &self,
        token: SecretHash,
        password: PasswordHash,
        from: Option<IpAddr>,
    ) -> Result<Option<Invitation>> {
        each!(self, store => store.accept_invitation(token, password, from))
    }

    async fn users(&self) -> Result<(Vec<User>, Vec<Invitation>)> {
        each!(self, store => store.users())
    }

    async fn has_users(&self) -> Result<bool> {
        each!(self, store => store.has_users())
    }

    async fn password(&self, user: &str) -> Result<Option<PasswordHash>> {
        each!(self, store => store.password(user))
    }

    async fn set_right(&self, user: &str, right: Right, by: Actor) -> Result<Option<Right>> {
        each!(self, store => store.set_right(user, right, by))
    }

    async fn remove_user(&self, user: &str, by: Actor) -> Result<bool> {
        each!(self, store => store.remove_user(user, by))
    }

    async fn open_session(&self, new: NewSession) -> Result<bool> {
        each!(self, store => store.open_session(new))
    }

    async fn session(&self, token: SecretHash) -> Result<Option<Session>> {
        each!(self, store => store.session(token))
    }

    async fn watched_session(&self, token: SecretHash) -> Result<Option<Session>> {
        each!(self, store => store.watched_session(token))
    }

    async fn end_session(&self, token: SecretHash) -> Result<()> {
        each!(self, store => store.end_session(token))
    }
}

impl ChangeLog for Backend {
    async fn record_change(&self, change: NewChange) -> Result<()> {
        each!(self, store => store.record_change(change))
    }

    async fn note_destinations(&self, node: &str, seen: Vec<SeenDestination>) -> Result<()> {
        each!(self, store => store.note_destinations(node, seen))
    }

    async fn destinations(&self, host: Option<&str>, limit: u32) -> Result<Vec<KnownDestination>> {
        each!(self, store => store.destinations(host, limit))
    }

    async fn changes(&self, query: ChangeQuery) -> Result<Vec<Change>> {
        each!(self, store => store.changes(query))
    }

    async fn forget_changes(&self, age: Duration) -> Result<u64> {
        each!(self, store => store.forget_changes(age))
    }
}

impl Tokens for Backend {
    async fn create_token(&self, token: NewToken) -> Result<bool> {
        each!(self, store => store.create_token(token))
    }

    async fn revoke_token(&self, name: &str, by: Actor) -> Result<bool> {
        each!(self, store => store.revoke_token(name, by))
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        each!(self, store => store.tokens())
    }

    async fn token(&self, sha256: &str) -> Result<Option<TokenRecord>> {
        each!(self, store => store.token(sha256))
    }

    async fn note_token_use(&self, name: &str) -> Result<()> {
        each!(self, store => store.note_token_use(name))
    }
}
