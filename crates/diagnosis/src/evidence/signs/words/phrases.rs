//! Finds phrases in a text.

use std::sync::LazyLock;

use super::{
    POLICIES, Words,
    names::without_names,
    table::{Phrases, TABLES},
};
use crate::evidence::signs::sign::{Sign, Signs};
use aho_corasick::{AhoCorasick, MatchKind};

/// A phrase ends in this where more letters may follow: `greylist*`.
const OPEN_END: char = '*';

struct Found {
    start: usize,
    end: usize,
    signs: &'static [Sign],
    is_weak: bool,
}

/// The signs of all phrases in a text; a phrase within a longer one does not count.
pub(super) fn signs(words: &Words<'_>) -> Signs {
    let text = without_codes(&without_names(words.text), words);
    let (rows, searcher) = &*SEARCHER;
    let mut found: Vec<Found> = Vec::new();
    for hit in searcher.find_overlapping_iter(&text) {
        let (row, phrase) = rows[hit.pattern().as_usize()];
        let is_whole = is_whole(text.as_bytes(), hit.start(), hit.end(), phrase.ends_with(OPEN_END));
        if is_whole && row.by.holds(words.speaker) && row.when.holds(words.phase) {
            found.push(Found { start: hit.start(), end: hit.end(), signs: row.signs, is_weak: row.is_weak });
        }
    }
    let is_within = |one: &Found| {
        let length = one.end - one.start;
        found.iter().any(|other| other.start <= one.start && one.end <= other.end && other.end - other.start > length)
    };
    let told = found.iter().filter(|one| !is_within(one));
    let (weak, strong): (Vec<&Found>, Vec<&Found>) = told.partition(|one| one.is_weak);
    let all = |found: &[&Found]| found.iter().fold(Signs::default(), |signs, one| signs.union(Signs::of(one.signs)));
    let signs = weighed(all(&strong));
    let is_by_policy = signs.without(Sign::PolicyRejection).without_all(&POLICIES) == Signs::default();
    if is_by_policy { signs.union(all(&weak)) } else { signs }
}

/// Each line of a reply begins with its codes, and logs join the lines.
fn without_codes(text: &str, words: &Words<'_>) -> String {
    let Some(code) = words.code else { return text.to_owned() };
    let codes = [Some(code.to_string()), words.enhanced.map(|enhanced| enhanced.to_string())];
    let is_code = |word: &str| {
        let rest = codes.iter().flatten().fold(word.trim_matches('#'), |word, code| {
            word.strip_prefix(code.as_str()).unwrap_or(word).trim_start_matches('-')
        });
        rest.is_empty() && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    text.split(' ').filter(|word| !is_code(word)).collect::<Vec<_>>().join(" ")
}

/// `unknown`, `does not exist` and `relay denied` may be about the sender or this host, if they are named.
fn weighed(signs: Signs) -> Signs {
    if signs.any(&[Sign::SenderRejected, Sign::HeloRejected, Sign::ReverseDnsRejected]) {
        return signs.without(Sign::RecipientUnknown).without(Sign::AuthenticationRequired);
    }
    signs
}

/// Neither a word's end nor its beginning.
fn is_whole(text: &[u8], start: usize, end: usize, is_open: bool) -> bool {
    let joins = |a: Option<&u8>, b: Option<&u8>| {
        a.zip(b).is_some_and(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
    };
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    let last = end.checked_sub(1).and_then(|at| text.get(at));
    !joins(before, text.get(start)) && (is_open || !joins(last, text.get(end)))
}

type Rows = Vec<(&'static Phrases, &'static str)>;

static SEARCHER: LazyLock<(Rows, AhoCorasick)> = LazyLock::new(|| {
    let rows: Rows = TABLES
        .iter()
        .flat_map(|table| table.iter())
        .flat_map(|row| row.texts.iter().map(move |text| (row, *text)))
        .collect();
    let searcher = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(rows.iter().map(|(_, text)| text.trim_end_matches(OPEN_END)));
    // The phrases are few and fixed: a test has built them.
    let searcher = searcher.unwrap_or_else(|error| unreachable!("{error}"));
    (rows, searcher)
});
