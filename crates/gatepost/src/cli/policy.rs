//! `gatepost policy`: shows the TLS policies, the connectors that use them, and deliveries below the policy "modern".

use std::io::Write;

use anyhow::Context as _;
use insight::views::{LedgerView, PolicyView};
use node::config::Config;
use protocol::tls::TlsPolicy;
use serde_json::json;
use store::{LedgerEntry, Store};

use super::{
    arguments::{Format, Output},
    screen::{Screen, clean},
    table::{Cell, Column, Table},
};

pub(crate) fn list(format: Format, config: &Config, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    match format {
        Format::Table => table(config, screen, out)?,
        Format::Json => {
            let view = |policy: TlsPolicy| {
                let names = config.connectors_under(&policy.name).map(str::to_owned).collect();
                PolicyView::new(policy, names)
            };
            let policies: Vec<_> = config.policies().map(view).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "policies": policies }))?)?;
        }
    }
    Ok(())
}

fn table(config: &Config, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] = [
        Column::whole("POLICY"),
        Column::whole("VERSIONS"),
        Column::cut("CIPHER SUITES TO TLS 1.2", 20),
        Column::wrapped("CONNECTORS", 10),
    ];
    let rows = config.policies().map(|policy| {
        vec![
            Cell::new(&policy.name),
            Cell::new(format!("{} to {}", policy.minimum, policy.maximum)),
            Cell::new(&policy.ciphers),
            Cell::new(config.connectors_under(&policy.name).collect::<Vec<_>>().join(", ")),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
}

pub(crate) async fn ledger<S: Store>(
    output: Output,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let ledger = store.ledger().await.context("failed to read the ledger")?;
    match output.format {
        Format::Json => {
            let ledger: Vec<LedgerView> = ledger.iter().map(LedgerView::from).collect();
            writeln!(out, "{}", insight::json::pretty(&json!({ "ledger": ledger }))?)?;
        }
        Format::Table if ledger.is_empty() => {
            writeln!(out, "No deliveries in plaintext or below the policy \"modern\".")?;
        }
        Format::Table => ledger_table(&ledger, screen, out)?,
    }
    Ok(())
}

fn ledger_table(ledger: &[LedgerEntry], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 8] = [
        Column::cut("DESTINATION", 12),
        Column::cut("CONNECTOR", 8).spare(2),
        Column::cut("POLICY", 8).spare(3),
        Column::cut("ENCRYPTION", 9),
        Column::whole("WHY"),
        Column::number("DELIVERIES"),
        Column::whole("FIRST").spare(2),
        Column::whole("LAST"),
    ];
    let ago = |at| format!("{} ago", screen.age(at));
    let rows = ledger.iter().map(|entry| {
        let encryption = entry.tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.cipher));
        vec![
            Cell::new(clean(&format!("{}:{}", entry.host, entry.port))),
            Cell::new(&entry.connector),
            Cell::new(&entry.tls_policy),
            Cell::new(encryption.as_deref().unwrap_or("plaintext")),
            Cell::new(entry.why.to_string()),
            Cell::new(entry.deliveries.to_string()),
            Cell::new(ago(entry.first)),
            Cell::new(ago(entry.last)),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
}
