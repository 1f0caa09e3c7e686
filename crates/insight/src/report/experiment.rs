//! The section about a probe: the connection as mail makes it, and with changes until one works.

use diagnosis::{Finding, experiment::Verdict};
use maud::{Markup, html};

use super::Report;

impl Report<'_> {
    pub(super) fn experiment(&self, finding: &Finding) -> Markup {
        let Some(experiment) = &finding.experiment else { return html! {} };
        let verdict = match experiment.verdict {
            Verdict::Confirmed => "The probe confirms the cause.",
            Verdict::Refuted => "The probe rules the cause out.",
            Verdict::Undecided => "The probe is inconclusive.",
            Verdict::NotTested => "The cause was not tested.",
        };
        html! {
            section {
                h2 { "Probe" }
                p { (verdict) " " (self.text(&experiment.because)) }
                @if !experiment.steps.is_empty() { table {
                    thead { tr { th scope="col" { "Connection" } th scope="col" { "Result" } th scope="col" { "Detail" } } }
                    tbody {
                        @for step in experiment.steps.iter().chain(&experiment.nodes) {
                            tr {
                                td { (self.text(&step.what)) }
                                td { span.key.fails[!step.works] {} (if step.works { "works" } else { "fails" }) }
                                td { (self.text(&step.detail)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}
