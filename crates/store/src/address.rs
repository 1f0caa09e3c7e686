//! How addresses are searched, in the queue and in the history alike.

/// Which addresses are meant. The case of ASCII letters does not matter, that of others does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AddressPattern {
    /// Exactly this one; empty: the null sender.
    Is(String),
    /// `*` stands for any text.
    Like(String),
}

impl AddressPattern {
    /// Reads an address, `@domain`, a pattern with `*`, or `<>` for the null sender. Angle brackets may be left out.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_matches(['<', '>']);
        match text {
            domain if domain.starts_with('@') => Self::Like(format!("*{domain}")),
            pattern if pattern.contains('*') => Self::Like(pattern.to_owned()),
            address => Self::Is(address.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
