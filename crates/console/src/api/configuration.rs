//! `/api/v1/configuration`, `/api/v1/policies`: the settings that hold, as `gatepost config show` and `gatepost policy list`
//! print them. Secrets are not in it.

use insight::views::PolicyView;
use node::config::Config;
use protocol::tls::TlsPolicy;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::Right;

use super::{
    listing::{self, PAGE},
    operation::{Asked, Operation},
    problem::{Kind, Problem},
    reply::Reply,
};

const POLICIES: &str = "/api/v1/policies";

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        "/api/v1/configuration",
        "showConfiguration",
        "Show the settings in force on the node that answers, with all defaults filled in",
        |asked| Box::pin(show(asked)),
    )
    .needs(Right::Administrator)
    .gives::<Configuration>()
    .commands(&["config show"]),
    Operation::get(
        POLICIES,
        "listPolicies",
        "List the TLS versions and cipher suites of each policy, and the connectors that use it",
        |asked| Box::pin(policies(asked)),
    )
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Policies>()
    .fails(&[Kind::NotFound])
    .commands(&["policy list"]),
];

#[derive(Serialize, JsonSchema)]
struct Configuration {
    /// The node that answers.
    node: String,
    /// Sections and their settings, as in the file. A setting that may have a secret is withheld.
    #[schemars(with = "std::collections::BTreeMap<String, Value>")]
    settings: Value,
}

#[derive(Serialize, JsonSchema)]
struct Policies {
    policies: Vec<PolicyView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

async fn show(Asked { node, .. }: Asked) -> Result<Reply, Problem> {
    let settings = node.config.load().without_secrets().map_err(|error| Problem::unreadable(&error))?;
    let settings = serde_json::to_value(settings).map_err(|error| Problem::unreadable(&error))?;
    Reply::json(&Configuration { node: node.name.clone(), settings })
}

async fn policies(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let config = node.config.load();
    let all = config.policies().map(|policy| view(policy, &config)).collect();
    let (policies, next) = listing::page(POLICIES, &query, all, |policy| policy.name.clone())?;
    Reply::json(&Policies { policies, next })
}

fn view(policy: TlsPolicy, config: &Config) -> PolicyView {
    let users = config.connectors.iter().filter(|connector| connector.tls_policy == policy.name);
    let users = users.map(|connector| connector.name.clone()).collect();
    PolicyView::new(policy, users)
}
