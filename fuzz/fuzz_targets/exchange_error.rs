//! Any text as an error of Exchange's: no panic, and a container that is cut tells a part of what the whole one does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::exchange_error::{Container, links};

fuzz_target!(|text: &str| {
    links(text);
    let Some(whole) = Container::read(text) else { return };
    whole.links();
    let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    if let Some(part) = Container::read(&text[..half]) {
        part.links();
    }
});
