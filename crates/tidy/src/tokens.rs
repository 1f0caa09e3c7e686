//! Rust source as one flat list of tokens with line numbers.
//!
//! Tokens are enough for every rule, and they see into macros, which a syntax tree does not.

use std::mem::take;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Word(String),
    Sign(char),
    /// A string literal, without its quotes and escapes.
    Text(String),
    /// `///` and `//!`.
    Doc(String),
    Open(char),
    Close(char),
    /// Numbers, characters, lifetimes, byte strings.
    Other,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, sign: char) -> bool {
        matches!(self.kind, Kind::Sign(own) | Kind::Open(own) | Kind::Close(own) if own == sign)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The tokens of a file, or why it is not Rust.
pub(crate) fn read(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| error.to_string())?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(join_documentation(tokens))
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut is_lifetime = false;
    for tree in stream {
        let line = tree.span().start().line;
        let kind = match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                tokens.push(Token { kind: Kind::Open(open), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { kind: Kind::Close(close), line: group.span_close().end().line });
                continue;
            }
            TokenTree::Ident(_) if take(&mut is_lifetime) => Kind::Other,
            TokenTree::Ident(word) => Kind::Word(word.to_string()),
            TokenTree::Punct(sign) => {
                is_lifetime = sign.as_char() == '\'' && sign.spacing() == Spacing::Joint;
                Kind::Sign(sign.as_char())
            }
            TokenTree::Literal(literal) => unquoted(&literal.to_string()).map_or(Kind::Other, Kind::Text),
        };
        tokens.push(Token { kind, line });
    }
}

/// The content of a string literal; escapes become what they stand for, or a space.
fn unquoted(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, character == '\\') {
            (_, false) => text.push(character),
            (_, true) => match rest.next() {
                Some('\n') => while rest.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped @ ('"' | '\'' | '\\')) => text.push(escaped),
                _ => text.push(' '),
            },
        }
    }
    Some(text)
}

/// `#[doc = "…"]`, which the lexer makes of `///`, becomes one token for all lines in succession.
fn join_documentation(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let Some((text, length)) = documentation(&tokens[at..]) else {
            joined.push(tokens[at].clone());
            at += 1;
            continue;
        };
        match joined.last_mut() {
            Some(Token { kind: Kind::Doc(before), .. }) => {
                before.push('\n');
                before.push_str(text);
            }
            _ => joined.push(Token { kind: Kind::Doc(text.to_owned()), line: tokens[at].line }),
        }
        at += length;
    }
    joined
}

fn documentation(tokens: &[Token]) -> Option<(&str, usize)> {
    let signs = if tokens.get(1)?.is('!') { 2 } else { 1 };
    let is_attribute = tokens[0].is('#') && tokens.get(signs)?.is('[') && tokens.get(signs + 1)?.word() == Some("doc");
    match &tokens.get(signs + 3)?.kind {
        Kind::Text(text) if is_attribute && tokens.get(signs + 2)?.is('=') => Some((text, signs + 5)),
        _ => None,
    }
}

/// The place of the token that closes what `open` opens.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) if depth <= 1 => return place,
            Kind::Close(_) => depth -= 1,
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// The place of the token that ends the item at `start`: its closing brace, or a semicolon.
pub(crate) fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut place = start;
    while let Some(token) = tokens.get(place) {
        match token.kind {
            Kind::Open('{') => return closing(tokens, place),
            Kind::Open(_) => place = closing(tokens, place),
            Kind::Sign(';') => return place,
            Kind::Close(_) => return place.saturating_sub(1),
            _ => {}
        }
        place += 1;
    }
    tokens.len().saturating_sub(1)
}

/// `a::b::c` that begins at this place, if a path begins there: its words.
pub(crate) fn path(tokens: &[Token], start: usize) -> Option<Vec<&str>> {
    let first = tokens.get(start)?.word()?;
    let is_continued = start > 0 && (tokens[start - 1].is(':') && start > 1 && tokens[start - 2].is(':'));
    let is_field = start > 0 && tokens[start - 1].is('.');
    if is_continued || is_field {
        return None;
    }
    let mut words = vec![first];
    let mut at = start + 1;
    while let [colon, second, next, ..] = tokens.get(at..)? {
        let Some(word) = next.word().filter(|_| colon.is(':') && second.is(':')) else { break };
        words.push(word);
        at += 3;
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_quotes_escapes_and_line_ends() {
        let tokens = read("f(\"a \\\n   b\\n\", r#\"c\"#, b\"d\", 'e', \"\\\"\")").unwrap();
        let texts: Vec<_> =
            tokens.iter().filter_map(|t| if let Kind::Text(t) = &t.kind { Some(t.as_str()) } else { None }).collect();
        assert_eq!(texts, ["a b ", "c", "\""]);
    }

    #[test]
    fn documentation_is_one_token() {
        let tokens = read("//! a\n//! b\n/// c\nfn f<'a>() {}").unwrap();
        assert_eq!(tokens[0].kind, Kind::Doc(" a\n b\n c".to_owned()));
        assert_eq!(tokens[1].word(), Some("fn"));
    }

    #[test]
    fn paths_are_read_from_their_beginning_only() {
        let tokens = read("std::fs::read(x.y)").unwrap();
        assert_eq!(path(&tokens, 0), Some(vec!["std", "fs", "read"]));
        assert_eq!(path(&tokens, 3), None);
    }
}
