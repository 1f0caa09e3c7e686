//! `gatepost probe`: what a destination supports, and what that means for mail.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use net::{
    probe::{ProbeOptions, Probed, StartTls, VersionSupport, probe},
    resolve::Resolver,
};
use protocol::{
    smtp::Phase,
    tls::{Bulk, Certificate, WireVersion},
};
use serde_json::json;

use super::{
    arguments::{Format, ProbeArguments},
    screen::{Colour, Screen, clean, paragraph},
    table::{Cell, Column, Table},
};
use node::config::{Config, Hosts, SmartHost};

const SMTP_PORT: u16 = 25;
const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// True if mail would have trouble there.
pub(crate) async fn run(
    arguments: &ProbeArguments,
    config: Option<&Config>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let resolver = Resolver::new(&[], DNS_TIMEOUT).map_err(anyhow::Error::msg)?;
    let mut all = Vec::new();
    for (host, port) in hosts(&arguments.destination, config)? {
        all.extend(probe_host(&host, port, &resolver, arguments).await?);
    }
    let told: Vec<Vec<Judgement>> = all.iter().map(|probed| judge(probed, screen.now.as_second())).collect();
    match arguments.output.format {
        Format::Json => {
            let views: Vec<_> =
                all.iter().zip(&told).map(|(probed, told)| json!({ "probed": probed, "summary": told })).collect();
            writeln!(out, "{}", insight::json::pretty(&json!({ "destinations": views }))?)?;
        }
        Format::Table => {
            for (probed, told) in all.iter().zip(&told) {
                write(probed, told, screen, out)?;
            }
        }
    }
    Ok(told.iter().flatten().any(|judgement| judgement.is_trouble))
}

/// The smart hosts of a connector, or the host that is named.
fn hosts(destination: &str, config: Option<&Config>) -> anyhow::Result<Vec<(String, u16)>> {
    let Some(connector) = config.and_then(|config| config.connector(destination)) else {
        return Ok(vec![host_and_port(destination)?]);
    };
    match &connector.hosts {
        Hosts::SmartHosts(hosts) => hosts
            .iter()
            .map(|host| {
                host_and_port(&SmartHost { port: host.port.or(Some(connector.port)), ..host.clone() }.to_string())
            })
            .collect(),
        Hosts::Mx => bail!("connector \"{destination}\" delivers to the MX of each domain; name one of these hosts"),
    }
}

async fn probe_host(
    host: &str,
    port: u16,
    resolver: &Resolver,
    arguments: &ProbeArguments,
) -> anyhow::Result<Vec<Probed>> {
    let addresses = resolver.addresses(host).await.map_err(|kind| anyhow::anyhow!("{host}: {kind}"))?;
    let options = ProbeOptions { timeout: *arguments.timeout, pause: *arguments.pause, ..ProbeOptions::default() };
    let mut all = Vec::new();
    for address in addresses.into_iter().map(|ip| SocketAddr::new(ip, port)) {
        let progress = Progress::new(address);
        let probed = probe(host, address, &options, |step| progress.show(step)).await;
        progress.clear();
        // As mail would, on to the next address where one cannot be connected to.
        let is_connected = probed.failure.as_ref().is_none_or(|failure| failure.phase > Phase::Connect);
        all.push(probed);
        if is_connected && !arguments.all_addresses {
            break;
        }
    }
    Ok(all)
}

pub(crate) fn host_and_port(text: &str) -> anyhow::Result<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let ip = address.ip();
        return Ok((if ip.is_ipv6() { format!("[IPv6:{ip}]") } else { format!("[{ip}]") }, address.port()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => {
            (host, port.parse().with_context(|| format!("\"{port}\" is not a port"))?)
        }
        _ => (text, SMTP_PORT),
    };
    if host.is_empty() {
        bail!("\"{text}\" names no host");
    }
    Ok((host.to_owned(), port))
}

/// What is being tried, on a terminal.
pub(crate) struct Progress {
    what: String,
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(what: impl ToString) -> Self {
        Self { what: what.to_string(), is_shown: std::io::stderr().is_terminal() }
    }

    pub(crate) fn show(&self, step: &str) {
        if self.is_shown {
            eprint!("\r\x1b[K{}: {step} …", self.what);
        }
    }

    pub(crate) fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// Something that the result means.
#[derive(serde::Serialize)]
struct Judgement {
    is_trouble: bool,
    text: String,
}

fn judge(probed: &Probed, now_s: i64) -> Vec<Judgement> {
    let trouble = |text: &str| Judgement { is_trouble: true, text: text.to_owned() };
    let mut told = Vec::new();
    match probed.starttls {
        StartTls::Offered => told.extend(judge_tls(probed)),
        StartTls::NotOffered => {
            told.push(trouble("It takes mail in the clear only: connectors with tls = \"require\" cannot reach it."))
        }
        StartTls::Masked => {
            told.push(trouble("A firewall before it masks STARTTLS as XXXXXXXA: switch its SMTP inspection off."))
        }
        StartTls::Refused => {
            told.push(trouble("It offers STARTTLS and then refuses it: its certificate or key is broken."))
        }
        StartTls::NotObserved => {}
    }
    if let Some(failure) = probed.failure.as_ref().filter(|_| told.iter().all(|judgement| !judgement.is_trouble)) {
        told.push(trouble(&format!("No mail reaches it: {failure}.")));
    }
    if let Some(facts) = &probed.handshake {
        if let Some(fault) = facts.certificate_fault {
            told.push(trouble(&format!("The certificate {fault}: connectors with tls = \"verify\" cannot reach it.")));
        } else if let Some(leaf) = facts.certificates.first() {
            let days = (leaf.not_after_s - now_s) / 86_400;
            let text = format!("The certificate is good for {days} more days.");
            told.push(Judgement { is_trouble: days < CERTIFICATE_DAYS_MIN, text });
        }
    }
    told
}

/// Time to renew.
const CERTIFICATE_DAYS_MIN: i64 = 14;

fn judge_tls(probed: &Probed) -> Vec<Judgement> {
    let trouble = |text: String| Judgement { is_trouble: true, text };
    let works = |name: &str| probed.variations.iter().any(|variation| variation.name == name && variation.works);
    let speaks: Vec<&VersionSupport> = probed.versions.iter().filter(|support| !support.suites.is_empty()).collect();
    let names = speaks.iter().map(|support| support.version.to_string()).collect::<Vec<_>>().join(", ");
    let mut told = Vec::new();
    if speaks.is_empty() {
        told.push(trouble("It agrees on no TLS version and no cipher suite that OpenSSL has.".to_owned()));
    } else if works("modern") {
        told.push(Judgement {
            is_trouble: false,
            text: format!("It speaks {names}. Mail under the policy modern reaches it."),
        });
    } else {
        let usable = |weak: bool| {
            let suites = speaks.iter().flat_map(|support| &support.suites).filter(|suite| suite.failure.is_none());
            suites
                .filter(|suite| {
                    weak || !matches!(suite.suite.bulk(), Bulk::Rc4 | Bulk::TripleDes | Bulk::Des | Bulk::Rc2)
                })
                .count()
        };
        let with = match (usable(false), usable(true)) {
            (1.., _) => "intermediate does",
            (0, 1..) => "only legacy does",
            (0, 0) => "no policy does",
        };
        told.push(trouble(format!("It speaks {names}. Mail under the policy modern does not reach it; {with}.")));
    }
    let hangs: Vec<&str> = speaks
        .iter()
        .flat_map(|support| &support.suites)
        .filter(|suite| suite.failure.as_ref().is_some_and(|failure| failure.phase == Phase::Ehlo))
        .map(|suite| suite.name.as_str())
        .collect();
    if !hangs.is_empty() {
        told.push(trouble(format!(
            "After the handshake it says nothing more with {}: leave these out of the policy.",
            hangs.join(", ")
        )));
    }
    if works("small-hello") && !works("large-hello") && works("modern") {
        told.push(trouble(
            "It, or a device before it, fails on a large ClientHello (post-quantum key shares).".to_owned(),
        ));
    }
    if probed
        .versions
        .iter()
        .any(|support| support.version.on_the_wire() <= WireVersion::TLS11 && !support.suites.is_empty())
        && works("modern")
    {
        told.push(Judgement {
            is_trouble: false,
            text: "It still takes TLS 1.0 or 1.1, which RFC 8996 forbids.".to_owned(),
        });
    }
    told
}

fn write(probed: &Probed, told: &[Judgement], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let title = format!("{} [{}]", probed.host, probed.address);
    writeln!(out, "{}", screen.paint(&clean(&title), Some(Colour::Bold)))?;
    for judgement in told {
        paragraph(&format!("- {}", judgement.text), "  ", screen, out)?;
    }
    if !probed.versions.is_empty() {
        writeln!(out)?;
        write_versions(probed, screen, out)?;
    }
    if let Some(leaf) = probed.handshake.as_ref().and_then(|facts| facts.certificates.first()) {
        writeln!(out)?;
        write_certificate(leaf, screen, out)?;
    }
    if !probed.groups.is_empty() {
        writeln!(out, "\nGroups       {}", probed.groups.join(", "))?;
    }
    if let Some(extensions) = probed.extensions {
        let size = extensions.size.map(|size| size.map_or("SIZE".to_owned(), |size| format!("SIZE {size}")));
        let names = [
            (extensions.pipelining, "PIPELINING"),
            (extensions.eight_bit_mime, "8BITMIME"),
            (extensions.smtputf8, "SMTPUTF8"),
            (extensions.dsn, "DSN"),
        ];
        let offered = names.into_iter().filter(|(offered, _)| *offered).map(|(_, name)| name.to_owned()).chain(size);
        writeln!(out, "EHLO offers  {}", offered.collect::<Vec<_>>().join(", "))?;
    }
    if !probed.variations.is_empty() {
        writeln!(out)?;
        write_variations(probed, screen, out)?;
    }
    let took = probed.phases.iter().map(|phase| format!("{} {:.1} ms", phase.phase, phase.duration_us as f64 / 1000.0));
    writeln!(out, "\nTime taken   {}", took.collect::<Vec<_>>().join(", "))?;
    let cut = if probed.is_cut { "; the bound was met, so there may be more" } else { "" };
    writeln!(out, "Connections  {}, none with mail{cut}", probed.connections)
}

fn write_versions(probed: &Probed, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("VERSION"), Column::whole("CIPHER SUITE"), Column::whole("ORDER"), Column::wrapped("THEN", 20)];
    let mut rows = Vec::new();
    for support in &probed.versions {
        let order = match support.server_prefers {
            Some(true) => "the server's",
            Some(false) => "the client's",
            None => "",
        };
        for (index, suite) in support.suites.iter().enumerate() {
            let first = index == 0;
            let version = if first { support.version.to_string() } else { String::new() };
            let then = match &suite.failure {
                None => Cell::coloured("EHLO answered", Colour::Green),
                Some(failure) => Cell::coloured(failure.to_string(), Colour::Red),
            };
            rows.push(vec![
                Cell::new(version),
                Cell::new(&suite.name),
                Cell::new(if first { order } else { "" }),
                then,
            ]);
        }
        if support.suites.is_empty() {
            let refusal = support.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
            rows.push(vec![
                Cell::new(support.version.to_string()),
                Cell::new("none"),
                Cell::new(""),
                Cell::new(refusal),
            ]);
        }
    }
    Table::new(&COLUMNS, screen).write(&rows, out)
}

fn write_certificate(leaf: &Certificate, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let until = jiff::Timestamp::from_second(leaf.not_after_s).map(|at| screen.time(at)).unwrap_or_default();
    writeln!(out, "Certificate  {}", clean(&leaf.subject))?;
    writeln!(out, "  issuer     {}", clean(&leaf.issuer))?;
    writeln!(out, "  names      {}", clean(&leaf.names.join(", ")))?;
    writeln!(out, "  until      {until}")?;
    writeln!(out, "  key        {}, {} bits; signed with {}", leaf.key, leaf.key_bits, leaf.signature)
}

fn write_variations(probed: &Probed, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("HELLO WITH"), Column::number("BYTES"), Column::whole("WORKS"), Column::wrapped("BECAUSE", 20)];
    let rows: Vec<_> = probed
        .variations
        .iter()
        .map(|variation| {
            let works =
                if variation.works { Cell::coloured("yes", Colour::Green) } else { Cell::coloured("no", Colour::Red) };
            let bytes = variation.hello_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
            let why = variation.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![Cell::new(variation.what), Cell::new(bytes), works, Cell::new(why)]
        })
        .collect();
    Table::new(&COLUMNS, screen).write(&rows, out)
}
