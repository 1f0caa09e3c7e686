//! The person who looks at the console.

use axum::http::HeaderMap;
use node::Node;
use store::Right;

/// A person who has logged in.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) right: Right,
    /// Each form of this person's session carries it.
    pub(crate) csrf: String,
}

impl Person {
    pub(crate) fn may(&self, right: Right) -> bool {
        self.right >= right
    }
}

/// The person whose session the request belongs to.
pub(crate) async fn person(_node: &Node, _headers: &HeaderMap) -> Option<Person> {
    None
}
