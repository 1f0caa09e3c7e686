//! Views: answers as JSON, which the command line prints, the API sends, and programs read.

mod capture;
mod case;
mod change;
mod configuration;
mod connector;
mod delivery;
mod destination;
mod dialogue;
mod finding;
mod foreign_message;
mod incident;
mod job;
mod job_step;
mod node;
mod picture;
mod policy;
mod probe;
mod restoration;
mod rollout;
pub mod schema;
mod store_check;
mod tally;
mod token;
mod user;

pub use self::capture::{
    AnalysisView, CaptureView, CapturedStepView, EndedView, LineView, SessionView, TurnView, TurnsView,
};
pub use case::{CaseAttemptsView, CaseComparisonView, CaseHaltedView, CaseMessageView, CaseResultView, CaseView};
pub use change::FleetChangeView;
pub use configuration::{
    ConfigAnswerView, ConfigApplyView, ConfigChangeView, ConfigDiffView, ConfigErrorView, ConfigNodeView,
    ConfigResultView, ConfigVersionView, WithoutConnectorView,
};
pub use connector::{
    ConnectorValidationView, ConnectorView, ValidatedAddressView, ValidatedHostView, ValidatedStepView,
    ValidationStepView,
};
pub use delivery::{CommandedView, CountView, DeliveryView, MessageView, TraceView};
pub use destination::{DestinationAddressView, DestinationView, SeenCertificateView, SightView};
pub use dialogue::{DialogueLineKind, DialogueLineView};
pub use finding::{
    ChangeView, ComparedView, ExperimentView, FindingView, OverView, OverviewView, PieceView, RemedyView, ScopeView,
    SplitView, StepView,
};
pub use foreign_message::ForeignMessageView;
pub use incident::IncidentView;
pub use job::{JobKindView, JobResultView, JobStateView, JobView};
pub use job_step::{JobStepStateView, JobStepView};
pub use node::{NodeStateView, NodeView, RefusedConfigView};
pub use picture::{
    CellView, LaneView, LanesView, OfferView, PairStepView, PairView, PictureView, SeenAttemptView, ShareView,
    SharesView,
};
pub use policy::{BrokenView, DestinationImpactView, LedgerView, PolicyImpactView, PolicyView};
pub use probe::{
    ExtensionsView, JudgementView, NodeProbeView, NodesProbeView, PolicySupportView, ProbeView, ProbedDestinationView,
    ProbedFindingView, ProbedView, SuiteView, VariationView, VersionView,
};
pub use restoration::{AnsweredView, RestorationView};
pub use rollout::{RolloutNodeView, RolloutView, TroubleView};
pub use store_check::{NextSchemaView, NodeSchemaView, StandbyView, StoreCheckView, TableView, WarningView};
pub use tally::TallyView;
pub use token::TokenView;
pub use user::{InvitationView, InvitedView, UserView};
