//! Who asks, and what they may do: tokens of programs, people of the console.

mod attempts;
mod client;
mod cookie;
mod door;
mod person;
mod place;
mod token;

pub(crate) use client::Client;
pub(crate) use door::{Door, Entered, LogIn, PASSWORD_CHARACTERS_MIN, cleared_cookie, password_fault};
pub(crate) use person::{MadeBy, Person, person, session};
pub(crate) use place::{Caller, is_from_here, local_path};
pub(crate) use token::{admit, admit_to_metrics};
pub use token::{create_token, hash, new_token};
