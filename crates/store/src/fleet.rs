//! The fleet: its nodes and what they report, its plans, its ledger, and questions to its nodes.

use std::{collections::BTreeMap, fmt, future::Future, net::SocketAddr, time::Duration};

use jiff::Timestamp;
use protocol::smtp::{Destination, Failure, TlsSummary};
use serde::{Deserialize, Serialize};
use trace::{Doing, Limit};
use uuid::Uuid;

use crate::{Answered, Demand, Following, Member, MemberRecord, Restoration, RestorationDecision, Result, Share};

/// What the nodes of a fleet know of each other, and what they agree on.
pub trait Fleet {
    /// Makes a node a member, under its name. Refused with [`StoreError::NameInUse`](crate::StoreError) while another
    /// member of that name lives: it has not left, its process is not known to be dead, and it has reported within
    /// [`MEMBER_VALID`](crate::MEMBER_VALID).
    ///
    /// Returns to the queue what an earlier member of that name had leased, with an `Interrupted` event each; where it is
    /// not sure that the earlier member is dead, only the leases whose time is over. Deletes what dead members have left of bodies
    /// that were never accepted.
    fn join(&self, name: &str) -> impl Future<Output = Result<Joined>> + Send;

    /// Ends a membership in order: nothing is under way any more, and the name is free.
    fn leave(&self, member: &Member) -> impl Future<Output = Result<()>> + Send;

    /// Stores what a node says of itself, and that it lives. Returns true if it is drained. Refused with
    /// [`StoreError::NameInUse`](crate::StoreError) once another member has its name.
    fn report(&self, member: &Member, state: NodeState) -> impl Future<Output = Result<bool>> + Send;

    /// Who runs, and how each node's connectors stand.
    fn reports(&self) -> impl Future<Output = Result<Vec<NodeReport>>> + Send;

    /// All nodes that have joined, by name, be it that they have left.
    fn members(&self) -> impl Future<Output = Result<Vec<MemberRecord>>> + Send;

    /// Drains a node, or takes that back; it follows with its next report. Draining twice keeps the first time and name.
    /// False if no node has joined under that name.
    fn drain(&self, node: &str, is_drained: bool, by: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Gives a node its share of the limits of connectors, in any order. See [`Share`] for how long it lasts.
    fn share(&self, member: &Member, demands: Vec<Demand>) -> impl Future<Output = Result<Vec<Share>>> + Send;

    /// True if what was waiting in a restored store is held, and nobody has answered, as far as is known without asking.
    fn holds_restored(&self) -> bool;

    /// The last time that a node noticed that the store was restored from a backup; `None` if none ever has. All that was
    /// waiting then is suspended, but nothing that was accepted later. The embedded store is restored by a command, which says
    /// so, and notices nothing.
    fn restoration(&self) -> impl Future<Output = Result<Option<Restoration>>> + Send;

    /// Says what is to become of what is held since the last restore. The first answer counts: a second one changes nothing,
    /// but for what the first has left undone, because its command was interrupted. `None` if no restore was noticed.
    fn answer_restoration(
        &self,
        decision: RestorationDecision,
        by: &str,
    ) -> impl Future<Output = Result<Option<Answered>>> + Send;

    /// The fleet's plan in force; `None` before the first.
    fn plan(&self) -> impl Future<Output = Result<Option<StoredPlan>>> + Send;

    /// Puts a plan, in JSON, in the place of version `before` (`None`: it is the first). Returns its version, or `None` where
    /// another plan was in force: nothing was changed then.
    fn replace_plan(
        &self,
        before: Option<u64>,
        plan: String,
        by: &str,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// All plans, newest first.
    fn plans(&self) -> impl Future<Output = Result<Vec<StoredPlan>>> + Send;

    /// Deliveries below the policy `modern`, by destination; the latest first.
    fn ledger(&self) -> impl Future<Output = Result<Vec<LedgerEntry>>> + Send;

    /// Gives the fleet's watch to this node for one review, if nobody had it within `interval`. Returns the turn's
    /// number.
    fn take_watch(&self, member: &Member, interval: Duration) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Asks nodes; old questions are deleted.
    fn ask(&self, inquiries: Vec<Inquiry>) -> impl Future<Output = Result<()>> + Send;

    /// Questions to a node that were asked within that time, the oldest first. Each is taken once.
    fn take_inquiries(
        &self,
        member: &Member,
        within: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Inquiry>>> + Send;

    fn answer(&self, id: Uuid, answer: String) -> impl Future<Output = Result<()>> + Send;

    /// The answers that are there already.
    fn answers(&self, ids: Vec<Uuid>) -> impl Future<Output = Result<Vec<(Uuid, String)>>> + Send;
}

/// What came of [`Fleet::join`].
#[derive(Clone, Debug)]
pub struct Joined {
    pub member: Member,
    /// Deliveries that an earlier member of that name had under way.
    pub taken_back: u64,
    /// An operator has drained the node of that name: it is to take no mail.
    pub is_drained: bool,
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeState {
    pub connectors: Vec<ConnectorReport>,
    /// The version of the plan that it follows, and when that was set.
    pub plan_version: Option<u64>,
    pub plan_at: Option<Timestamp>,
    /// Of Gatepost.
    pub version: String,
    /// Where it listens for SMTP.
    pub addresses: Vec<SocketAddr>,
    /// It takes no mail, and begins no delivery that it does not hold.
    pub is_drained: bool,
    /// Deliveries under way or in memory.
    pub held: u64,
    pub configuration: Following,
}

/// The same as the store keeps it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: String,
    /// By the store's clock.
    pub at: Timestamp,
    pub connectors: Vec<ConnectorReport>,
    /// The version of the plan that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u64>,
    /// When that was set; `None` from programs before version 4 of the tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_at: Option<Timestamp>,
    /// Of Gatepost; empty from versions that did not say it.
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    #[serde(default)]
    pub is_drained: bool,
    #[serde(default)]
    pub held: u64,
    #[serde(default)]
    pub configuration: Following,
    /// The version of the shared store's tables that its program knows; `None` from programs before version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u32>,
}

impl NodeReport {
    pub(crate) fn new(node: &str, at: Timestamp, state: NodeState) -> Self {
        let NodeState { connectors, plan_version, plan_at, version, addresses, is_drained, held, configuration } =
            state;
        Self {
            node: node.to_owned(),
            at,
            connectors,
            plan_version,
            plan_at,
            version,
            addresses,
            is_drained,
            held,
            configuration,
            schema: None,
        }
    }

    /// True if it follows that plan. After a restore of the database, another plan may have the same version.
    pub fn follows(&self, plan: &StoredPlan) -> bool {
        self.plan_version == Some(plan.version) && self.plan_at.is_none_or(|at| at == plan.at)
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConnectorReport {
    pub name: String,
    /// Open connections, and how many it may have.
    pub connections: u32,
    pub connections_max: u32,
    /// Why no more is being sent just now, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limit>,
    /// Set while all destinations failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backed_off: Option<BackOff>,
    /// What came of its TLS policy; `None` before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_policy: Option<PolicyResults>,
    /// The same behind MX for each recipient domain that fails on some node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub domains_under_policy: BTreeMap<String, PolicyResults>,
    /// Attempts that have lasted for a while, the longest first; not all of them where there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningAttempt>,
}

/// An attempt that has not ended yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunningAttempt {
    /// Network message id.
    pub message: Uuid,
    #[serde(flatten)]
    pub doing: Doing,
}

/// What attempts of one node by one connector came to under a TLS policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyResults {
    pub policy: String,
    /// The last time that a conversation came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked: Option<Timestamp>,
    /// The first failure from STARTTLS on since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// The last such failure, whatever worked since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Timestamp>,
}

impl PolicyResults {
    pub fn new(policy: &str) -> Self {
        Self { policy: policy.to_owned(), worked: None, failing_since: None, failed: None }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackOff {
    /// The first failure in the row.
    pub since: Timestamp,
    /// The last failure, with which this rest began.
    pub began: Timestamp,
    pub until: Timestamp,
    /// The original cause.
    pub failure: Failure,
}

/// The fleet's plan as it is stored: opaque here, but for what the change log says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPlan {
    /// 1 for the first.
    pub version: u64,
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
    /// JSON.
    pub plan: String,
}

/// One delivery below the policy `modern`, for the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WeakDelivery {
    pub destination: Destination,
    pub connector: String,
    pub tls_policy: String,
    /// `None`: in plaintext.
    pub tls: Option<TlsSummary>,
    pub why: Weakness,
    pub at: Timestamp,
}

/// Why a delivery had less protection than it might have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weakness {
    /// The destination does not offer STARTTLS.
    #[serde(rename = "starttls-not-offered")]
    StartTlsNotOffered,
    /// The connector has tls = "none".
    Configured,
    /// The handshake failed, and the connector then goes on in plaintext.
    HandshakeFailed,
    /// A version before TLS 1.2.
    OldVersion,
    /// No authenticated encryption, or no forward secrecy.
    WeakCipher,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartTlsNotOffered => "starttls-not-offered",
            Self::Configured => "configured",
            Self::HandshakeFailed => "handshake-failed",
            Self::OldVersion => "old-version",
            Self::WeakCipher => "weak-cipher",
        })
    }
}

/// What the ledger says of one destination, policy, and result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Host name and port, without address.
    pub host: String,
    pub port: u16,
    pub connector: String,
    pub tls_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    pub why: Weakness,
    pub deliveries: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Nobody waits for an answer as long as this.
pub(crate) const INQUIRY_KEPT: Duration = Duration::from_secs(3600);

/// A question to one node. Question and answer are JSON, opaque here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inquiry {
    pub id: Uuid,
    /// Who is asked.
    pub node: String,
    pub question: String,
}
