//! Files begin with what they are for; functions and files stay short.

use crate::{
    fault::{Fault, Rule},
    sources::{Part, Source},
    tokens::{self, Token},
};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

pub(crate) fn check(sources: &[Source]) -> Vec<Fault> {
    sources.iter().flat_map(|source| header(source).into_iter().chain(functions(source)).chain(file(source))).collect()
}

fn header(source: &Source) -> Option<Fault> {
    let is_there = source.text.starts_with("//! ");
    let text = "begins without a `//!` line; say in one sentence what this file is for".to_owned();
    (!is_there).then(|| Fault::new(Rule::Header, &source.path, 1, text))
}

fn functions(source: &Source) -> Vec<Fault> {
    let tokens = &source.tokens;
    let mut faults = Vec::new();
    for (start, pair) in tokens.windows(2).enumerate() {
        let (Some("fn"), Some(name)) = (pair[0].word(), pair[1].word()) else { continue };
        let lines = tokens[tokens::end_of_item(tokens, start)].line - pair[0].line + 1;
        if lines > FUNCTION_LINES_MAX {
            let text = format!("{lines} lines, at most {FUNCTION_LINES_MAX}; split it where its meaning changes");
            faults.push(Fault::new(Rule::LongFunction, format!("{}::{name}", source.path), pair[0].line, text));
        }
    }
    faults
}

fn file(source: &Source) -> Option<Fault> {
    let lines = source.text.lines().count() - test_lines(&source.tokens);
    let is_long = source.part != Part::Test && lines > FILE_LINES_MAX;
    let text = format!("{lines} lines outside its tests, at most {FILE_LINES_MAX}; move a part to a file of its own");
    is_long.then(|| Fault::new(Rule::LongFile, &source.path, None, text))
}

/// Lines of `mod tests { … }` and its like.
fn test_lines(tokens: &[Token]) -> usize {
    let mut lines = 0;
    for (start, window) in tokens.windows(7).enumerate() {
        let words = [window[2].word(), window[4].word()];
        if window[0].is('#') && words == [Some("cfg"), Some("test")] {
            lines += tokens[tokens::end_of_item(tokens, start + 7)].line - window[0].line + 1;
        }
    }
    lines
}
