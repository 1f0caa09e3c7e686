//! What is read out of a source's words: domains of addresses, codes of replies.

use protocol::smtp::EnhancedCode;

/// Of an address as a source has it; `None` where it has none.
pub(super) fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}

/// The first reply in a text: `451 4.7.1 …`, wherever it stands.
pub(super) fn codes(text: &str) -> (Option<u16>, Option<EnhancedCode>) {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "<>()[]{}'\",;:=".contains(c)).collect();
    let mut enhanced = words.iter().filter_map(|word| enhanced_code(word));
    let code = words.iter().enumerate().find_map(|(at, word)| {
        let code: u16 = word.parse().ok().filter(|code| (400..600).contains(code) && word.len() == 3)?;
        // A number alone may be anything; with an enhanced code behind it, or at the beginning, it is a reply's.
        let is_followed = words.get(at + 1).is_some_and(|next| enhanced_code(next).is_some());
        (at == 0 || is_followed || words.get(at.wrapping_sub(1)).is_some_and(|before| *before == "said"))
            .then_some(code)
    });
    (code.or_else(|| quoted(text)), enhanced.next())
}

/// A reply without an enhanced code, after a colon: `… after RCPT TO:<a@b>: 550 No such person`.
fn quoted(text: &str) -> Option<u16> {
    text.split(": ").skip(1).find_map(|quoted| {
        let (code, _) = quoted.split_once([' ', '-']).filter(|(code, _)| code.len() == 3)?;
        code.parse().ok().filter(|code| (400..600).contains(code))
    })
}

fn enhanced_code(word: &str) -> Option<EnhancedCode> {
    let (code, _) = EnhancedCode::parse_prefix(word.trim_start_matches('#'))?;
    // An address looks much the same.
    (code.subject < 10).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_they_stand() {
        let code = |class, subject, detail| Some(EnhancedCode { class, subject, detail });
        assert_eq!(codes("451 4.7.1 later"), (Some(451), code(4, 7, 1)));
        assert_eq!(codes("host a said: 450 4.2.0 x"), (Some(450), code(4, 2, 0)));
        assert_eq!(codes("took 450 ms to 10.0.0.1"), (None, None));
        assert_eq!(codes("rejected while sending RCPT TO: 550 No such person"), (Some(550), None));
    }
}
