//! `gatepost tallies`: shows how many deliveries were accepted, delivered, deferred, bounced or removed over time.

use std::io::Write;

use anyhow::Context as _;
use insight::{json, views::TallyView};
use jiff::Timestamp;
use store::{Store, Tally, TallyBy, TallyQuery};

use super::{
    arguments::{Format, TalliesArguments},
    screen::{Screen, size},
    table::{Cell, Column, Table},
};

pub(crate) async fn run<S: Store>(
    arguments: &TalliesArguments,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let TalliesArguments { since, until, by, step, output } = arguments;
    let by: Vec<TallyBy> = by.iter().copied().map(TallyBy::from).collect();
    let query = TallyQuery {
        since: since.timestamp(screen.now),
        // The clock of the store may be ahead.
        until: until.map_or(Timestamp::MAX, |until| until.timestamp(screen.now)),
        step: (*step).into(),
        by: by.clone(),
        limit: None,
    };
    let tallies = store.tallies(query).await.context("failed to read the tallies")?;
    match output.format {
        Format::Json => {
            let mut list = json::List::open("tallies", out)?;
            tallies.into_iter().try_for_each(|tally| list.push(&TallyView::from(tally)))?;
            Ok(list.close("")?)
        }
        Format::Table if tallies.is_empty() => Ok(writeln!(out, "No deliveries were counted in this time.")?),
        Format::Table => Ok(table(tallies, &by, screen, out)?),
    }
}

fn table(tallies: Vec<Tally>, by: &[TallyBy], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let shown = || TallyBy::ALL.into_iter().filter(|dimension| by.contains(dimension));
    let mut columns = vec![Column::whole("TIME")];
    columns.extend(shown().map(column));
    columns.extend([Column::number("DELIVERIES"), Column::number("SIZE")]);
    let row = |tally: Tally| {
        let mut row = vec![Cell::time(tally.at, screen)];
        row.extend(shown().map(|dimension| Cell::new(value(&tally, dimension))));
        row.extend([Cell::new(tally.deliveries.to_string()), Cell::new(size(tally.bytes))]);
        row
    };
    Table::new(&columns, screen).write(&tallies.into_iter().map(row).collect::<Vec<_>>(), out)
}

fn column(by: TallyBy) -> Column {
    match by {
        TallyBy::Outcome => Column::whole("OUTCOME"),
        TallyBy::Connector => Column::cut("CONNECTOR", 9),
        TallyBy::Node => Column::cut("NODE", 6),
        TallyBy::TlsPolicy => Column::cut("POLICY", 8),
        TallyBy::Tls => Column::cut("TLS", 9),
        TallyBy::Cause => Column::cut("CAUSE", 16),
    }
}

fn value(tally: &Tally, by: TallyBy) -> &str {
    let text = match by {
        TallyBy::Outcome => return tally.outcome.map_or("", |outcome| outcome.name()),
        TallyBy::Connector => &tally.connector,
        TallyBy::Node => &tally.node,
        TallyBy::TlsPolicy => &tally.tls_policy,
        TallyBy::Tls => &tally.tls,
        TallyBy::Cause => &tally.cause,
    };
    text.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use store::TallyOutcome;

    use super::*;

    #[test]
    fn a_table_has_a_column_for_each_dimension() {
        let tally = Tally {
            at: "2026-07-30T12:00:00Z".parse().unwrap(),
            outcome: Some(TallyOutcome::Deferred),
            connector: None,
            node: None,
            tls_policy: None,
            tls: None,
            cause: Some("rcpt rejected 451 4.7.1".to_owned()),
            deliveries: 12,
            bytes: 3 << 20,
        };
        let screen = Screen { width: None, colour: false, zone: TimeZone::UTC, now: tally.at };
        let mut out = Vec::new();
        table(vec![tally], &[TallyBy::Cause, TallyBy::Outcome], &screen, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
TIME                        OUTCOME   CAUSE                    DELIVERIES     SIZE
2026-07-30 12:00:00 +00:00  deferred  rcpt rejected 451 4.7.1          12  3.0 MiB
";
        assert_eq!(text, expected);
    }
}
