//! What a migration moves: rows as values of a few kinds, the same on both sides, and the digest of many of them.

use openssl::sha::{Sha256, sha256};
use uuid::Uuid;

/// A value as both engines have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Flag(bool),
    Text(String),
    Id(Uuid),
    Bytes(Vec<u8>),
    /// The SHA-256 of bytes that were left where they are.
    Hash(Vec<u8>),
}

/// What a column has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Numbers of 16, 32 and 64 bits.
    Small,
    Medium,
    Large,
    Flag,
    Text,
    /// The domain of the address that the embedded store has here, as addresses are compared.
    Domain,
    Id,
    Bytes,
}

/// A column of a table on the server, and where its value is in the embedded store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) source: &'static str,
}

/// A store, a copy of it, and whether its folder is marked as moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Copied {
    pub(crate) store: Uuid,
    pub(crate) copy: Uuid,
    pub(crate) is_moved: bool,
}

/// Where a row is among those of its table: its message, and a number that ascends within the message.
pub(crate) type Place = (i64, i64);

/// A row of one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fact {
    pub(crate) place: Place,
    pub(crate) values: Vec<Value>,
}

/// How many rows each table has, and the digest of all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Content {
    pub(crate) rows: Vec<i64>,
    pub(crate) digest: Vec<u8>,
}

/// A [`Content`] while its rows are read. Each value says its kind and its length, so that no two contents have the same
/// bytes.
pub(crate) struct Counting {
    rows: Vec<i64>,
    hash: Sha256,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), hash: Sha256::new() }
    }

    /// The rows that follow are of the next table.
    pub(crate) fn begin_table(&mut self) {
        self.rows.push(0);
        self.hash.update(b"T");
    }

    pub(crate) fn add(&mut self, facts: &[Fact]) {
        if let Some(rows) = self.rows.last_mut() {
            *rows += facts.len() as i64;
        }
        for fact in facts {
            self.hash.update(b"R");
            fact.values.iter().for_each(|value| self.add_value(value));
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::Null => self.hash.update(b"0"),
            Value::Number(number) => self.add_bytes(b"n", &number.to_be_bytes()),
            Value::Flag(flag) => self.add_bytes(b"f", &[u8::from(*flag)]),
            Value::Text(text) => self.add_bytes(b"t", text.as_bytes()),
            Value::Id(id) => self.add_bytes(b"i", id.as_bytes()),
            Value::Bytes(bytes) => self.add_bytes(b"h", &sha256(bytes)),
            Value::Hash(hash) => self.add_bytes(b"h", hash),
        }
    }

    fn add_bytes(&mut self, kind: &[u8; 1], bytes: &[u8]) {
        self.hash.update(kind);
        self.hash.update(&(bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    pub(crate) fn finish(self) -> Content {
        Content { rows: self.rows, digest: self.hash.finish().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(tables: &[&[&[&Value]]]) -> Content {
        let mut counting = Counting::new();
        for rows in tables {
            counting.begin_table();
            for values in *rows {
                let values = values.iter().map(|value| (*value).clone()).collect();
                counting.add(&[Fact { place: (0, 0), values }]);
            }
        }
        counting.finish()
    }

    #[test]
    fn each_difference_is_seen() {
        let text = |text: &str| Value::Text(text.to_owned());
        let (a, b, ab, empty) = (&text("a"), &text("b"), &text("ab"), &text(""));
        let contents = [
            content(&[&[&[a, b]]]),
            content(&[&[&[b, a]]]),
            content(&[&[&[ab, empty]]]),
            content(&[&[&[ab, &Value::Null]]]),
            content(&[&[&[a], &[b]]]),
            content(&[&[&[a]], &[&[b]]]),
            content(&[&[&[a]], &[]]),
            content(&[&[], &[&[a]]]),
            content(&[&[&[&Value::Number(1)]]]),
            content(&[&[&[&Value::Flag(true)]]]),
            content(&[&[&[&Value::Number(-1)]]]),
            content(&[]),
        ];
        for (index, one) in contents.iter().enumerate() {
            for other in &contents[index + 1..] {
                assert_ne!(one.digest, other.digest);
            }
        }
    }

    /// The server sends the hash of what it has.
    #[test]
    fn bytes_count_as_their_hash() {
        let bytes = content(&[&[&[&Value::Bytes(b"body".to_vec())]]]);
        assert_eq!(bytes, content(&[&[&[&Value::Hash(sha256(b"body").to_vec())]]]));
        assert_ne!(bytes, content(&[&[&[&Value::Hash(sha256(b"bod").to_vec())]]]));
    }
}
