//! `gatepost connector`: lists the connectors, and checks that mail can leave by one of them.

use std::io::Write;

use anyhow::anyhow;
use insight::views::{
    ConnectorValidationView, ConnectorView, JobStepStateView, ValidatedAddressView, ValidatedStepView,
    ValidationStepView,
};
use node::{
    config::Config,
    validation::{Mail, Observer, validate},
};
use protocol::{host_port, tls::TlsPolicy};
use serde_json::json;

use super::{
    arguments::{ConnectorCommand, Format, ValidateArguments},
    probe::Progress,
    screen::{Colour, Screen, clean},
    similar::no_match,
    table::{Cell, Column, Table},
};

/// True if mail cannot leave by the connector.
pub(crate) async fn run(
    command: &ConnectorCommand,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    match command {
        ConnectorCommand::List { format } => list(*format, config, screen, out).map(|()| false),
        ConnectorCommand::Validate(arguments) => check(arguments, config, screen, out).await,
    }
}

fn list(format: Format, config: &Config, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::cut("CONNECTOR", 9),
        Column::cut("HOSTS", 16),
        Column::whole("TLS"),
        Column::cut("POLICY", 8),
        Column::cut("DOMAINS", 10),
    ];
    let connectors = node::connectors(config);
    if format == Format::Json {
        return Ok(writeln!(out, "{}", insight::json::pretty(&json!({ "connectors": connectors }))?)?);
    }
    let row = |connector: &ConnectorView| {
        vec![
            Cell::new(&connector.name),
            Cell::new(connector.hosts.join(", ")),
            Cell::new(&connector.tls),
            Cell::new(&connector.tls_policy),
            Cell::new(connector.domains.join(", ")),
        ]
    };
    Ok(Table::new(&COLUMNS, screen).write(&connectors.iter().map(row).collect::<Vec<_>>(), out)?)
}

async fn check(
    arguments: &ValidateArguments,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let ValidateArguments { connector: name, recipient, test_mail, output } = arguments;
    let Some(connector) = config.connector(name) else {
        return Err(no_match("no connector is named", name, config.connector_names()));
    };
    let mail = Mail::read(recipient.as_deref(), *test_mail).map_err(|error| anyhow!("--recipient: {error}"))?;
    let policy = config.policy(&connector.tls_policy).unwrap_or_else(TlsPolicy::modern);
    let mut shown = Shown(Progress::new(name));
    let validation = validate(config, &connector, policy, &config.node.name, mail.as_ref(), &mut shown).await?;
    drop(shown);
    match output.format {
        Format::Json => writeln!(out, "{}", insight::json::pretty(&validation)?)?,
        Format::Table => write(&validation, screen, out)?,
    }
    Ok(!validation.works)
}

/// Shows the step that is being made.
struct Shown(Progress);

impl Observer for Shown {
    fn begins(&mut self, place: &str, step: ValidationStepView) {
        self.0.show(&format!("{}, {}", clean(place), step.title()));
    }

    fn ended(&mut self, _: &str, _: &ValidatedStepView) {}
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.clear();
    }
}

fn write(validation: &ConnectorValidationView, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let ConnectorValidationView { connector, tls_policy, works, hosts, .. } = validation;
    let verdict = if *works { "mail can leave by it" } else { "mail cannot leave by it" };
    let title = format!("Connector {}, policy {}: {verdict}", clean(connector), clean(tls_policy));
    let colour = if *works { Colour::Green } else { Colour::Red };
    writeln!(out, "{}", screen.paint(&title, Some(colour)))?;
    for host in hosts {
        let name = host_port::join(&host.host, Some(host.port));
        writeln!(out, "\n{}", screen.paint(&clean(&name), Some(Colour::Bold)))?;
        write_steps(std::slice::from_ref(&host.resolved), screen, out)?;
        for ValidatedAddressView { address, steps, .. } in &host.addresses {
            writeln!(out, "\n{address}")?;
            write_steps(steps, screen, out)?;
        }
    }
    Ok(())
}

fn write_steps(steps: &[ValidatedStepView], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("STEP"), Column::whole("RESULT"), Column::number("MS"), Column::wrapped("DETAIL", 20)];
    let row = |step: &ValidatedStepView| {
        let result = match step.state {
            JobStepStateView::Worked => Cell::coloured("worked", Colour::Green),
            JobStepStateView::Warned => Cell::coloured("look at it", Colour::Yellow),
            JobStepStateView::Failed => Cell::coloured("failed", Colour::Red),
            JobStepStateView::Skipped | JobStepStateView::Running => Cell::new("not made"),
        };
        let took = step.took_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default();
        vec![
            Cell::new(step.step.title()),
            result,
            Cell::new(took),
            Cell::new(clean(step.detail.as_deref().unwrap_or_default())),
        ]
    };
    Table::new(&COLUMNS, screen).write(&steps.iter().map(row).collect::<Vec<_>>(), out)
}
