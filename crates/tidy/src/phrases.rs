//! Phrases that the guide to plain English avoids, in what people read: documents, texts and documentation in code.

use crate::{
    fault::{Fault, Rule},
    house::House,
    markdown::{self, Document},
    sources::{Part, Source},
    tokens::Kind,
};

pub(crate) fn check(sources: &[Source], documents: &[Document], house: &House) -> Vec<Fault> {
    let of_source = |source: &Source| in_source(source, house.phrases);
    let of_document = |document: &Document| {
        let prose = document.prose().into_iter();
        prose.flat_map(|(line, text)| faults(&document.path, line, &text, house.phrases)).collect::<Vec<_>>()
    };
    let read = sources.iter().filter(|source| source.part == Part::Product && source.krate != "tidy");
    read.flat_map(of_source).chain(documents.iter().flat_map(of_document)).collect()
}

fn in_source(source: &Source, phrases: &[(&str, &str)]) -> Vec<Fault> {
    let texts = source.product.iter().filter_map(|token| match &token.kind {
        Kind::Text(text) => Some((token.line, text.clone())),
        Kind::Doc(text) => Some((token.line, markdown::without_code(text))),
        _ => None,
    });
    texts.flat_map(|(line, text)| faults(&source.path, line, &text, phrases)).collect()
}

fn faults(path: &str, line: usize, text: &str, phrases: &[(&str, &str)]) -> Vec<Fault> {
    let plain = plain(text);
    let found = phrases.iter().filter(|(phrase, _)| has(&plain, phrase));
    found.map(|(phrase, better)| Fault::new(Rule::Phrase, path, line, format!("\"{phrase}\": {better}"))).collect()
}

/// Lower case, words and signs with one space around them; placeholders of `format!` are `0`.
fn plain(text: &str) -> String {
    let mut plain = String::from(" ");
    let mut depth = 0;
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                plain.push('0');
            }
            _ if depth > 0 => {}
            '-' | '\'' | '%' | '_' => plain.push(character),
            _ if character.is_alphanumeric() => plain.extend(character.to_lowercase()),
            _ if character.is_whitespace() => plain.push(' '),
            _ => plain.extend([' ', character, ' ']),
        }
    }
    plain.push(' ');
    plain.split_whitespace().fold(String::from(" "), |words, word| words + word + " ")
}

/// A phrase is whole words; `#` is a number.
fn has(plain: &str, phrase: &str) -> bool {
    match phrase {
        "is no" => is_no(plain),
        "# %" => {
            plain.match_indices(" % ").any(|(at, _)| plain[..at].ends_with(|before: char| before.is_ascii_digit()))
        }
        _ => plain.contains(&format!(" {phrase} ")),
    }
}

/// "is no X" for "is not an X"; "there is no X" and "is no longer" are good English.
fn is_no(plain: &str) -> bool {
    plain.match_indices(" is no ").any(|(at, found)| {
        let before = plain[..at].rsplit(' ').next().unwrap_or_default();
        !["there", "where"].contains(&before) && !plain[at + found.len()..].starts_with("longer ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_as_whole_words() {
        assert!(has(&plain("It goes in a\n    Circle, then"), "goes in a circle"));
        assert!(!has(&plain("manew"), "anew"));
        assert!(has(&plain("{0:.0} % sure"), "# %") && has(&plain("98 %"), "# %") && !has(&plain("a % b 5%"), "# %"));
        assert!(has(&plain("it is no address"), "is no"));
        assert!(!has(&plain("there is no file; it is no longer there"), "is no"));
    }
}
