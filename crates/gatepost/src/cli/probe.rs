//! `gatepost probe`: shows what a destination supports, and what that means for mail.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
};

use anyhow::{Context as _, bail};
use insight::views::{JudgementView, ProbeView, ProbedDestinationView};
use net::{
    probe::{PolicySupport, ProbeOptions, Probed, Rung, StartTls, VersionSupport, probe},
    resolve::Resolver,
    send::interleave,
};
use node::{
    config::{Config, Connector, Hosts, SmartHost},
    policy::tls_settings,
    prober::{NodeResult, Unanswered, Witness, host_and_port, resolver},
};
use protocol::{
    smtp::{Failure, Phase},
    tls::{Certificate, TlsPolicy, WireVersion},
};

use super::{
    arguments::{Format, ProbeArguments},
    probe_view::view,
    screen::{Colour, Screen, clean, counted, paragraph, wrapped},
    table::{Cell, Column, Table},
};

/// True if mail would fail there.
pub(crate) async fn run(
    arguments: &ProbeArguments,
    config: Option<&Config>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let resolver = resolver(config)?;
    let (connector, hosts) = hosts(arguments, config)?;
    let options = options(arguments, config, connector.as_ref());
    let (mut all, mut judged) = (Vec::new(), Vec::new());
    for (host, port) in hosts {
        let probed = probe_host(&host, port, &resolver, &options, arguments.all_addresses).await?;
        judged.extend(judge_host(&probed, screen.now.as_second()));
        all.extend(probed);
    }
    match arguments.output.format {
        Format::Json => {
            let destinations = all
                .iter()
                .zip(&judged)
                .map(|(probed, list)| ProbedDestinationView { probed: view(probed), summary: list.clone() });
            let view = ProbeView { destinations: destinations.collect() };
            writeln!(out, "{}", insight::json::pretty(&view)?)?;
        }
        Format::Table => {
            for (probed, judgements) in all.iter().zip(&judged) {
                write(probed, judgements, screen, out)?;
            }
        }
    }
    Ok(judged.iter().flatten().any(|judgement| judgement.is_trouble))
}

/// A host and its port.
type Host = (String, u16);

/// The connector that mail takes, and the hosts to probe: those of a connector, or the one in the argument.
fn hosts(arguments: &ProbeArguments, config: Option<&Config>) -> anyhow::Result<(Option<Connector>, Vec<Host>)> {
    let destination = arguments.destination.as_str();
    let Some(named) = config.and_then(|config| config.connector(destination)) else {
        let (host, port) = host_and_port(destination)?;
        let connector = match &arguments.connector {
            Some(name) => Some(named_connector(name, config)?),
            None => config.and_then(|config| config.connector_to(&host, port)),
        };
        return Ok((connector, vec![(host, port)]));
    };
    let hosts = match &named.hosts {
        Hosts::SmartHosts(hosts) => hosts
            .iter()
            .map(|host| host_and_port(&SmartHost { port: host.port.or(Some(named.port)), ..host.clone() }.to_string()))
            .collect::<anyhow::Result<_>>()?,
        Hosts::Mx => {
            bail!(
                "connector \"{destination}\" delivers to the MX hosts of each domain; name one of these hosts with \
                 --connector {destination}"
            )
        }
    };
    Ok((Some(named), hosts))
}

fn named_connector(name: &str, config: Option<&Config>) -> anyhow::Result<Connector> {
    let config = config.context("--connector needs a configuration; name its file with --config")?;
    config.connector(name).with_context(|| {
        let known: Vec<&str> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
        format!("unknown connector \"{name}\"; connectors are: {}", known.join(", "))
    })
}

/// Connects as mail of the connector does: with its policy, certificates and name.
fn options(arguments: &ProbeArguments, config: Option<&Config>, connector: Option<&Connector>) -> ProbeOptions {
    let mut options = ProbeOptions { timeout: *arguments.timeout, pause: *arguments.pause, ..ProbeOptions::default() };
    if let (Some(config), Some(connector)) = (config, connector) {
        let policy = config.policy(&connector.tls_policy).unwrap_or_else(TlsPolicy::modern);
        options.as_mail = tls_settings(connector, policy);
        options.ehlo_name = connector.hello.clone();
    } else if let Some(config) = config {
        options.ehlo_name = config.node.hostname.clone();
    }
    options
}

async fn probe_host(
    host: &str,
    port: u16,
    resolver: &Resolver,
    options: &ProbeOptions,
    all_addresses: bool,
) -> anyhow::Result<Vec<Probed>> {
    let addresses = resolver.addresses(host).await.map_err(|kind| anyhow::anyhow!("{host}: {kind}"))?;
    let mut all = Vec::new();
    for address in interleave(addresses).into_iter().map(|ip| SocketAddr::new(ip, port)) {
        let progress = Progress::new(address);
        let probed = probe(host, address, options, |step| progress.show(step)).await;
        progress.clear();
        // As mail does, continue with the next address if this one accepts no connection.
        all.push(probed);
        if all.last().is_some_and(is_connected) && !all_addresses {
            break;
        }
    }
    Ok(all)
}

/// Shows the current step, on a terminal only.
pub(super) struct Progress {
    what: String,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(what: impl ToString) -> Self {
        Self { what: what.to_string(), is_shown: std::io::stderr().is_terminal() }
    }

    pub(super) fn show(&self, step: &str) {
        if self.is_shown {
            eprint!("\r\x1b[K{}: {step} …", self.what);
        }
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// Shows the steps of a probe of a finding, and the nodes that made no connection.
#[derive(Default)]
pub(crate) struct Shown(Option<Progress>);

impl Shown {
    fn show(&mut self, step: &str) {
        self.0.get_or_insert_with(|| Progress::new("probe")).show(step);
    }

    fn clear(&self) {
        self.0.iter().for_each(Progress::clear);
    }
}

impl Witness for Shown {
    fn asked(&mut self, _: &[String]) {
        self.show("asking each node to connect");
    }

    fn answered(&mut self, answer: Result<&NodeResult, &Unanswered>) {
        if let Err(Unanswered { node, why }) = answer {
            self.clear();
            note!("gatepost: node {} did not connect: {}", clean(node), clean(why));
        }
    }

    fn rung(&mut self, rung: Rung<'_>) {
        match rung {
            Rung::AsMail(..) => self.show("connecting as mail does"),
            Rung::With(change) => self.show(&change.what()),
            Rung::Ended(_) => {}
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.clear();
    }
}

fn is_connected(probed: &Probed) -> bool {
    probed.failure.as_ref().is_none_or(|failure| failure.phase > Phase::Connect)
}

/// The conclusions about each address of a host. Mail does not fail because of an address that accepts no connection if
/// another one does.
fn judge_host(all: &[Probed], now_s: i64) -> Vec<Vec<JudgementView>> {
    let has_next = all.iter().any(is_connected);
    let judge = |probed: &Probed| match &probed.failure {
        Some(failure) if has_next && !is_connected(probed) => {
            let why = without_destination(failure);
            let text = format!("Mail cannot reach this address ({why}). It goes to another address of the host.");
            vec![JudgementView { is_trouble: false, text }]
        }
        _ => judge(probed, now_s),
    };
    all.iter().map(judge).collect()
}

fn judge(probed: &Probed, now_s: i64) -> Vec<JudgementView> {
    let trouble = |text: &str| JudgementView { is_trouble: true, text: text.to_owned() };
    let mut judgements = Vec::new();
    match probed.starttls {
        StartTls::Offered => judgements.extend(judge_tls(probed)),
        StartTls::NotOffered => judgements.push(trouble(
            "The destination accepts mail in plaintext only. Connectors with tls = \"require\" cannot deliver to it.",
        )),
        StartTls::Masked => judgements.push(trouble(
            "A firewall overwrites STARTTLS with XXXXXXXA. Turn off its SMTP inspection for this destination.",
        )),
        StartTls::Refused => judgements
            .push(trouble("The destination offers STARTTLS but rejects the command. Check its certificate and key.")),
        StartTls::NotObserved if probed.begins_with_tls => judgements.push(trouble(
            "The destination begins TLS at once, as port 465 does. Use its port with STARTTLS, usually 25 or 587.",
        )),
        StartTls::NotObserved => {}
    }
    if let Some(failure) = probed.failure.as_ref().filter(|_| judgements.iter().all(|judgement| !judgement.is_trouble))
    {
        judgements.push(trouble(&insight::sentence(&format!("Mail cannot reach the destination: {failure}"))));
    }
    if let Some(facts) = &probed.handshake {
        if let Some(fault) = facts.certificate_fault {
            let text =
                format!("The certificate {fault}. Connectors with tls = \"verify\" cannot deliver to the destination.");
            judgements.push(trouble(&text));
        } else if let Some(leaf) = facts.certificates.first() {
            let days = (leaf.not_after_s - now_s) / 86_400;
            let text = match u64::try_from(days) {
                Ok(days) => format!("The certificate expires in {}.", counted(days, "day", "days")),
                Err(_) => "The certificate has expired.".to_owned(),
            };
            judgements.push(JudgementView { is_trouble: days < CERTIFICATE_DAYS_MIN, text });
        }
    }
    judgements
}

/// Below this, it is time to renew the certificate.
const CERTIFICATE_DAYS_MIN: i64 = 14;

fn judge_tls(probed: &Probed) -> Vec<JudgementView> {
    let trouble = |text: String| JudgementView { is_trouble: true, text };
    let works = |name: &str| probed.variations.iter().any(|variation| variation.name == name && variation.works);
    let supported: Vec<&VersionSupport> = probed.versions.iter().filter(|support| !support.suites.is_empty()).collect();
    let names = supported.iter().map(|support| support.version.to_string()).collect::<Vec<_>>().join(", ");
    let own = probed.policies.first();
    let own_works = own.is_some_and(|policy| policy.works);
    let own = own.map(|policy| policy.name.as_str()).unwrap_or_default();
    let mut judgements = Vec::new();
    if supported.is_empty() {
        judgements.push(trouble("The destination supports no TLS version and no cipher suite of OpenSSL.".to_owned()));
    } else if own_works {
        let text = format!("The destination supports {names}. The policy {own} works.");
        judgements.push(JudgementView { is_trouble: false, text });
    } else {
        let others: Vec<&str> =
            probed.policies.iter().skip(1).filter(|policy| policy.works).map(|policy| policy.name.as_str()).collect();
        let with = match others.as_slice() {
            [] => "no built-in policy works".to_owned(),
            [only] => format!("only {only} works"),
            [strictest, ..] => format!("{strictest} works"),
        };
        judgements.push(trouble(format!("The destination supports {names}. The policy {own} does not work; {with}.")));
    }
    let hangs: Vec<&str> = supported
        .iter()
        .flat_map(|support| &support.suites)
        .filter(|suite| suite.failure.as_ref().is_some_and(|failure| failure.phase == Phase::Ehlo))
        .map(|suite| suite.name.as_str())
        .collect();
    if !hangs.is_empty() {
        judgements.push(trouble(format!(
            "The destination does not answer after the TLS handshake with {}. Use a policy without these cipher suites.",
            hangs.join(", ")
        )));
    }
    if works("small-hello") && !works("large-hello") && own_works {
        judgements.push(trouble(
            "The destination or a device in the network fails on a large ClientHello (post-quantum key shares)."
                .to_owned(),
        ));
    }
    if probed
        .versions
        .iter()
        .any(|support| support.version.on_the_wire() <= WireVersion::TLS11 && !support.suites.is_empty())
        && own_works
    {
        judgements.push(JudgementView {
            is_trouble: false,
            text: "The destination still accepts TLS 1.0 or 1.1, which RFC 8996 forbids.".to_owned(),
        });
    }
    judgements
}

/// The indent of further lines below a title.
const MARGIN: &str = "             ";

fn write(probed: &Probed, judgements: &[JudgementView], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let title = format!("{} [{}]", probed.host, probed.address);
    writeln!(out, "{}", screen.paint(&clean(&title), Some(Colour::Bold)))?;
    for judgement in judgements {
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
        writeln!(out)?;
        wrapped(&probed.groups.join(", "), "Groups       ", MARGIN, screen, out)?;
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
    if !probed.policies.is_empty() {
        writeln!(out)?;
        write_policies(probed, screen, out)?;
    }
    if !probed.variations.is_empty() {
        writeln!(out)?;
        write_variations(probed, screen, out)?;
    }
    let took = probed.phases.iter().map(|phase| format!("{} {:.1} ms", phase.phase, phase.duration_us as f64 / 1000.0));
    writeln!(out)?;
    wrapped(&took.collect::<Vec<_>>().join(", "), "Time taken   ", MARGIN, screen, out)?;
    let cut = if probed.is_cut { "; stopped at the maximum, so the list may be incomplete" } else { "" };
    writeln!(out, "Connections  {} (no mail sent){cut}", probed.connections)
}

/// The failure in words; the title names the destination already.
fn without_destination(failure: &Failure) -> String {
    Failure { destination: None, ..failure.clone() }.summary()
}

fn write_versions(probed: &Probed, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] = [
        Column::whole("VERSION"),
        Column::whole("CIPHER SUITE"),
        Column::whole("ORDER"),
        Column::wrapped("RESULT", 20),
    ];
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
                None => Cell::coloured("works", Colour::Green),
                Some(failure) => Cell::coloured(without_destination(failure), Colour::Red),
            };
            rows.push(vec![
                Cell::new(version),
                Cell::new(&suite.name),
                Cell::new(if first { order } else { "" }),
                then,
            ]);
        }
        if support.suites.is_empty() {
            let refusal = support.refusal.as_ref().map(without_destination).unwrap_or_default();
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
    let is_expired = leaf.not_after_s < screen.now.as_second();
    let expired = if is_expired { format!("  {}", screen.paint("EXPIRED", Some(Colour::Red))) } else { String::new() };
    writeln!(out, "  expires    {until}{expired}")?;
    writeln!(out, "  key        {}, {} bits; signed with {}", leaf.key, leaf.key_bits, leaf.signature)
}

fn write_policies(probed: &Probed, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 3] = [Column::whole("POLICY"), Column::whole("WORKS"), Column::wrapped("FAILURE", 20)];
    let row = |policy: &PolicySupport| {
        let why = policy.failure.as_ref().map(without_destination).unwrap_or_default();
        vec![Cell::new(&policy.name), works_cell(policy.works), Cell::new(why)]
    };
    Table::new(&COLUMNS, screen).write(&probed.policies.iter().map(row).collect::<Vec<_>>(), out)
}

fn works_cell(works: bool) -> Cell {
    if works { Cell::coloured("yes", Colour::Green) } else { Cell::coloured("no", Colour::Red) }
}

/// The ClientHello of mail, and below it what changes in one way each.
fn write_variations(probed: &Probed, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] = [
        Column::wrapped("CLIENTHELLO", 24),
        Column::number("BYTES"),
        Column::whole("WORKS"),
        Column::wrapped("FAILURE", 20),
    ];
    let rows: Vec<_> = probed
        .variations
        .iter()
        .map(|variation| {
            let bytes = variation.hello_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
            let why = variation.failure.as_ref().map(without_destination).unwrap_or_default();
            vec![Cell::new(&variation.what), Cell::new(bytes), works_cell(variation.works), Cell::new(why)]
        })
        .collect();
    Table::new(&COLUMNS, screen).write(&rows, out)
}
