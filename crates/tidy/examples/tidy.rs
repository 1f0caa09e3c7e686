//! Prints what breaks the rules of this workspace, in a second, while one works on it.
//!
//! `cargo run -p gatepost-tidy --example tidy [FOLDER]`

use std::{env, path::PathBuf};

use gatepost_tidy::{HOUSE, check};

fn main() -> anyhow::Result<()> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = env::args().nth(1).map_or(own, PathBuf::from).canonicalize()?;
    let faults = check(&root, &HOUSE)?;
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("{} faults", faults.len());
    Ok(())
}
