//! Checks that our answers are the same as tshark's, packet by packet, for the project's own captures and for captures
//! published by others.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{by_tshark, by_us, options, published_captures, tshark};
use gatepost_capture::{self as capture, Capture, Filter, Packets, filter::View};

const STORY: &str = "tcp.port == 25 and not tcp.analysis.retransmission and not tcp.analysis.duplicate_ack";

fn samples() -> Vec<PathBuf> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures"))
}

fn published() -> Vec<PathBuf> {
    let files = files(&published_captures());
    assert!(files.len() > 20);
    files
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn passing(file: &Path, filter: &str) -> usize {
    let filter = Filter::parse(filter).unwrap();
    let mut packets = Packets::open(fs::File::open(file).unwrap()).unwrap();
    let mut capture = Capture::new(options());
    let (mut count, mut first_ns) = (0, None);
    while let Some(packet) = packets.next() {
        let first_ns = *first_ns.get_or_insert(packet.time_ns);
        let tcp = capture.packet(&packet);
        let view = View { packet: &packet, tcp: tcp.as_ref(), fields: &capture.fields, first_ns };
        count += usize::from(filter.passes(&view));
    }
    count
}

/// Differences in which our answer is right, see docs/reference/capture-differences.md: part of a file's name, packets,
/// and the section there.
const DIFFERENCES: [(&str, &[usize], &str); 18] = [
    ("bug-1045", &[13], "commands after content"),
    ("smtp-out-of-order-commands", &[13, 15, 17], "letter case"),
    ("bdat-bad-tail-next-mail", &[16], "BDAT"),
    ("bdat-bad-tail-reply-queue", &[9, 13, 17], "BDAT"),
    ("bdat-multichunk-inspection", &[18, 22, 42], "BDAT"),
    ("bdat-multichunk-next-mail", &[13, 15, 25], "BDAT"),
    ("data-rejected", &[11, 14], "DATA refused"),
    ("errors-smtperr", &[149], "any port"),
    ("long-command", &[19], "credentials"),
    ("pipelined-rset-data-replies", &[7], "pipelining"),
    ("smtp-pipelining.pcap", &[11], "pipelining"),
    ("smtp-to-comma", &[11, 14], "DATA refused"),
    ("fingerprint-alert", &[12], "out of order"),
    ("mail-transactions-invalid", &[30, 33, 42, 45, 51, 54], "DATA refused"),
    ("bdat-cmd-chunk-size-overflow", &[16], "BDAT"),
    ("bdat-cmd-invalid", &[20], "BDAT"),
    ("bdat-cmd-negative", &[16, 20], "BDAT"),
    ("bdat-pipeline-8bitmime", &[9, 17], "BDAT"),
];

#[test]
fn differences_are_explained() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/capture-differences.md");
    let document = fs::read_to_string(document).unwrap();
    for (_, _, section) in DIFFERENCES {
        assert!(document.contains(&format!("## {section}\n")), "{section}");
    }
}

#[test]
fn every_packet_is_told_as_tshark_tells_it() {
    let (packets, known) = assert_as_tshark(samples());
    assert!(packets > 180, "{packets}");
    assert_eq!(known, 0);
}

#[test]
fn corpus_every_packet_is_told_as_tshark_tells_it() {
    let (packets, known) = assert_as_tshark(published());
    assert!(packets > 4000, "{packets}");
    // Every listed difference must still exist.
    assert_eq!(known, DIFFERENCES.iter().map(|(_, packets, _)| packets.len()).sum::<usize>());
}

/// Number of packets, and number of explained differences.
fn assert_as_tshark(files: Vec<PathBuf>) -> (usize, usize) {
    let mut differences = Vec::new();
    let (mut packets, mut known) = (0, 0);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let (theirs, ours) = (by_tshark(&file, &[]), by_us(&file));
        assert_eq!(theirs.len(), ours.len(), "{name}: packets");
        packets += ours.len();
        for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            let is_known =
                |(file, packets, _): &(&str, &[usize], &str)| name.contains(file) && packets.contains(&(index + 1));
            let is_known = DIFFERENCES.iter().any(is_known);
            known += usize::from(is_known && theirs != ours);
            if theirs != ours && !is_known {
                differences.push(format!("{name} packet {}:\n  tshark {theirs:?}\n  ours   {ours:?}", index + 1));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {packets}:\n{}", differences.len(), differences.join("\n"));
    (packets, known)
}

#[test]
fn filters_let_pass_what_tshark_lets_pass() {
    assert_filters_as_tshark(samples());
}

#[test]
fn corpus_filters_let_pass_what_tshark_lets_pass() {
    assert_filters_as_tshark(published());
}

fn assert_filters_as_tshark(files: Vec<PathBuf>) {
    const FILTERS: [&str; 8] = [
        "tcp.port == 25 && (tcp.flags.syn == 1 || tcp.flags.fin == 1)",
        "tcp.len > 0 and ip.addr == 10.0.0.0/8",
        "tcp.srcport in {25, 465, 1000..2000}",
        "tcp.analysis.flags",
        "tcp.flags == 0x0018 and not tcp.stream == 0",
        "frame.len >= 100 and frame.number < 20",
        "tcp.port != 25",
        "frame.time_relative > 0.01 and tcp",
    ];
    for (index, file) in files.iter().enumerate() {
        // The story's filters on every file, and one of the other filters on each, because tshark starts slowly.
        for filter in [STORY, FILTERS[index % FILTERS.len()]] {
            let theirs = tshark(file, &["-Y", filter, "-T", "fields", "-e", "frame.number"]).lines().count();
            assert_eq!(passing(file, filter), theirs, "{} {filter}", file.display());
        }
    }
}
