//! The person who looks at the console.

use std::net::IpAddr;

use axum::http::HeaderMap;
use node::Node;
use store::{Access as _, Actor, Right, SecretHash, StoreError};

use super::{cookie, place::Caller};

/// A person who has logged in.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) right: Right,
    /// Each form of this person's session carries it.
    pub(crate) csrf: String,
    /// The address that the person's request came from.
    pub(crate) from: IpAddr,
}

impl Person {
    pub(crate) fn may(&self, right: Right) -> bool {
        self.right >= right
    }

    /// For what this person does.
    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.name.clone(), address: Some(self.from) }
    }
}

/// The session whose secret the request carries, whether it is valid or not.
pub(crate) fn session(headers: &HeaderMap, caller: Caller) -> Option<SecretHash> {
    cookie::read(headers, caller.is_https).map(|secret| secret.hash())
}

/// Whether a person has made a request, or an open page by itself. Only the first is a use of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MadeBy {
    Person,
    Page,
}

/// The person whose session that is.
pub(crate) async fn person(
    node: &Node,
    session: Option<SecretHash>,
    caller: Caller,
    made_by: MadeBy,
) -> Result<Option<Person>, StoreError> {
    let Some(session) = session else { return Ok(None) };
    let session = match made_by {
        MadeBy::Person => node.store.session(session).await?,
        MadeBy::Page => node.store.watched_session(session).await?,
    };
    Ok(session.map(|session| Person {
        name: session.user,
        right: session.right,
        csrf: session.csrf,
        from: caller.client,
    }))
}
