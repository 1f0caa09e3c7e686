//! A client of the API, and what it may do.

use node::config::ApiScope;
use store::{Grant, Right};
use trace::NextStep;

use crate::api::Problem;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    /// As the log and the audit name it.
    pub(crate) name: String,
    pub(super) grant: Grant,
    has_token: bool,
}

impl Client {
    /// A client on this machine, where no token exists. Pages of other sites run in browsers on this machine as well, so it
    /// may look, but not act, and sees no address.
    pub(super) fn nobody() -> Self {
        let grant = Grant { right: Some(Right::Viewer), metrics: true };
        Self { name: "this machine".to_owned(), grant, has_token: false }
    }

    pub(super) fn holder(name: &str, grant: Grant) -> Self {
        Self { name: format!("token {name}"), grant, has_token: true }
    }

    pub(crate) fn may(&self, right: Right) -> bool {
        self.grant.includes(right)
    }

    pub(crate) fn must(&self, right: Right) -> Result<(), Problem> {
        self.refused(self.may(right), ApiScope::of_right(right))
    }

    pub(super) fn must_read_metrics(&self) -> Result<(), Problem> {
        self.refused(self.grant.metrics, ApiScope::Metrics)
    }

    fn refused(&self, is_allowed: bool, scope: ApiScope) -> Result<(), Problem> {
        let scope = scope.name();
        match (is_allowed, self.has_token) {
            (true, _) => Ok(()),
            (false, true) => Err(Problem::forbidden(format!(
                "this needs the scope {scope}, which {} does not have; an administrator can create another token",
                self.name
            ))),
            (false, false) => Err(Problem::forbidden(format!(
                "this needs a token with the scope {scope}; create one on the gateway with: {}, and send it in the header \
                 Authorization: Bearer TOKEN",
                NextStep::TokenCreate(scope)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_includes_those_before_it() {
        for (index, right) in Right::ALL.into_iter().enumerate() {
            let client = Client::holder("a", Grant { right: Some(right), metrics: false });
            for (other, wanted) in Right::ALL.into_iter().enumerate() {
                assert_eq!(client.must(wanted).is_ok(), other <= index, "{right:?} {wanted:?}");
            }
        }
        let refused = Client::nobody().must(Right::Tracer).unwrap_err();
        assert!(refused.detail().contains("gatepost token create NAME --scope trace"), "{refused:?}");
        assert!(Client::holder("a", Grant { right: None, metrics: true }).must(Right::Viewer).is_err());
    }
}
