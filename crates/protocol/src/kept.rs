//! Shortens the texts that foreign servers send about themselves. The history stores these texts as JSON with every
//! attempt, so their length is measured in bytes of JSON.

/// Number of bytes that a text takes in JSON, without its quotation marks.
pub fn json_bytes(text: &str) -> usize {
    text.chars().map(json_bytes_of).sum()
}

fn json_bytes_of(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        // Written as \u0000.
        character if character < ' ' => 6,
        character => character.len_utf8(),
    }
}

/// The text, cut so that it takes at most `bytes_max` bytes of JSON. A cut text ends with `…`.
pub fn cut(text: &str, bytes_max: usize) -> String {
    if json_bytes(text) <= bytes_max {
        return text.to_owned();
    }
    let mut room = bytes_max - '…'.len_utf8();
    let fits = |character: &char| {
        let bytes = json_bytes_of(*character);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}
