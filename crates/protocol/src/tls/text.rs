//! Foreign bytes made fit to print: nothing of them may steer a terminal.

use std::fmt::Write;

/// Printable ASCII as it is, anything else as `?`.
pub(super) fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if is_printable(byte) { byte.into() } else { '?' }).collect()
}

pub(super) fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// Hexadecimal, upper case, with `between` after each byte but the last.
pub(super) fn hex(bytes: &[u8], between: &str) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let between = if index == 0 { "" } else { between };
        // Writing to a String cannot fail.
        let _ = write!(text, "{between}{byte:02X}");
    }
    text
}
