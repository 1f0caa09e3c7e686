//! Parses filters.
//!
//! ```text
//!   or      = and { ("or" | "||") and }
//!   and     = not { ("and" | "&&") not }
//!   not     = ("not" | "!") not | "(" or ")" | test
//!   test    = field [ operator value | "contains" text | "in" "{" range { "," range } "}" ]
//! ```

use std::{fmt, net::IpAddr};

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{
    Expression, Literal, Operator, Range,
    field::{self, Field, Kind},
};

/// Why parsing a filter failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    /// Offset in bytes from the start of the filter.
    pub at: usize,
    pub message: String,
    text: String,
}

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text.get(..self.at).map_or(0, |before| before.chars().count());
        write!(f, "{}\n  {}\n  {}^", self.message, self.text, " ".repeat(column))
    }
}

/// Maximum nesting of parentheses and `not`.
const DEPTH_MAX: u32 = 50;

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
}

/// Longer symbols first.
const SYMBOLS: [&str; 13] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "{", "}"];

pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let fail = |(at, message): Fault| FilterError { at, message, text: text.to_owned() };
    let tokens = tokens(text).map_err(fail)?;
    let mut parser = Parser { tokens, next: 0, end: text.len(), depth: 0 };
    let expression = parser.or().map_err(fail)?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(fail((
            parser.at(),
            "unexpected text here; expected \"and\", \"or\" or the end of the filter".to_owned(),
        ))),
    }
}

type Fault = (usize, String);

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == ',' {
            tokens.push((start, Token::Symbol(",")));
            at += 1;
        } else if c == '"' {
            let (string, length) = quoted(rest).ok_or((start, "this text has no end; add a closing \"".to_owned()))?;
            tokens.push((start, Token::Text(string)));
            at += length;
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            tokens.push((start, Token::Symbol(symbol)));
            at += symbol.len();
        } else {
            let is_word = |c: char| c.is_alphanumeric() || "_.:/-+".contains(c);
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if length == 0 {
                return Err((start, format!("\"{c}\" is not allowed here")));
            }
            tokens.push((start, Token::Word(rest[..length].to_owned())));
            at += length;
        }
    }
    Ok(tokens)
}

/// A text in double quotes, and its length in bytes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut string = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((string, at + 1)),
            '\\' => string.push(characters.next()?.1),
            c => string.push(c),
        }
    }
    None
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    /// Consumes a symbol, or a word with the same meaning.
    fn take(&mut self, names: &[&str]) -> bool {
        let is_it = match self.peek() {
            Some(Token::Word(word)) => names.contains(&word.to_ascii_lowercase().as_str()),
            Some(Token::Symbol(symbol)) => names.contains(symbol),
            _ => false,
        };
        self.next += usize::from(is_it);
        is_it
    }

    fn or(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.and()?];
        while self.take(&["or", "||"]) {
            all.push(self.and()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.not()?];
        while self.take(&["and", "&&"]) {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((self.at(), "the filter is nested too deeply".to_owned()));
        }
        let expression = if self.take(&["not", "!"]) {
            Expression::Not(Box::new(self.not()?))
        } else if self.take(&["("]) {
            let inner = self.or()?;
            if !self.take(&[")"]) {
                return Err((self.at(), "\")\" is missing".to_owned()));
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, Fault> {
        let at = self.at();
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err((at, "a field is missing here".to_owned()));
        };
        self.next += 1;
        let Some((field, kind)) = field::find(&name) else { return Err((at, unknown(&name))) };
        if let Some(operator) = self.operator() {
            let literal = self.literal(kind, &name)?;
            return Ok(Expression::Compare(field, operator, literal));
        }
        if self.take(&["contains"]) {
            let at = self.at();
            return match self.peek().cloned() {
                Some(Token::Text(text) | Token::Word(text)) if kind == Kind::Text => {
                    self.next += 1;
                    Ok(Expression::Contains(field, text))
                }
                _ => Err((
                    at,
                    format!("{name} contains: \"contains\" requires a text field and a text in double quotes"),
                )),
            };
        }
        if self.take(&["in"]) {
            return self.set(field, kind, &name);
        }
        Ok(Expression::Exists(field))
    }

    fn operator(&mut self) -> Option<Operator> {
        const OPERATORS: [(&[&str], Operator); 6] = [
            (&["==", "eq"], Operator::Equal),
            (&["!=", "ne"], Operator::NotEqual),
            (&["<=", "le"], Operator::LessOrEqual),
            (&[">=", "ge"], Operator::GreaterOrEqual),
            (&["<", "lt"], Operator::Less),
            (&[">", "gt"], Operator::Greater),
        ];
        OPERATORS.into_iter().find(|(names, _)| self.take(names)).map(|(_, operator)| operator)
    }

    fn set(&mut self, field: Field, kind: Kind, name: &str) -> Result<Expression, Fault> {
        if !self.take(&["{"]) {
            return Err((self.at(), "\"{\" is missing after in".to_owned()));
        }
        let mut ranges = Vec::new();
        loop {
            ranges.push(self.range(kind, name)?);
            if self.take(&["}"]) {
                return Ok(Expression::In(field, ranges));
            }
            // Older filters separate values with spaces, newer ones with commas.
            self.take(&[","]);
        }
    }

    fn range(&mut self, kind: Kind, name: &str) -> Result<Range, Fault> {
        let at = self.at();
        if let Some(Token::Word(word)) = self.peek()
            && let Some((from, to)) = word.split_once("..")
        {
            let read = |text: &str| literal(text, kind).ok_or_else(|| (at, misfit(text, kind, name)));
            let range = Range { from: read(from)?, to: read(to)? };
            self.next += 1;
            return Ok(range);
        }
        let value = self.literal(kind, name)?;
        Ok(Range { from: value.clone(), to: value })
    }

    fn literal(&mut self, kind: Kind, name: &str) -> Result<Literal, Fault> {
        let at = self.at();
        let Some(Token::Word(text) | Token::Text(text)) = self.peek().cloned() else {
            return Err((at, format!("a value for {name} is missing here")));
        };
        self.next += 1;
        literal(&text, kind).ok_or_else(|| (at, misfit(&text, kind, name)))
    }
}

fn misfit(text: &str, kind: Kind, name: &str) -> String {
    let wanted = match kind {
        Kind::Number => "a number, such as 25 or 0x0301",
        Kind::Flag => "1, 0, true or false",
        Kind::Address => "an IP address or a network, such as 192.0.2.0/24",
        Kind::Text => "a text in double quotes",
        Kind::Time => "a time, such as \"2026-07-30 12:00:00\" (in UTC, or with a time zone)",
        Kind::Seconds => "seconds, such as 1.5",
        Kind::Presence => "no value, because it only exists or does not",
    };
    format!("{name} cannot be compared with \"{text}\": the field requires {wanted}")
}

fn literal(text: &str, kind: Kind) -> Option<Literal> {
    match kind {
        Kind::Number => number(text).map(Literal::Number),
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Some(Literal::Number(1)),
            "0" | "false" => Some(Literal::Number(0)),
            _ => None,
        },
        Kind::Address => network(text),
        Kind::Text => Some(Literal::Text(text.to_owned())),
        Kind::Time => time(text).map(Literal::Time),
        Kind::Seconds => {
            text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()).map(|s| Literal::Time((s * 1e9) as i64))
        }
        Kind::Presence => None,
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

fn network(text: &str) -> Option<Literal> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some(Literal::Network(address, bits))
}

fn time(text: &str) -> Option<i64> {
    let moment = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: civil::DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })?;
    i64::try_from(moment.as_nanosecond()).ok()
}

/// Suggests fields with similar names.
fn unknown(name: &str) -> String {
    let mut near: Vec<(usize, String)> =
        field::names().map(|known| (strsim::damerau_levenshtein(name, &known), known)).collect();
    near.sort();
    let near: Vec<&str> = near.iter().take(3).map(|(_, known)| known.as_str()).collect();
    format!("unknown field \"{name}\"; similar fields: {}", near.join(", "))
}
