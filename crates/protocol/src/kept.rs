//! How much is kept of what foreign servers say of themselves. History stores it as JSON with every attempt, so it is
//! measured as such.

/// What a text takes in JSON, without its quotation marks.
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

/// The text as far as it takes no more than so many bytes of JSON, with `…` where it is cut.
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
