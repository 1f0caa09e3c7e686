//! Files that Gatepost cannot read: what each looks like, and what to export instead.

use std::fmt;

use super::Beginning;

/// A file of an unknown kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// Such as `a zip archive or an Excel workbook`.
    pub looks_like: String,
    /// What to do, in the imperative; empty where nothing is known.
    pub instead: &'static str,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is {}", self.looks_like)?;
        if self.instead.is_empty() { Ok(()) } else { write!(f, "; {}", self.instead) }
    }
}

const ANY_KIND: &str = "give a log, message trace, queue listing, bounce, TLS report or packet capture; \
                        if it is one of these, name its kind with an option (see `gatepost why --help`)";

/// First bytes of files that are not text.
const MAGIC: [(&[u8], &str, &str); 13] = [
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    (
        b"\xd0\xcf\x11\xe0",
        "an Outlook message (.msg) or an old Excel workbook",
        "save a bounce as .eml or as text, and a sheet as CSV",
    ),
    (b"\xfd7zXZ", "a file compressed with xz", "unpack it with `xz -d`"),
    (b"BZh", "a file compressed with bzip2", "unpack it with `bzip2 -d`"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with zstd", "unpack it with `zstd -d`"),
    (b"\x1f\x8b", "a file compressed with gzip twice", "unpack it with `gzip -d`"),
    (b"LPKSHHRH", "a journal of systemd", "export it with `journalctl --file FILE -o short-iso > mail.log`"),
    (b"ElfFile\0", "a Windows event log", "give Exchange's own log files, such as MSGTRK*.LOG or SmtpSend\\*.LOG"),
    (b"%PDF", "a PDF document", "copy its text into a text file"),
    (b"\x89PNG", "a picture", "give the text that it shows"),
    (b"\xff\xd8\xff", "a picture", "give the text that it shows"),
    (b"SQLite format 3", "a SQLite database", "give a log of the mail server"),
    (b"\x7fELF", "a program", "give a log of the mail server"),
];

/// Words of texts that are known and not read.
const TEXTS: [(&[&str], &str, &str); 8] = [
    (
        &["DeliveryType", "MessageCount", "----"],
        "the table that Get-Queue prints, which leaves errors out",
        "run `Get-Queue | Format-List > queue.txt`",
    ),
    (
        &["EventId", "Recipients", "----"],
        "the table that Get-MessageTrackingLog prints, which leaves errors out",
        "run `Get-MessageTrackingLog … | Format-List > tracking.txt`",
    ),
    (
        &["SenderAddress", "RecipientAddress", "----"],
        "the table that Get-MessageTraceV2 prints, which cuts addresses",
        "run `Get-MessageTraceV2 … | Export-Csv trace.csv -NoTypeInformation`",
    ),
    (&["<html"], "a web page", "save a bounce as .eml, or copy its text into a text file"),
    (&["<!doctype html"], "a web page", "save a bounce as .eml, or copy its text into a text file"),
    (&[" IP ", " > ", "Flags ["], "what tcpdump prints", "give the packets: `tcpdump -w edge.pcap port 25`"),
    (&["HTTP/1.", "\" 200 "], "a web server's log", "give the log of the mail server"),
    (&["Queue is empty"], "a queue listing without mail", "nothing is waiting on that server"),
];

impl Unknown {
    /// A file that is not text; `None` if it is.
    pub(super) fn of_binary(bytes: &[u8]) -> Option<Self> {
        let of = |looks_like: &str, instead| Some(Self { looks_like: looks_like.to_owned(), instead });
        if bytes.trim_ascii().is_empty() {
            return of("an empty file", "");
        }
        if let Some((_, looks_like, instead)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
            return of(looks_like, instead);
        }
        let text = crate::text::decoded(bytes);
        let strange =
            text.chars().filter(|c| (c.is_control() && !c.is_whitespace()) || *c == char::REPLACEMENT_CHARACTER);
        // Texts in an old encoding have a few such letters.
        if strange.count() * 5 > text.chars().count() { of("binary data of an unknown kind", ANY_KIND) } else { None }
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_binary(bytes)
            .unwrap_or_else(|| Self { looks_like: "a file of an unknown kind".to_owned(), instead: ANY_KIND })
    }

    pub(super) fn of_text(beginning: &Beginning) -> Self {
        let text = beginning.text().to_ascii_lowercase();
        let has = |words: &&(&[&str], &str, &str)| words.0.iter().all(|word| text.contains(&word.to_ascii_lowercase()));
        if let Some((_, looks_like, instead)) = TEXTS.iter().find(has) {
            return Self { looks_like: (*looks_like).to_owned(), instead };
        }
        if text.trim_start().starts_with(['{', '[']) {
            return Self { looks_like: "JSON of an unknown kind".to_owned(), instead: ANY_KIND };
        }
        if let Some(programs) = programs(beginning) {
            let looks_like =
                format!("a system log with lines of {programs}, but none of a mail server that Gatepost knows");
            return Self { looks_like, instead: "give the log of the mail server, such as /var/log/mail.log" };
        }
        Self { looks_like: "text of an unknown kind".to_owned(), instead: ANY_KIND }
    }
}

/// The programs that wrote a syslog; `None` if it is none.
fn programs(beginning: &Beginning) -> Option<String> {
    let mut times = crate::LogTimes::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC);
    let mut programs: Vec<String> = Vec::new();
    for line in beginning.lines() {
        let Some((head, _)) = line.split_once(": ") else { continue };
        let Some((stamp, program)) = head.rsplit_once(' ') else { continue };
        let program = program.split('[').next().unwrap_or_default();
        let is_name =
            !program.is_empty() && program.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        if is_name && times.stamp(stamp).is_some() && !programs.iter().any(|known| known == program) {
            programs.push(program.to_owned());
        }
    }
    programs.truncate(4);
    (!programs.is_empty()).then(|| programs.join(", "))
}
