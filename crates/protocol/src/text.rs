//! Foreign text: which of its characters must not reach a header field, a log or a screen.

/// True for characters that steer what shows a text instead of being shown: control characters (C0, DEL and C1), line
/// and paragraph separators, and those that change the direction of the text around them (Unicode's Bidi_Control).
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Foreign text made safe to show in a line.
pub fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if steers(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_all_languages_are_shown_and_steering_characters_are_not() {
        for text in
            ["mail-1.example", "Grüße", "почта", "\u{5d3}\u{5d5}\u{5d0}\u{5e8}", "\u{645}\u{6cc}\u{200c}\u{62e}"]
        {
            assert!(!text.chars().any(steers), "{text:?}");
        }
        for c in ['\0', '\t', '\x1b', '\x7f', '\u{85}', '\u{9b}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{200f}'] {
            assert!(steers(c), "{c:?}");
        }
    }
}
