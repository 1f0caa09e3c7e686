//! A table of attempts that failed and that worked, with bars: solid and hollow, so that colour is not needed.

use maud::{Markup, html};

use super::words::{foreign, number};

/// Attempts that have a value in common.
pub(super) struct Group {
    pub(super) name: String,
    /// Another value, attempts that failed, and those that worked.
    pub(super) rows: Vec<(String, u64, u64)>,
}

impl Group {
    fn all(&self) -> (u64, u64) {
        self.rows.iter().fold((0, 0), |(fails, works), (_, failed, worked)| (fails + failed, works + worked))
    }
}

/// All bars have one scale.
pub(super) fn outcome_table(title: &str, groups: &[Group]) -> Markup {
    let most = groups.iter().map(Group::all).map(|(failed, worked)| failed + worked).max().unwrap_or(0).max(1);
    html! {
        table.bars {
            thead {
                tr {
                    th scope="col" { (title) }
                    th scope="col" { span.key.fails {} "Failed" }
                    th scope="col" { span.key {} "Worked" }
                    td.bar {}
                }
            }
            @for group in groups {
                tbody {
                    tr.whole { (row(&group.name, group.all(), most)) }
                    @if group.rows.len() > 1 || group.rows.iter().any(|(name, ..)| *name != group.name) {
                        @for (name, failed, worked) in &group.rows { tr.part { (row(name, (*failed, *worked), most)) } }
                    }
                }
            }
        }
    }
}

fn row(name: &str, (failed, worked): (u64, u64), most: u64) -> Markup {
    let count = |count: u64| if count == 0 { "–".to_owned() } else { number(count) };
    html! {
        th scope="row" { (foreign(name)) }
        td { (count(failed)) }
        td { (count(worked)) }
        td.bar { (bar(failed, worked, most)) }
    }
}

/// Even one attempt is visible.
fn bar(failed: u64, worked: u64, most: u64) -> Markup {
    let width = |count: u64| if count == 0 { 0.0 } else { (99.0 * count as f64 / most as f64).max(0.75) };
    let (fails, works) = (width(failed), width(worked));
    html! {
        svg width="100%" height="14" aria-hidden="true" {
            @if failed > 0 { rect.fails x="0" y="0" width=(format!("{fails:.2}%")) height="14" {} }
            @if worked > 0 { rect.works x=(format!("{fails:.2}%")) y="1" width=(format!("{works:.2}%")) height="12" {} }
        }
    }
}
