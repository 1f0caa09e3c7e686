//! Facts of tshark and of our library about each packet of a capture. The parent module imports our library as
//! `capture`.

#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use lab::peers::Peers;

use super::capture::{Analysis, Capture, Options, Packets};

pub(crate) fn peers() -> Peers {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
    Peers::at(&root).unwrap_or_else(|_| panic!("{} is missing; run ./test, which unpacks it", root.display()))
}

/// Captures published by others, in the folder `shared` beside the repository or in the folder GATEPOST_SHARED.
pub(crate) fn published_captures() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    env::var_os("GATEPOST_SHARED").map_or_else(beside, PathBuf::from).join("samples/captures")
}

pub(crate) fn tshark(file: &Path, arguments: &[&str]) -> String {
    let mut command = peers().command("usr/bin/tshark");
    command.env("WIRESHARK_DATA_DIR", peers().root().join("usr/share/wireshark"));
    let output = command.arg("-r").arg(file).arg("-n").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The facts about one packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Told {
    pub stream: Option<u64>,
    pub length: Option<u32>,
    pub analysis: BTreeSet<&'static str>,
    pub commands: Vec<String>,
    pub responses: Vec<u64>,
    pub handshake_types: Vec<u64>,
    pub versions: Vec<u64>,
    pub suites: Vec<u64>,
    pub alerts: Vec<u64>,
}

/// `options`: further options of tshark, such as -d.
pub(crate) fn by_tshark(file: &Path, options: &[&str]) -> Vec<Told> {
    const FIELDS: [&str; 8] = [
        "tcp.stream",
        "tcp.len",
        "smtp.req.command",
        "smtp.response.code",
        "tls.handshake.type",
        "tls.handshake.version",
        "tls.handshake.ciphersuite",
        "tls.alert_message.desc",
    ];
    let mut arguments = options.to_vec();
    arguments.extend(["-T", "fields", "-E", "separator=|", "-E", "aggregator=,"]);
    let analysis: Vec<String> = Analysis::ALL.iter().map(|(_, name)| format!("tcp.analysis.{name}")).collect();
    for field in FIELDS.into_iter().chain(analysis.iter().map(String::as_str)) {
        arguments.extend(["-e", field]);
    }
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    let told = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let texts = |index: usize| fields[index].split(',').filter(|text| !text.is_empty());
        let numbers = |index: usize| -> Vec<u64> { texts(index).map(number).collect() };
        let flags = Analysis::ALL.iter().enumerate().filter(|(index, _)| !fields[FIELDS.len() + index].is_empty());
        Told {
            stream: fields[0].parse().ok(),
            length: fields[1].parse().ok(),
            analysis: flags.map(|(_, (_, name))| *name).collect(),
            commands: texts(2).map(str::to_owned).collect(),
            responses: numbers(3),
            handshake_types: numbers(4),
            versions: numbers(5),
            suites: numbers(6),
            alerts: numbers(7),
        }
    };
    tshark(file, &arguments).lines().map(told).collect()
}

pub(crate) fn options() -> Options {
    Options { set_duplicates_aside: false, fields: true, ..Options::default() }
}

pub(crate) fn by_us(file: &Path) -> Vec<Told> {
    let mut packets = Packets::open(fs::File::open(file).unwrap()).unwrap();
    let mut capture = Capture::new(options());
    let mut told = Vec::new();
    while let Some(packet) = packets.next() {
        let tcp = capture.packet(&packet);
        let fields = &capture.fields;
        told.push(Told {
            stream: tcp.map(|tcp| tcp.stream),
            length: tcp.filter(|tcp| !tcp.is_quoted).map(|tcp| tcp.length),
            analysis: tcp.iter().flat_map(|tcp| tcp.analysis.names()).collect(),
            // In tshark a command has four letters.
            commands: fields.commands.iter().map(|verb| verb.chars().take(4).collect()).collect(),
            responses: fields.responses.iter().map(|code| u64::from(*code)).collect(),
            handshake_types: fields.handshake_types.iter().map(|kind| u64::from(*kind)).collect(),
            versions: fields.handshake_versions.iter().map(|version| u64::from(*version)).collect(),
            suites: fields.cipher_suites.iter().map(|suite| u64::from(*suite)).collect(),
            alerts: fields.alert_descriptions.iter().map(|alert| u64::from(*alert)).collect(),
        });
    }
    told
}
