//! The modules of one crate: what each defines, what it brings in, and which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    sources::{Part, Source},
    tokens::{self, Kind, Token},
    uses::{self, Use},
};

/// The way to a module from the root of its crate.
pub(crate) type Way = Vec<String>;

/// Re-exports that lead on and on are given up after so many steps.
const STEPS_MAX: usize = 16;

const ITEMS: [&str; 9] = ["struct", "enum", "union", "trait", "fn", "const", "static", "type", "macro_rules"];

#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    pub(crate) uses: Vec<Use>,
    /// Without its `use` items and the modules inside.
    pub(crate) tokens: Vec<Token>,
    items: BTreeSet<String>,
}

impl Module {
    /// Does its code say this name?
    pub(crate) fn says(&self, name: &str) -> bool {
        self.tokens.iter().any(|token| token.word() == Some(name))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Modules(pub(crate) BTreeMap<Way, Module>);

impl Modules {
    /// Of the product's code in this crate.
    pub(crate) fn of_crate(krate: &str, sources: &[Source]) -> Self {
        let mut modules = Self::default();
        for source in sources.iter().filter(|source| source.krate == krate && source.part == Part::Product) {
            modules.add(way(&source.path), &source.path, &source.product);
        }
        modules
    }

    fn add(&mut self, way: Way, file: &str, tokens: &[Token]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut at = 0;
        let mut depth = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1).and_then(Token::word);
            match (&token.kind, next) {
                (Kind::Word(word), Some(name)) if word == "mod" && tokens.get(at + 2).is_some_and(|t| t.is('{')) => {
                    let end = tokens::closing(tokens, at + 2);
                    self.add(way.iter().cloned().chain([name.to_owned()]).collect(), file, &tokens[at + 3..end]);
                    at = end + 1;
                    continue;
                }
                (Kind::Word(word), Some(_)) if word == "use" => {
                    let end = uses::end(tokens, at);
                    module.uses.extend(uses::read_item(tokens, at));
                    at = end + 1;
                    continue;
                }
                (Kind::Word(word), _) if depth == 0 && ITEMS.contains(&word.as_str()) => {
                    let name = next.or_else(|| tokens.get(at + 2).and_then(Token::word));
                    module.items.extend(name.map(str::to_owned));
                }
                (Kind::Open(_), _) => depth += 1,
                (Kind::Close(_), _) => depth -= 1,
                _ => {}
            }
            module.tokens.push(token.clone());
            at += 1;
        }
        self.0.insert(way, module);
    }

    /// A path as written in this module, from the root of the crate. `None`: it leads into another crate.
    pub(crate) fn absolute<S: AsRef<str>>(&self, way: &[String], path: &[S]) -> Option<Way> {
        let mut base = way.to_vec();
        let mut words = path.iter().map(AsRef::as_ref).peekable();
        match words.peek() {
            Some(&"crate") => base.clear(),
            Some(&("self" | "super")) => {}
            Some(first) => return self.absolute_by_name(way, first, path),
            None => return None,
        }
        while let Some(word) = words.next_if(|word| ["crate", "self", "super"].contains(word)) {
            if word == "super" {
                base.pop()?;
            }
        }
        base.extend(words.map(str::to_owned));
        Some(base)
    }

    fn absolute_by_name<S: AsRef<str>>(&self, way: &[String], first: &str, path: &[S]) -> Option<Way> {
        let rest = path.iter().skip(1).map(|word| word.as_ref().to_owned());
        let child: Way = way.iter().cloned().chain([first.to_owned()]).collect();
        if self.0.contains_key(&child) {
            return Some(child.into_iter().chain(rest).collect());
        }
        let used = self.0.get(way)?.uses.iter().find(|used| used.name.as_deref() == Some(first))?;
        // `use bytes::{self}` would bring itself in.
        if used.path.first().is_some_and(|own| own == first) {
            return None;
        }
        Some(self.absolute(way, &used.path)?.into_iter().chain(rest).collect())
    }

    /// The file that defines what this path from the root names. `None`: the path names a module, or another crate's item.
    pub(crate) fn file(&self, path: &[String]) -> Option<&str> {
        self.file_within(path, STEPS_MAX)
    }

    fn file_within(&self, path: &[String], steps: usize) -> Option<&str> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (way, rest) = path.split_at(length);
        let module = self.0.get(way)?;
        let (name, below) = rest.split_first()?;
        if module.items.contains(name) || steps == 0 {
            return Some(&module.file);
        }
        if let Some(used) = module.uses.iter().find(|used| used.name.as_ref() == Some(name)) {
            let target: Way = self.absolute(way, &used.path)?.into_iter().chain(below.iter().cloned()).collect();
            return self.file_within(&target, steps - 1);
        }
        for glob in module.uses.iter().filter(|used| used.name.is_none()) {
            let Some(target) = self.absolute(way, &glob.path) else { continue };
            if self.knows(&target, name, steps - 1) {
                let target: Way = target.into_iter().chain(rest.iter().cloned()).collect();
                return self.file_within(&target, steps - 1);
            }
        }
        Some(&module.file)
    }

    /// Is there such a name in this module, its own or brought in?
    pub(crate) fn knows(&self, way: &[String], name: &str, steps: usize) -> bool {
        let Some(module) = self.0.get(way) else { return false };
        let is_named = module.uses.iter().any(|used| used.name.as_deref() == Some(name));
        let mut globs = module.uses.iter().filter(|used| used.name.is_none());
        module.items.contains(name)
            || is_named
            || (steps > 0
                && globs.any(|glob| {
                    self.absolute(way, &glob.path).is_some_and(|target| self.knows(&target, name, steps - 1))
                }))
    }
}

/// `crates/net/src/tls/mod.rs` is `tls`.
fn way(path: &str) -> Way {
    let below = path.split_once("/src/").map_or(path, |(_, below)| below).trim_end_matches(".rs");
    let mut way: Way = below.split('/').map(str::to_owned).collect();
    let is_folder = matches!(way.last().map(String::as_str), Some("mod")) || way == ["lib"] || way == ["main"];
    if is_folder {
        way.pop();
    }
    way
}
