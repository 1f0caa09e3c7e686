//! The first difference: a failed attempt beside one that worked, step by step.

use maud::{Markup, html};

use super::Drawing;
use crate::{
    views::{CellView, OfferView, PairStepView, SeenAttemptView},
    wording::{capitalised, clock},
};

/// Cipher suites that are named, unless one of them is the one that the server chose.
const SUITES_NAMED: usize = 3;

impl Drawing<'_> {
    /// The two attempts.
    pub fn pair(&self) -> Markup {
        let Some(pair) = &self.picture.pair else { return html! {} };
        let rows = rows(&pair.steps);
        html! {
            table.pair {
                thead {
                    tr {
                        th scope="col" { "Step" }
                        th scope="col" { span.key.fails {} (self.head(&pair.failed)) }
                        th scope="col" { span.key.works {} (self.head(&pair.worked)) }
                    }
                }
                tbody { @for row in &rows { (self.pair_row(row)) } }
            }
        }
    }

    fn head(&self, attempt: &SeenAttemptView) -> Markup {
        let parts = [attempt.node.as_deref(), attempt.tls_policy.as_deref()].into_iter().flatten();
        html! {
            @for part in parts { (self.text_of(part)) ", " }
            @if let Some(at) = attempt.at { time datetime=(format!("{at:.0}")) { (clock(at)) } }
        }
    }

    fn pair_row(&self, row: &Row<'_>) -> Markup {
        let names: Vec<&str> = row.steps.iter().map(|step| name(&step.step)).collect();
        let Some(first) = row.steps.first() else { return html! {} };
        let is_end = row.steps.iter().any(|step| step.step == "message");
        html! {
            tr class=[row.frame] {
                th scope="row" { (capitalised(&names.join(", "))) }
                @if first.differs {
                    td data-label="Failed" { span { (self.cell(is_end, &first.failed, first.offer.as_ref().map(Offered::failed))) } }
                    td data-label="Worked" { span { (self.cell(is_end, &first.worked, first.offer.as_ref().map(Offered::worked))) } }
                } @else {
                    td.quiet colspan="2" { "the same in both" (self.equal(row)) }
                }
            }
        }
    }

    fn equal(&self, row: &Row<'_>) -> Markup {
        let seen: Vec<&str> =
            row.steps.iter().map(|step| step.failed.what.as_str()).filter(|what| !what.is_empty()).collect();
        html! { @for (at, what) in seen.iter().enumerate() { (if at == 0 { ": " } else { ", " }) (self.text_of(what)) } }
    }

    fn cell(&self, is_end: bool, cell: &CellView, offered: Option<Offered<'_>>) -> Markup {
        html! {
            @match cell.outcome.as_str() {
                "failed" => { span.key.fails {} b { (self.text_of(&capitalised(&cell.what))) } },
                "not-reached" => span.quiet { "not reached" },
                "not-used" => span.quiet { "not used" },
                _ => @if let Some(offered) = offered { (self.offered(&offered)) }
                    @else if cell.what.is_empty() { (if is_end { "accepted" } else { "passed" }) }
                    @else { span.key.works {} b { (self.text_of(&cell.what)) } },
            }
        }
    }

    fn offered(&self, offered: &Offered<'_>) -> Markup {
        let named = |names: &[String], count: u32| {
            let is_chosen = offered.chosen.is_some_and(|chosen| names.first().is_some_and(|first| first == chosen));
            let shown = &names[..names.len().min(if is_chosen { 1 } else { SUITES_NAMED })];
            let (more, shown) = ((count as usize).saturating_sub(shown.len()), shown.join(", "));
            match more {
                0 => shown,
                _ => format!("{shown} and {more} more"),
            }
        };
        html! {
            @if let Some(versions) = offered.versions { (self.text_of(&versions.join(", "))) "; " }
            (offered.count) " cipher suites"
            @if offered.has > 0 { ", with " b { (self.text_of(&named(offered.only, offered.has))) } }
            @if offered.lacks > 0 { ", without " b { (self.text_of(&named(offered.missing, offered.lacks))) } }
            @if offered.has + offered.lacks > 0 { " " span.quiet { "(" (offered.equal) " are the same)" } }
        }
    }
}

/// One of two offers, compared with the other.
struct Offered<'a> {
    /// `None`: both have the same versions.
    versions: Option<&'a [String]>,
    count: u32,
    equal: u32,
    /// Suites that only this one has, and those that only the other one has; some of them by name.
    only: &'a [String],
    has: u32,
    missing: &'a [String],
    lacks: u32,
    /// The suite that the server chose in the attempt that worked.
    chosen: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn failed(offer: &'a OfferView) -> Self {
        Self {
            versions: (offer.versions_failed != offer.versions_worked).then_some(&offer.versions_failed),
            count: offer.suites_failed,
            equal: offer.suites_equal,
            only: &offer.suites_only_failed,
            has: offer.suites_failed.saturating_sub(offer.suites_equal),
            missing: &offer.suites_only_worked,
            lacks: offer.suites_worked.saturating_sub(offer.suites_equal),
            chosen: offer.chosen.as_deref(),
        }
    }

    fn worked(offer: &'a OfferView) -> Self {
        let Self { equal, only, has, missing, lacks, chosen, .. } = Self::failed(offer);
        Self {
            versions: (offer.versions_failed != offer.versions_worked).then_some(&offer.versions_worked),
            count: offer.suites_worked,
            equal,
            only: missing,
            has: lacks,
            missing: only,
            lacks: has,
            chosen,
        }
    }
}

/// Steps that one row shows.
struct Row<'a> {
    steps: Vec<&'a PairStepView>,
    /// The place of the row in the frame around the first difference.
    frame: Option<&'static str>,
}

/// Equal steps that follow each other are one row, and so is all that the failed attempt did not reach.
fn rows(steps: &[PairStepView]) -> Vec<Row<'_>> {
    let is_unreached = |step: &PairStepView| step.failed.outcome == "not-reached" && step.worked.what.is_empty();
    let is_like =
        |a: &PairStepView, b: &PairStepView| (!a.differs && !b.differs) || (is_unreached(a) && is_unreached(b));
    let mut rows: Vec<Row<'_>> =
        steps.chunk_by(is_like).map(|steps| Row { steps: steps.iter().collect(), frame: None }).collect();
    frame(&mut rows);
    rows
}

/// The frame is around the step that failed, and what differs directly before it.
fn frame(rows: &mut [Row<'_>]) {
    let is_parting = |row: &Row<'_>| row.steps.iter().any(|step| step.failed.outcome == "failed" && step.differs);
    let differs = |row: &Row<'_>| row.steps.iter().any(|step| step.differs);
    let Some(last) = rows.iter().position(is_parting).or_else(|| rows.iter().position(differs)) else { return };
    let first = rows[..last].iter().rposition(|row| !differs(row)).map_or(0, |equal| equal + 1);
    for (at, row) in rows.iter_mut().enumerate().take(last + 1).skip(first) {
        row.frame = Some(match (at == first, at == last) {
            (true, true) => "framed begin end",
            (true, false) => "framed begin",
            (false, true) => "framed end",
            (false, false) => "framed",
        });
    }
}

fn name(step: &str) -> &str {
    match step {
        "connect" => "connection",
        "banner" => "greeting",
        "ehlo" => "EHLO",
        "starttls" => "STARTTLS",
        "offer" => "offer",
        "choice" => "server’s choice",
        "certificate" => "certificate",
        "mail" => "sender",
        "rcpt" => "recipient",
        "message" => "message",
        other => other,
    }
}
