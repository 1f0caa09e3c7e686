//! Every Rust file of the workspace, read once.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::tokens::{self, Token};

/// What a file is compiled into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Below `src`, tests excluded.
    Product,
    /// Below `tests`, or a module for tests only.
    Test,
    /// Below `examples`, `benches` or `fuzz`.
    Tool,
    /// `build.rs`.
    Build,
}

#[derive(Debug)]
pub(crate) struct Source {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    /// The folder of its crate, such as `store`, or `fuzz`.
    pub(crate) krate: String,
    pub(crate) part: Part,
    pub(crate) text: String,
    /// All of the file.
    pub(crate) tokens: Vec<Token>,
    /// Without what is compiled for tests only.
    pub(crate) product: Vec<Token>,
}

impl Source {
    /// Does this file name the dependency in code?
    pub(crate) fn names(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token.word() == Some(word))
    }
}

/// Reads `crates/*` and `fuzz` below this folder.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut paths = Vec::new();
    for folder in ["crates", "fuzz"].map(|folder| root.join(folder)).iter().filter(|folder| folder.exists()) {
        files(folder, "rs", &mut paths)?;
    }
    let mut sources = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let path = relative(&path, root);
        let tokens = tokens::read(&text).map_err(|error| anyhow::anyhow!("{path}: not Rust: {error}"))?;
        let product = without_tests(&tokens);
        let (krate, part) = (crate_of(&path), part_of(&path));
        sources.push(Source { path, krate, part, text, tokens, product });
    }
    mark_test_modules(&mut sources);
    Ok(sources)
}

/// All files with this ending, in order, but for hidden and built ones.
pub(crate) fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = !name.starts_with('.') && !["target", "corpus", "artifacts", "node_modules"].contains(&&*name);
        if path.is_dir() && is_ours {
            files(&path, ending, found)?;
        } else if path.extension().is_some_and(|own| own == ending) && is_ours {
            found.push(path);
        }
    }
    Ok(())
}

/// What is in a folder, in order.
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

pub(crate) fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn crate_of(path: &str) -> String {
    path.strip_prefix("crates/").unwrap_or(path).split('/').next().unwrap_or_default().to_owned()
}

fn part_of(path: &str) -> Part {
    let below = path.strip_prefix("crates/").and_then(|path| path.split_once('/')).map(|(_, below)| below);
    match below {
        Some("build.rs") => Part::Build,
        Some(below) if below.starts_with("src/") => Part::Product,
        Some(below) if below.starts_with("tests/") => Part::Test,
        _ => Part::Tool,
    }
}

/// Is there an attribute here that leaves its item to tests? Its length with all further attributes, if so.
fn test_attribute(tokens: &[Token], start: usize) -> Option<usize> {
    let is_attribute = |at: usize| tokens[at].is('#') && tokens.get(at + 1).is_some_and(|next| next.is('['));
    let mut at = start;
    let mut is_for_tests = false;
    while at < tokens.len() && is_attribute(at) {
        let end = tokens::closing(tokens, at + 1);
        let words: Vec<&str> = tokens[at..end].iter().filter_map(Token::word).collect();
        is_for_tests |= words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not");
        at = end + 1;
    }
    is_for_tests.then_some(at - start)
}

fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut product = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match test_attribute(tokens, at) {
            Some(length) => at = tokens::end_of_item(tokens, at + length) + 1,
            None => {
                product.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    product
}

/// `#[cfg(test)] mod tests;` makes a test of the file that it names, and of all below.
fn mark_test_modules(sources: &mut [Source]) {
    let mut roots = BTreeSet::new();
    for source in &*sources {
        for start in 0..source.tokens.len() {
            let Some(length) = test_attribute(&source.tokens, start) else { continue };
            let end = tokens::end_of_item(&source.tokens, start + length);
            if let [.., keyword, name, last] = &source.tokens[start..=end]
                && (keyword.word(), last.is(';')) == (Some("mod"), true)
            {
                roots.insert(format!("{}{}", children_folder(&source.path), name.word().unwrap_or_default()));
            }
        }
    }
    for source in sources {
        let is_below = |root: &String| source.path.strip_prefix(root).is_some_and(|rest| rest.starts_with(['/', '.']));
        if roots.iter().any(is_below) {
            source.part = Part::Test;
        }
    }
}

/// The folder of the files that this file's `mod` items name, with `/` at its end.
pub(crate) fn children_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => format!("{folder}/"),
        _ => format!("{folder}/{}/", file.trim_end_matches(".rs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_for_tests_are_left_out() {
        let text = "#[cfg(test)] #[allow(x)] mod tests { fn a() {} } fn b() {} #[cfg(not(test))] fn c() {} #[cfg(test)] use d;";
        let product = without_tests(&tokens::read(text).unwrap());
        let words: Vec<_> = product.iter().filter_map(Token::word).collect();
        assert_eq!(words, ["fn", "b", "cfg", "not", "test", "fn", "c"]);
    }
}
