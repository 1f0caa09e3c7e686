//! `gatepost policy`: the TLS policies, and which connector is under which.

use std::io::Write;

use protocol::tls::TlsPolicy;
use serde_json::json;

use super::{
    arguments::{Format, PolicyCommand},
    screen::Screen,
    table::{Cell, Column, Table},
};
use crate::config::Config;

pub(crate) fn run(
    command: &PolicyCommand,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let PolicyCommand::List { format } = command;
    match format {
        Format::Table => table(config, screen, out)?,
        Format::Json => {
            let policies: Vec<_> = TlsPolicy::BUILT_IN.iter().map(|policy| view(policy, config)).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "policies": policies }))?)?;
        }
    }
    Ok(())
}

fn connectors<'a>(policy: &TlsPolicy, config: &'a Config) -> Vec<&'a str> {
    let under = config.connectors.iter().filter(|connector| connector.tls_policy.policy().name == policy.name);
    under.map(|connector| connector.name.as_str()).collect()
}

fn view(policy: &TlsPolicy, config: &Config) -> serde_json::Value {
    json!({
        "name": policy.name,
        "minimum": policy.minimum.to_string(),
        "maximum": policy.maximum.to_string(),
        "ciphers": policy.ciphers,
        "suites": policy.suites,
        "groups": policy.groups,
        "security_level": policy.security_level,
        "connectors": connectors(policy, config),
    })
}

fn table(config: &Config, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] = [
        Column::whole("POLICY"),
        Column::whole("VERSIONS"),
        Column::cut("CIPHERS UP TO TLS 1.2", 20),
        Column::cut("CONNECTORS", 10),
    ];
    let rows = TlsPolicy::BUILT_IN.iter().map(|policy| {
        vec![
            Cell::new(policy.name),
            Cell::new(format!("{} to {}", policy.minimum, policy.maximum)),
            Cell::new(policy.ciphers),
            Cell::new(connectors(policy, config).join(", ")),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
}
