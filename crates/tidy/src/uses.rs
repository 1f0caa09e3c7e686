//! `use` items, each name that they bring apart.

use std::iter::Peekable;

use crate::tokens::{self, Kind, Token};

/// One name that a `use` item brings in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Use {
    /// As written: `crate`, `super`, `self` and names of crates are not resolved.
    pub(crate) path: Vec<String>,
    /// `None` for `*`.
    pub(crate) name: Option<String>,
    /// `pub`, in any form.
    pub(crate) is_public: bool,
    pub(crate) line: usize,
}

/// All of them, in whatever block they are.
pub(crate) fn read(tokens: &[Token]) -> Vec<Use> {
    let starts = (0..tokens.len()).filter(|start| tokens[*start].word() == Some("use"));
    starts.flat_map(|start| read_item(tokens, start)).collect()
}

/// Those of the item whose `use` is here.
pub(crate) fn read_item(tokens: &[Token], start: usize) -> Vec<Use> {
    // `impl Trait + use<'a>` names what a type captures.
    if tokens.get(start + 1).is_some_and(|next| next.is('<')) {
        return Vec::new();
    }
    let is_public = is_public(&tokens[..start]);
    let line = tokens[start].line;
    let mut uses = Vec::new();
    let mut rest = tokens[start + 1..=end(tokens, start)].iter().peekable();
    tree(&mut rest, &mut Vec::new(), &mut |path, name| uses.push(Use { path, name, is_public, line }));
    uses
}

/// The semicolon: braces of a `use` item do not end it.
pub(crate) fn end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].kind {
            Kind::Sign(';') => return at,
            Kind::Open(_) => at = tokens::closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len() - 1
}

fn is_public(before: &[Token]) -> bool {
    match before {
        [.., last] if last.word() == Some("pub") => true,
        [.., word, open, _, close] => word.word() == Some("pub") && open.is('(') && close.is(')'),
        _ => false,
    }
}

/// Reads one tree, up to the comma, brace or semicolon that ends it.
fn tree<'a>(
    rest: &mut Peekable<impl Iterator<Item = &'a Token>>,
    path: &mut Vec<String>,
    found: &mut impl FnMut(Vec<String>, Option<String>),
) {
    let length = path.len();
    while let Some(token) = rest.next() {
        match &token.kind {
            Kind::Word(word) => path.push(word.clone()),
            Kind::Sign('*') => {
                found(path.clone(), None);
                path.truncate(length);
                return;
            }
            Kind::Open('{') => {
                while rest.peek().is_some_and(|next| !next.is('}')) {
                    tree(rest, path, found);
                    rest.next_if(|next| next.is(','));
                }
                rest.next();
                path.truncate(length);
                return;
            }
            _ => {}
        }
        if rest.peek().is_none_or(|next| next.is(',') || next.is('}') || next.is(';')) {
            break;
        }
    }
    if let Some((path, name)) = named(path) {
        found(path, Some(name));
    }
    path.truncate(length);
}

/// `a::b as c` is `a::b` by the name `c`; `a::self` is `a`.
fn named(words: &[String]) -> Option<(Vec<String>, String)> {
    let (path, name) = match words {
        [path @ .., word, name] if word == "as" => (path, name.clone()),
        [.., last] => (words, last.clone()),
        [] => return None,
    };
    match path {
        [path @ .., word] if word == "self" && !path.is_empty() => {
            let own = path.last()?.clone();
            Some((path.to_vec(), if name == "self" { own } else { name }))
        }
        _ => Some((path.to_vec(), name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_taken_apart() {
        let tokens =
            tokens::read("pub(crate) use a::{b, c::{self, d as e, *}, f::{self as g}}; fn x() { use super::y; }")
                .unwrap();
        let uses: Vec<_> =
            read(&tokens).iter().map(|u| (u.path.join("::"), u.name.clone().unwrap_or_default())).collect();
        let expected = [("a::b", "b"), ("a::c", "c"), ("a::c::d", "e"), ("a::c", ""), ("a::f", "g"), ("super::y", "y")];
        assert_eq!(uses, expected.map(|(path, name)| (path.to_owned(), name.to_owned())));
        assert!(read(&tokens)[0].is_public && !read(&tokens)[5].is_public);
    }
}
