//! Replays the dialogues of the `dialogues` folder: as written, whole, split in two at every position, and byte by byte.
//! The way in which TCP cuts the bytes must never change what is answered or taken.
//!
//! A dialogue is lines of these kinds:
//!
//! - `# ` and empty lines say something to the reader.
//! - `@starttls`, `@size-max 1000`, `@line-max 998`, `@recipients-max 100`, `@errors-max 10`, `@junk-max 100`,
//!   `@no-postmaster`,
//!   `@refuse 452 4.3.1 text` (the answer when a message begins), `@finish 451 4.3.0 text` (the answer at its end).
//! - `C: ` is what the client sends, with CRLF behind it unless a backslash ends it. `\r \n \x00 \\` are escapes, and
//!   `\*3000{x}` is an `x` 3000 times.
//! - `S: ` is what the server answers to all that stands above; the first is the banner.
//! - `M: ` is a message that was taken: envelope, `|` and the content, escaped.
//! - `X:` says that the server closes the connection.

mod support;

use std::{fs, path::Path};

use gatepost_protocol::smtp::{BodyType, EnhancedCode, Notify, Reply, Ret};
use support::{Event, Message, Options, Outcome, Server, replay};

#[derive(Default)]
struct Dialogue {
    options: Options,
    turns: Vec<Turn>,
}

/// What the client sends, and what is seen before it sends more.
#[derive(Default)]
struct Turn {
    client: Vec<u8>,
    seen: Vec<String>,
}

fn parse(text: &str) -> Dialogue {
    let mut dialogue = Dialogue { options: Options::default(), turns: vec![Turn::default()] };
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}: {line}", index + 1);
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "" | "#" => {}
            "C:" => {
                if dialogue.turns.last().is_none_or(|turn| !turn.seen.is_empty()) {
                    dialogue.turns.push(Turn::default());
                }
                let turn = dialogue.turns.last_mut().expect("a turn");
                match rest.strip_suffix('\\') {
                    Some(raw) => turn.client.extend(unescape(raw, &place)),
                    None => {
                        turn.client.extend(unescape(rest, &place));
                        turn.client.extend_from_slice(b"\r\n");
                    }
                }
            }
            "S:" | "M:" | "X:" => dialogue.turns.last_mut().expect("a turn").seen.push(line.trim_end().to_owned()),
            directive => direct(&mut dialogue.options, directive, rest, &place),
        }
    }
    dialogue
}

fn direct(options: &mut Options, directive: &str, value: &str, place: &str) {
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{place}: no number"));
    match directive {
        "@starttls" => options.starttls = true,
        "@size-max" => options.size_max = u64::from(number()),
        "@line-max" => options.line_max = number() as usize,
        "@recipients-max" => options.recipients_max = number() as usize,
        "@errors-max" => options.errors_max = number(),
        "@junk-max" => options.junk_commands_max = number(),
        "@no-postmaster" => options.postmaster = false,
        "@refuse" => options.refuse = Some(reply(value, place)),
        "@finish" => options.finish = reply(value, place),
        _ => panic!("{place}: unknown"),
    }
}

fn reply(text: &str, place: &str) -> Reply {
    let (code, text) = text.split_once(' ').expect(place);
    let (enhanced, text) = EnhancedCode::parse_prefix(text).expect(place);
    Reply::new(code.parse().expect(place), Some(enhanced), text)
}

fn unescape(text: &str, place: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = escape.chars().next().expect(place);
        rest = &escape[kind.len_utf8()..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect(place));
                rest = &rest[2..];
            }
            '*' => {
                let (count, more) = rest.split_once('{').expect(place);
                let (what, more) = more.split_once('}').expect(place);
                bytes.extend(unescape(what, place).repeat(count.parse().expect(place)));
                rest = more;
            }
            _ => panic!("{place}: unknown escape"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn describe(message: &Message) -> String {
    let envelope = &message.transaction.envelope;
    let mut line = format!("M: <{}>", envelope.sender);
    if envelope.body_type == BodyType::EightBitMime {
        line.push_str(" BODY=8BITMIME");
    }
    if envelope.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    match envelope.ret {
        Some(Ret::Full) => line.push_str(" RET=FULL"),
        Some(Ret::Headers) => line.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = &envelope.envid {
        line.push_str(&format!(" ENVID={envid}"));
    }
    for recipient in &message.transaction.recipients {
        line.push_str(&format!(" -> <{}>", recipient.address));
        match recipient.notify {
            None => {}
            Some(Notify::Never) => line.push_str(" NOTIFY=NEVER"),
            Some(Notify::On { success, failure, delay }) => {
                let letter = |on: bool, letter: &'static str| if on { letter } else { "-" };
                let letters = [letter(success, "S"), letter(failure, "F"), letter(delay, "D")].concat();
                line.push_str(&format!(" NOTIFY={letters}"));
            }
        }
        if let Some(orcpt) = &recipient.orcpt {
            line.push_str(&format!(" ORCPT={orcpt}"));
        }
    }
    if message.eight_bit {
        line.push_str(" (eight bit)");
    }
    format!("{line} | {}", message.content.escape_ascii()).trim_end().to_owned()
}

/// What is seen from outside, from these counts of bytes of output, messages and events on.
fn seen_since(outcome: &Outcome, (bytes, messages, events): (usize, usize, usize)) -> Vec<String> {
    let output = &outcome.output[bytes..];
    assert!(output.is_empty() || output.ends_with(b"\r\n"), "a reply without CRLF");
    let mut seen: Vec<String> = String::from_utf8_lossy(output)
        .split_terminator("\r\n")
        .map(|line| format!("S: {line}").trim_end().to_owned())
        .collect();
    seen.extend(outcome.messages[messages..].iter().map(describe));
    if outcome.events[events..].contains(&Event::Close) {
        seen.push("X:".to_owned());
    }
    seen
}

fn check(name: &str, text: &str) {
    let dialogue = parse(text);
    let mut server = Server::new(&dialogue.options);
    let mut before = (0, 0, 0);
    for (index, turn) in dialogue.turns.iter().enumerate() {
        server.feed(&turn.client);
        let seen = seen_since(&server.outcome, before);
        assert_eq!(seen, turn.seen, "{name}: turn {index} after {:?}", turn.client.escape_ascii().to_string());
        before = (server.outcome.output.len(), server.outcome.messages.len(), server.outcome.events.len());
    }
    let expected = server.outcome;

    let bytes: Vec<u8> = dialogue.turns.iter().flat_map(|turn| turn.client.iter().copied()).collect();
    assert_eq!(replay(&dialogue.options, bytes.chunks(1)), expected, "{name}: byte by byte");
    // What is pipelined behind STARTTLS is dropped, so that these bytes cannot come at once.
    if expected.count(Event::StartTls) > 0 {
        return;
    }
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(replay(&dialogue.options, [first, second]), expected, "{name}: split at {at}");
    }
}

#[test]
fn dialogues_come_out_the_same_at_every_split() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dialogues");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the dialogues folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "smtp") {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            check(&name, &fs::read_to_string(&path).expect("a readable dialogue"));
            count += 1;
        }
    }
    assert!(count >= 14, "only {count} dialogues");
}

#[test]
#[should_panic(expected = "turn 1")]
fn a_wrong_dialogue_is_noticed() {
    check("wrong", "S: 220 mx.onprem.test ESMTP Gatepost\nC: NOOP\nS: 250 2.0.0 Fine\n");
}
