//! Prints the field cases with the first finding of each, and the score; or what is found in files: `field [FILE…]`.

#![allow(clippy::panic, dead_code, reason = "shared with the test, which asserts more")]

#[path = "../tests/field/score.rs"]
mod score;

use std::path::Path;

use score::{Score, found, rows};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    for file in &files {
        println!("{file}");
        found(Path::new(file)).iter().for_each(|line| println!("  {line}"));
    }
    if files.is_empty() {
        let rows = rows();
        rows.iter().for_each(|row| println!("{row}"));
        println!("{}", Score::of(&rows));
    }
}
