//! Ids from users: whole, or shortened as in tables.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Fewer digits match too many ids.
const DIGITS_MIN: usize = 8;

/// An id, or its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id {
    /// The first and last id with this beginning.
    pub first: Uuid,
    pub last: Uuid,
}

impl Id {
    /// `None`: the user gave only the beginning.
    pub fn whole(self) -> Option<Uuid> {
        (self.first == self.last).then_some(self.first)
    }

    pub fn includes(self, id: Uuid) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

impl From<Uuid> for Id {
    fn from(id: Uuid) -> Self {
        Self { first: id, last: id }
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse::<Uuid>() {
            return Ok(id.into());
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_beginning = (DIGITS_MIN..32).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
        let filled = |with: &str| Uuid::try_parse(&format!("{digits}{}", with.repeat(32 - digits.len()))).ok();
        let ends = if is_beginning { filled("0").zip(filled("f")) } else { None };
        let fault = || {
            format!(
                "\"{text}\" is not an id; use an id such as 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e, or at least its first \
                 {DIGITS_MIN} digits"
            )
        };
        ends.map(|(first, last)| Self { first, last }).ok_or_else(fault)
    }
}

/// The id as the user gave it, for messages.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first.to_string(), self.last.to_string());
        let same = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        f.write_str(first[..same].trim_end_matches('-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_shortened() {
        let whole = "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e";
        let id: Id = whole.parse().unwrap();
        assert_eq!((id.whole(), id.to_string().as_str()), (whole.parse().ok(), whole));
        for text in ["0198f3c2", "0198f3c2-7f5a-7c11", "0198F3C27F5A7C11"] {
            let id: Id = text.parse().unwrap();
            assert_eq!(id.whole(), None, "{text}");
            assert!(id.includes(whole.parse().unwrap()), "{text}");
        }
        assert_eq!("0198f3c2-7f5a-7c11".parse::<Id>().unwrap().to_string(), "0198f3c2-7f5a-7c11");
        for text in ["", "0198f3c", "0198f3cg", "not-an-id-at-all", &format!("{whole}0")] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
