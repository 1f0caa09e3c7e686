//! What a probe showed: how mail goes, and what was changed until a connection worked.

use diagnosis::{Finding, experiment::Verdict};
use maud::{Markup, html};

use super::Report;

impl Report<'_> {
    pub(super) fn experiment(&self, finding: &Finding) -> Markup {
        let Some(experiment) = &finding.experiment else { return html! {} };
        let verdict = match experiment.verdict {
            Verdict::Confirmed => "The experiment confirms the cause.",
            Verdict::Refuted => "The experiment speaks against the cause.",
            Verdict::Undecided => "The experiment does not decide.",
        };
        html! {
            section {
                h2 { "What an experiment showed" }
                p { (verdict) " " (self.text(&experiment.because)) }
                table {
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
                }
            }
        }
    }
}
