//! Field cases: files from public threads whose cause the people involved established.

#![allow(clippy::panic, dead_code, reason = "a test's helper fails the test, and an example shares it")]

mod score;

use score::{Row, Score, rows};

#[test]
fn corpus_field_cases_get_the_cause_that_was_established() {
    let rows = rows();
    rows.iter().for_each(|row| println!("{row}"));
    let score = Score::of(&rows);
    println!("{score}");
    let named = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(named(Row::is_confidently_wrong), [""; 0], "a wrong cause costs an operator a day");
    assert_eq!(named(Row::is_all_clear), [""; 0], "mail failed in each of these files");
    assert!(score.acceptable_share() >= 0.95 && score.true_share() >= 0.85, "{score}");
}
