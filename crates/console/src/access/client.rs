//! A client of the API, and what it may do.

use std::net::IpAddr;

use node::config::ApiScope;
use store::{Actor, Grant, Right};
use trace::NextStep;

use crate::api::Problem;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    /// As the log and the audit name it.
    pub(crate) name: String,
    pub(super) grant: Grant,
    has_token: bool,
    /// Where its request came from.
    from: IpAddr,
}

impl Client {
    /// A client on this machine, where no token exists. Pages of other sites run in browsers on this machine as well, so it
    /// may look, but not act, and sees no address.
    pub(super) fn nobody(from: IpAddr) -> Self {
        let grant = Grant { right: Some(Right::Viewer), metrics: true };
        Self { name: "this machine".to_owned(), grant, has_token: false, from }
    }

    pub(super) fn holder(name: &str, grant: Grant, from: IpAddr) -> Self {
        Self { name: format!("token {name}"), grant, has_token: true, from }
    }

    /// For what it does.
    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.name.clone(), address: Some(self.from) }
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

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_right_includes_those_before_it() {
        for (index, right) in Right::ALL.into_iter().enumerate() {
            let client = Client::holder("a", Grant { right: Some(right), metrics: false }, FROM);
            for (other, wanted) in Right::ALL.into_iter().enumerate() {
                assert_eq!(client.must(wanted).is_ok(), other <= index, "{right:?} {wanted:?}");
            }
        }
        let refused = Client::nobody(FROM).must(Right::Tracer).unwrap_err();
        assert!(refused.detail().contains("gatepost token create NAME --scope trace"), "{refused:?}");
        assert!(Client::holder("a", Grant { right: None, metrics: true }, FROM).must(Right::Viewer).is_err());
    }
}
