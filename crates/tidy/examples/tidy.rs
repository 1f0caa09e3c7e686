//! Prints what breaks the rules of this workspace, in a second, while one works on it.
//!
//! `cargo run -p gatepost-tidy --example tidy [FOLDER]`. With `--unrevised` it prints the files that have phrases to
//! avoid, as `crates/tidy/unrevised.txt` lists them.

use std::{collections::BTreeSet, env, path::PathBuf};

use gatepost_tidy::{HOUSE, House, Rule, check};

fn main() -> anyhow::Result<()> {
    let (options, folders): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = folders.first().map_or(own, PathBuf::from).canonicalize()?;
    if options.contains(&"--unrevised".to_owned()) {
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
