//! `unknown`: No known cause fits. A wrong cause would cost an operator a day.

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{Depth, System, destination, exchange, exim, gatepost, here, postfix, sender},
};

/// Phases in which the dialogue can be logged.
const DIALOGUE: &[Phase] = &[Phase::Banner, Phase::Ehlo, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::EndOfData];

/// The log names the alert already.
const ALERT: &[Sign] = &[
    Sign::AlertHandshakeFailure,
    Sign::AlertProtocolVersion,
    Sign::AlertInsufficientSecurity,
    Sign::AlertAboutCertificate,
    Sign::AlertDecodeError,
];

const CAPTURE: &str = "Read the evidence. If it does not show the cause, capture packets on {us} (`tcpdump -i any -w edge.pcap port {port}`), then run `gatepost why --capture edge.pcap`.";

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::Unknown,
    does: "fails in a way that fits no known cause",
    likelihood,
    remedies: &[
        here("Check the host and the port that {us} sends to: the server there does not speak SMTP.").on(&[Sign::NotSmtp]).in_phases(&[Phase::Banner]),
        exim("Ask Exim why it finds no route (`exim -bt ADDRESS`): the local part does not exist here, or the domain has no mail server.").on(&[Sign::Unrouteable]),
        here("Look at {us} first: its firewall, virus scanner, resolver and provider. Unrelated destinations do not fail at the same time.").everywhere(),
        postfix("Set `smtp_tls_loglevel = 1`, run `postfix reload`, and read the line `TLS library problem` before the next failure: it names the alert.").in_phases(&[Phase::StartTls, Phase::Handshake]).unless(ALERT),
        exchange("Log the dialogue (`Set-SendConnector NAME -ProtocolLoggingLevel Verbose`), run `gatepost why` on the protocol log, and read the Schannel events 36871 to 36888 in the System event log.").in_phases(&[Phase::StartTls, Phase::Handshake]).collecting(Depth::Dialogue),
        exchange("Read the Schannel events 36871 to 36888 in the System event log at the time of the failures.").in_phases(&[Phase::StartTls, Phase::Handshake]).showing(Depth::Dialogue),
        exim("Repeat one delivery with `exim -d+tls -M MESSAGE-ID`: it shows the alert and the versions.").in_phases(&[Phase::StartTls, Phase::Handshake]),
        postfix("Log the dialogue with this host: set `debug_peer_list = HOST`, run `postfix reload`, and read the lines up to the next failure.").in_phases(DIALOGUE),
        exchange("Log the dialogue: `Set-SendConnector NAME -ProtocolLoggingLevel Verbose`, then run `gatepost why` on the protocol log.").in_phases(DIALOGUE).collecting(Depth::Dialogue),
        exim("Repeat one delivery with `exim -v -M MESSAGE-ID`: it shows the dialogue.").in_phases(DIALOGUE),
        destination("Read the log of the receiving server at the time of the report, or capture packets there, then run `gatepost why --inbound` on the file: a report shows the result only.").of(System::Reporter),
        exchange("Read the evidence. If it does not show the cause, capture packets on {us} (`pktmon start --capture --pkt-size 0 --file-name edge.etl`; after the next failure `pktmon stop` and `pktmon etl2pcap edge.etl --out edge.pcapng`), then run `gatepost why --capture edge.pcapng`.").collecting(Depth::Packets),
        gatepost(CAPTURE),
        postfix(CAPTURE),
        exim(CAPTURE),
        sender(CAPTURE).collecting(Depth::Packets),
        here("Read the evidence, and the logs of both servers at that time: packets show that it fails, and not always why.").showing(Depth::Packets),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.signs.are_silent() && s.code.is_none() && s.phase.is_none() { 0.05 } else { 0.3 }
}
