//! How addresses are searched: in the queue, in the history, and in files of other systems.

/// Which addresses are meant. The case of ASCII letters does not matter, that of others does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddressPattern {
    /// Exactly this one; empty: the null sender.
    Is(String),
    /// `*` stands for any text.
    Like(String),
}

impl AddressPattern {
    /// Reads an address, `@domain`, a pattern with `*`, or `<>` for the null sender. Angle brackets may be left out.
    pub fn parse(text: &str) -> Self {
        let text = text.trim_matches(['<', '>']);
        match text {
            domain if domain.starts_with('@') => Self::Like(format!("*{domain}")),
            pattern if pattern.contains('*') => Self::Like(pattern.to_owned()),
            address => Self::Is(address.to_owned()),
        }
    }

    /// For addresses outside a store, which an engine does not compare. Case matters: the caller folds both.
    pub fn matches(&self, address: &str) -> bool {
        let pattern = match self {
            Self::Is(wanted) => return address == wanted,
            Self::Like(pattern) => pattern,
        };
        let Some((first, rest)) = pattern.split_once('*') else { return address == pattern };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = address.strip_prefix(first).and_then(|address| address.strip_suffix(last));
        let find = |rest: &str, part: &str| rest.find(part).map(|at| at + part.len());
        inner.is_some_and(|inner| {
            middle.split('*').try_fold(inner, |rest, part| find(rest, part).map(|at| &rest[at..])).is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_match_as_they_say() {
        let table = [
            ("a@x.test", "a@x.test", true),
            ("a@x.test", "ba@x.test", false),
            ("@x.test", "a@x.test", true),
            ("@x.test", "a@sub.x.test", false),
            ("a*", "abc@x.test", true),
            ("*@x.test", "a@x.test", true),
            ("a*@x.test", "abc@x.test", true),
            ("a*c@*.test", "abc@x.test", true),
            ("a*d@*.test", "abc@x.test", false),
            ("*x.test", "a@x.test.example", false),
            ("*", "a@x.test", true),
            ("a*b*b", "abb", true),
            ("a*b*b", "ab", false),
        ];
        for (wanted, address, expected) in table {
            assert_eq!(AddressPattern::parse(wanted).matches(address), expected, "{wanted} {address}");
        }
    }

    #[test]
    fn addresses_domains_and_patterns_are_told_apart() {
        let is = |text: &str| AddressPattern::Is(text.to_owned());
        let like = |text: &str| AddressPattern::Like(text.to_owned());
        for (text, expected) in [
            ("a@x.test", is("a@x.test")),
            ("<a@x.test>", is("a@x.test")),
            ("<>", is("")),
            ("@x.test", like("*@x.test")),
            ("*@x.test", like("*@x.test")),
            ("a*", like("a*")),
        ] {
            assert_eq!(AddressPattern::parse(text), expected, "{text}");
        }
    }
}
