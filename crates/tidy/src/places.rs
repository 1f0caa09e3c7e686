//! Clock, randomness, files, sockets and output are used in their places only.

use crate::{
    fault::{Fault, Rule},
    house::{House, Sense, Where},
    sources::{Part, Source},
    tokens::{self, Token},
    uses,
};

pub(crate) fn check(sources: &[Source], house: &House) -> Vec<Fault> {
    let product = sources.iter().filter(|source| source.part == Part::Product);
    product.flat_map(|source| house.senses.iter().filter_map(|sense| breach(source, sense))).collect()
}

/// The first use of this sense in a file that must not have it.
fn breach(source: &Source, sense: &Sense) -> Option<Fault> {
    let is_among = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    let is_allowed = match sense.places {
        Where::Only(places) => is_among(places),
        Where::Not(places) => !is_among(places),
    };
    if is_allowed {
        return None;
    }
    let (word, line) = first_use(&source.product, sense.words)?;
    Some(Fault::new(Rule::Place, &source.path, line, format!("uses {word}: {}", sense.rule)))
}

fn first_use(tokens: &[Token], words: &[&'static str]) -> Option<(&'static str, usize)> {
    let in_code = (0..tokens.len()).filter_map(|at| {
        let path = tokens::path(tokens, at)?;
        let is_macro = tokens.get(at + path.len() * 3 - 2).is_some_and(|next| next.is('!'));
        words.iter().find(|word| has(&path, is_macro, word)).map(|word| (*word, tokens[at].line))
    });
    let in_uses = uses::read(tokens).into_iter().filter_map(|item| {
        let path: Vec<&str> = item.path.iter().map(String::as_str).collect();
        words.iter().find(|word| has(&path, false, word)).map(|word| (*word, item.line))
    });
    in_code.chain(in_uses).min_by_key(|(_, line)| *line)
}

/// Is `Instant::now` in this path, or is it the macro `print!`?
fn has(path: &[&str], is_macro: bool, wanted: &str) -> bool {
    if let Some(name) = wanted.strip_suffix('!') {
        return is_macro && path.last() == Some(&name);
    }
    let wanted: Vec<&str> = wanted.split("::").collect();
    path.windows(wanted.len()).any(|part| part == wanted)
}
