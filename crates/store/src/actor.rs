//! Who makes a change.

use std::net::IpAddr;

/// Who does something, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    pub name: String,
    /// `None`: on the command line.
    pub address: Option<IpAddr>,
}

impl From<&str> for Actor {
    fn from(name: &str) -> Self {
        Self::from(name.to_owned())
    }
}

impl From<&String> for Actor {
    fn from(name: &String) -> Self {
        Self::from(name.to_owned())
    }
}

impl From<&Actor> for Actor {
    fn from(actor: &Actor) -> Self {
        actor.clone()
    }
}

impl From<String> for Actor {
    fn from(name: String) -> Self {
        Self { name, address: None }
    }
}
