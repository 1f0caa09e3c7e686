//! Prints the field cases with the first finding of each, and the score: `cargo run --example field`.

#![allow(clippy::panic, dead_code, reason = "shared with the test, which asserts more")]

#[path = "../tests/field/score.rs"]
mod score;

use score::{Score, rows};

fn main() {
    let rows = rows();
    rows.iter().for_each(|row| println!("{row}"));
    println!("{}", Score::of(&rows));
}
