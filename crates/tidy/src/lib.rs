//! Checks the source for what no compiler checks.
//!
//! Each rule is a function over a folder with a workspace in it; [`check`] runs them all. `house.rs` describes this house
//! (layers, places, words), `exceptions.rs` names what breaks a rule for now, with the reason. An exception that nothing
//! needs any more is a fault too, so the list only shrinks. The crate imports no other crate of the workspace: it
//! compiles in seconds, and a broken house cannot stop its own inspection.

mod causes;
mod circles;
mod crates;
mod exceptions;
mod fault;
mod house;
mod links;
mod markdown;
mod modules;
mod phrases;
mod places;
mod sizes;
mod sources;
mod tokens;
mod uses;

use std::path::Path;

pub use fault::{Exception, Fault, Rule};
pub use house::{HOUSE, House};

/// All faults of the workspace in this folder, but for the exceptions of the house.
pub fn check(root: &Path, house: &House) -> anyhow::Result<Vec<Fault>> {
    let sources = sources::read(root)?;
    let documents = markdown::read(root)?;
    let mut faults = crates::check(root, &sources, house)?;
    faults.extend(sizes::check(&sources));
    faults.extend(places::check(&sources, house));
    faults.extend(circles::check(&sources, house.exceptions));
    faults.extend(causes::check(&sources, &documents));
    faults.extend(phrases::check(&sources, &documents, house));
    faults.extend(links::check(root, &documents));
    Ok(fault::without_exceptions(faults, house.exceptions))
}
