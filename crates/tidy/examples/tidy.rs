//! Prints what breaks the rules of this workspace, in a second, while one works on it.
//!
//! `cargo run -p gatepost-tidy --example tidy`. With `--unrevised` it prints the files that have phrases to avoid, as
//! `crates/tidy/unrevised.txt` lists them.

use std::{collections::BTreeSet, path::Path};

use gatepost_tidy::{HOUSE, House, Rule, check};

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    if std::env::args().any(|argument| argument == "--unrevised") {
        let faults = check(&root, &House { unrevised: "", ..HOUSE })?;
        let files: BTreeSet<_> = faults.iter().filter(|fault| fault.rule == Rule::Phrase).map(|f| &f.place).collect();
        files.iter().for_each(|file| println!("{file}"));
        return Ok(());
    }
    let faults = check(&root, &HOUSE)?;
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("{} faults", faults.len());
    Ok(())
}
