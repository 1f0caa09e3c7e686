//! How fast each reader reads a large file, and in how much memory: makes a log of a kind, always the same one, reads it
//! and says so as JSON.
//!
//! `cargo run --release -p gatepost-trace --example read_speed -- KIND [MEGABYTES]`, with KIND one of extended-report,
//! tracking-log, protocol-log, postfix-log, exim-log, or all.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Seek, Write},
    time::Instant,
};

use gatepost_trace::{exim_log, message_trace, postfix_log, protocol_log};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

const KINDS: [&str; 5] = ["extended-report", "tracking-log", "protocol-log", "postfix-log", "exim-log"];

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "all".to_owned());
    let megabytes = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100);
    for kind in KINDS.into_iter().filter(|known| kind == "all" || kind == *known) {
        let mut file = tempfile::tempfile()?;
        let bytes = generate(kind, megabytes * 1_000_000, &file)?;
        file.rewind()?;
        let (started, cpu_before) = (Instant::now(), cpu_seconds());
        let (rows, skipped) = read(kind, file)?;
        let seconds = started.elapsed().as_secs_f64();
        let cpu = cpu_seconds() - cpu_before;
        let speed = bytes as f64 / 1e6 / seconds;
        println!(
            "{{\"kind\": \"{kind}\", \"bytes\": {bytes}, \"rows\": {rows}, \"skipped\": {skipped}, \
             \"seconds\": {seconds:.3}, \"cpu_seconds\": {cpu:.3}, \"megabytes_per_second\": {speed:.0}, \"peak_memory_kib\": {}}}",
            peak_memory_kib()
        );
    }
    Ok(())
}

/// What Linux says; 0 elsewhere. On a machine that others use too, it tells more than the time that went by.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds: Option<f64> = text.split_whitespace().next().and_then(|word| word.parse().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

/// What Linux says; 0 elsewhere.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Rows, and what was passed over.
fn read(kind: &str, file: File) -> io::Result<(u64, u64)> {
    let (now, zone) = (start() + SignedDuration::from_hours(24 * 300), TimeZone::UTC);
    let mut rows = 0;
    match kind {
        "extended-report" | "tracking-log" => {
            let mut reader = message_trace::Reader::new(file)?;
            for row in reader.by_ref() {
                rows += u64::from(row?.at.is_some());
            }
            Ok((rows, reader.skipped().0))
        }
        "protocol-log" => {
            let mut reader = protocol_log::Reader::new(file)?;
            let mut row = protocol_log::Row::default();
            while reader.read_row(&mut row)? {
                rows += u64::from(row.at.is_some());
            }
            Ok((rows, reader.rows_skipped()))
        }
        "postfix-log" => {
            let mut reader = postfix_log::reader(file, now, zone);
            for row in reader.by_ref() {
                rows += u64::from(row?.at.is_some());
            }
            Ok((rows, reader.lines_skipped))
        }
        _ => {
            let mut reader = exim_log::reader(file, now, zone);
            for row in reader.by_ref() {
                rows += u64::from(row?.at.is_some());
            }
            Ok((rows, reader.lines_skipped))
        }
    }
}

fn start() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
}

fn generate(kind: &str, bytes: u64, file: &File) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut written = 0;
    let mut text = head(kind);
    for number in 0.. {
        message(kind, number, &mut text);
        out.write_all(text.as_bytes())?;
        written += text.len() as u64;
        text.clear();
        if written >= bytes {
            break;
        }
    }
    out.flush()?;
    Ok(written)
}

fn head(kind: &str) -> String {
    let mut bytes = Vec::new();
    let layout = match kind {
        "extended-report" => message_trace::Layout::ExtendedReport,
        "tracking-log" => message_trace::Layout::TrackingLog,
        "protocol-log" => return protocol_log::header(protocol_log::LogType::Send, start()),
        _ => return String::new(),
    };
    let writer = message_trace::EventWriter::new(&mut bytes, layout, message_trace::Encoding::Utf8, start());
    drop(writer);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One message's lines; some 20 messages a second.
fn message(kind: &str, number: u64, text: &mut String) {
    let at = start() + SignedDuration::from_millis(number as i64 * 50);
    // A thousand senders, many more recipients.
    let (a, b) = (number % 1000, number * 7919 % 65_536);
    let _ = match kind {
        "extended-report" | "tracking-log" => trace_rows(number, at, a, b, kind == "tracking-log", text),
        "protocol-log" => protocol_rows(number, at, a, b, text),
        "postfix-log" => postfix_lines(number, at, a, b, text),
        _ => exim_lines(number, at, a, b, text),
    };
}

fn trace_rows(number: u64, at: Timestamp, a: u64, b: u64, is_log: bool, text: &mut String) -> std::fmt::Result {
    let more = if is_log { ",Email,3f1c8a7e-0000-4000-8000-000000000000,15.02.0000.000" } else { "" };
    for event in ["RECEIVE", "AGENTINFO", "SEND"] {
        let status = if event == "SEND" { "250 2.0.0 Ok: queued as 4F00A1" } else { "" };
        write!(
            text,
            "{at:.3},192.0.2.{},relay{a}.partner.test,10.0.0.1,mx1,08DE{number:012X};{at:.3};0,MX1\\Default,SMTP,{event},\
             {number},<{number}.{a}@relay{a}.partner.test>,3f1c8a7e-{b:04x}-4000-8000-{number:012x},user{b}@onprem.test,\
             {status},{},1,,,\"Report {number}, second part\",sender{a}@partner.test,sender{a}@partner.test,\
             {at:.3};LSRV=mx1:TOTAL-HUB=1.921|SMR=0.127|CAT=0.101|SMS=0.076,Incoming,,192.0.2.{},10.0.0.1,\
             S:TlsPolicy=modern;S:TlsVersion=TLSv1.2;S:TlsCipher=ECDHE-RSA-AES256-GCM-SHA384{more}\r\n",
            a % 250,
            4711 + b,
            a % 250
        )?;
    }
    Ok(())
}

fn protocol_rows(number: u64, at: Timestamp, a: u64, b: u64, text: &mut String) -> std::fmt::Result {
    let rows = [
        ("*", String::new(), "attempting to connect"),
        ("+", String::new(), ""),
        ("<", "220 mail.onprem.test ESMTP ready".to_owned(), ""),
        (">", "EHLO mx1.gateway.test".to_owned(), ""),
        ("<", "250  mail.onprem.test Hello [10.0.0.1] SIZE 37748736 PIPELINING DSN STARTTLS 8BITMIME".to_owned(), ""),
        (">", format!("MAIL FROM:<sender{a}@partner.test> SIZE={}", 4711 + b), ""),
        (">", format!("RCPT TO:<user{b}@onprem.test>"), ""),
        ("<", "250 2.1.0 Sender OK".to_owned(), ""),
        ("<", "250 2.1.5 Recipient OK".to_owned(), ""),
        (
            "*",
            String::new(),
            "\"TLS protocol SP_PROT_TLS1_2_CLIENT negotiation succeeded using bulk encryption algorithm \
              CALG_AES_256 with strength 256 bits, MAC hash algorithm CALG_SHA_384 with strength 384 bits and key \
              exchange algorithm CALG_ECDHE with strength 384 bits\"",
        ),
        (">", "QUIT".to_owned(), ""),
        ("-", String::new(), "Local"),
    ];
    for (sequence, (event, data, context)) in rows.into_iter().enumerate() {
        write!(
            text,
            "{at:.3},onprem,{:016X},{sequence},10.0.0.1:{},192.0.2.25:25,{event},{data},{context}\r\n",
            number,
            1024 + b % 60_000
        )?;
    }
    Ok(())
}

fn postfix_lines(number: u64, at: Timestamp, a: u64, b: u64, text: &mut String) -> std::fmt::Result {
    let time = at.strftime("%b %d %H:%M:%S").to_string();
    let id = format!("{:010X}", number + 0x4F_0000_0000);
    write!(
        text,
        "{time} mx postfix/smtpd[811]: connect from relay{a}.partner.test[192.0.2.{ip}]\n\
         {time} mx postfix/smtpd[811]: Anonymous TLS connection established from relay{a}.partner.test[192.0.2.{ip}]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\
         {time} mx postfix/smtpd[811]: {id}: client=relay{a}.partner.test[192.0.2.{ip}]\n\
         {time} mx postfix/cleanup[812]: {id}: message-id=<{number}.{a}@relay{a}.partner.test>\n\
         {time} mx postfix/qmgr[813]: {id}: from=<sender{a}@partner.test>, size={size}, nrcpt=1 (queue active)\n\
         {time} mx postfix/smtpd[811]: disconnect from relay{a}.partner.test[192.0.2.{ip}] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7\n\
         {time} mx postfix/smtp[814]: {id}: to=<user{b}@onprem.test>, relay=mail.onprem.test[192.0.2.25]:25, delay=0.31, delays=0.1/0.01/0.1/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F00A1)\n\
         {time} mx postfix/qmgr[813]: {id}: removed\n",
        ip = a % 250,
        size = 4711 + b
    )
}

fn exim_lines(number: u64, at: Timestamp, a: u64, b: u64, text: &mut String) -> std::fmt::Result {
    let time = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let id = format!("1u{:04}-{number:011}-{b:04x}", number / 100_000 % 10_000);
    write!(
        text,
        "{time} SMTP connection from relay{a}.partner.test [192.0.2.{ip}]:4711 I=[10.0.0.1]:25 closed by QUIT\n\
         {time} {id} <= sender{a}@partner.test H=relay{a}.partner.test [192.0.2.{ip}]:4711 P=esmtps X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no S={size} id={number}.{a}@relay{a}.partner.test T=\"Report {number}, second part\" for user{b}@onprem.test\n\
         {time} {id} => user{b}@onprem.test R=dnslookup T=remote_smtp S={size} H=mail.onprem.test [192.0.2.25] X=TLS1.2:ECDHE_SECP256R1__RSA_SHA256__AES_256_GCM:256 CV=no C=\"250 2.0.0 Ok: queued as 4F00A1\"\n\
         {time} {id} Completed\n",
        ip = a % 250,
        size = 4711 + b
    )
}
