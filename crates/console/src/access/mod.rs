//! Who asks, and what they may do: tokens of programs, people of the console.

mod person;
mod token;

pub(crate) use person::{Person, person};
pub use token::hash;
pub(crate) use token::{admit, admit_to_metrics};
