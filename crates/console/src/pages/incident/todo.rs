//! What to do about an incident, as buttons with the exact values of this case.

use insight::{counted, sentence, views::FindingView};
use maud::{Markup, html};
use node::fleet::{Basis, Rollout};
use store::{Right, StoredPlan};

use super::{Shown, prose, said};
use crate::{
    access::Person,
    pages::{
        form::{BACK, form_with_id},
        words::number,
    },
};

/// Ids of forms.
const ROLL_OUT: &str = "roll-out";
const RETRY: &str = "retry";
const PROBE: &str = "probe";

/// The rollout that brought the policy under which mail fails.
pub(super) struct RollBack {
    basis: Basis,
    from: String,
    nodes: Vec<String>,
    is_halted: bool,
}

impl RollBack {
    /// `None`: it fails otherwise, or no node has moved.
    pub(super) fn of(finding: &FindingView, stored: &StoredPlan, rollout: Rollout) -> Option<Self> {
        let split = finding.scope.split.as_ref()?;
        let is_against = split.dimension == "tls-policy"
            && split.fails.contains(&rollout.to)
            && split.works.contains(&rollout.from)
            && !rollout.is_idle();
        is_against.then_some(Self {
            basis: Basis::of(Some(stored)),
            from: rollout.from,
            nodes: rollout.nodes,
            is_halted: rollout.halted.is_some(),
        })
    }
}

impl Shown {
    /// Remedies of each side, those first that can be applied here.
    pub(super) fn todo(&self, right: Right) -> Markup {
        let of = |side: &'static str| {
            self.finding.remedy.iter().filter(move |remedy| remedy.side == side).map(|remedy| remedy.action.as_str())
        };
        let roll_back = self.roll_back.as_ref().filter(|_| self.is_open());
        html! {
            h2 { "What to do" }
            div.todo {
                @if let Some(roll_back) = roll_back { (self.roll_back(roll_back, right)) }
                @if self.is_open() && self.waiting > 0 { (self.retry(right, roll_back.is_none())) }
                @if self.is_open() { (self.policy(right)) }
                (self.side(if roll_back.is_some() { "Otherwise, here:" } else { "Now, here:" }, of("gateway"), right))
                (self.side("Then, the network:", of("network"), right))
                (self.destination(of("destination"), right))
                (self.verify(right))
            }
        }
    }

    fn roll_back(&self, roll_back: &RollBack, right: Right) -> Markup {
        let RollBack { basis, from, nodes, is_halted } = roll_back;
        let names = if nodes.is_empty() { "all nodes".to_owned() } else { nodes.join(", ") };
        html! {
            div.step {
                p {
                    b { "Now, here: " } "return " (said(&names, right)) " to the policy " (said(from, right)) "."
                    @if self.waiting > 0 { " Then retry the mail that waits." }
                }
                @if right >= Right::Operator {
                    input type="hidden" form=(ROLL_OUT) name="version" value=(basis);
                    div.buttons {
                        button.primary form=(ROLL_OUT) name="set" value="0" { "Roll back to 0%" }
                        @if !is_halted { button form=(ROLL_OUT) name="halt" value="1" { "Halt the rollout" } }
                    }
                }
            }
        }
    }

    fn retry(&self, right: Right, is_primary: bool) -> Markup {
        let deliveries = if self.waiting == 1 { " delivery waits for its" } else { " deliveries wait for their" };
        html! {
            div.step {
                p { b { "Retry: " } (number(self.waiting)) (deliveries) " next attempt." }
                @if right >= Right::Operator {
                    input type="hidden" form=(RETRY) name="expect" value=(self.waiting);
                    div.buttons { button.primary[is_primary] form=(RETRY) { "Retry " (number(self.waiting)) " now" } }
                }
            }
        }
    }

    /// The connector's TLS policy with which mail would get through, as text to paste.
    fn policy(&self, right: Right) -> Markup {
        html! {
            @if let Some(policy) = &self.policy {
                div.step {
                    div {
                        p { b { "Or, in the configuration: " } "set the TLS policy of the connector. Leave its other settings as they are." }
                        pre { code { "[[connector]]\nname = \"" (said(&self.incident.connector, right)) "\"\ntls_policy = \"" (said(policy, right)) "\"" } }
                    }
                }
            }
        }
    }

    fn side<'a>(&self, whose: &str, actions: impl Iterator<Item = &'a str>, right: Right) -> Markup {
        html! {
            @for action in actions {
                div.step { p { b { (whose) } " " (prose(&sentence(action), right)) } }
            }
        }
    }

    fn destination<'a>(&self, actions: impl Iterator<Item = &'a str>, right: Right) -> Markup {
        html! {
            div.step {
                p {
                    b { "Then, the destination: " }
                    @for action in actions { (prose(&sentence(action), right)) " " }
                    "Send its administrator the report."
                }
                div.buttons {
                    a.button href=(format!("{}/report.html", self.path())) { "Report" }
                    a.button href=(format!("{}/bundle.zip", self.path())) download { "Bundle" }
                }
            }
        }
    }

    fn verify(&self, right: Right) -> Markup {
        html! {
            div.step {
                p {
                    b { "Verify: " } "open one connection from each node. This sends no mail. On the command line: "
                    code { (said(&self.finding.check, right)) }
                }
                @if right >= Right::Operator {
                    div.buttons { button form=(PROBE) { "Probe from " (counted(self.nodes as u64, "node")) } }
                }
            }
        }
    }

    /// The forms that the buttons belong to. They stay when the buttons change, and carry the token of the person's session.
    pub(super) fn forms(&self, person: &Person) -> Markup {
        let connector = html! {
            (self.back())
            input type="hidden" name="connector" value=(self.incident.connector);
            input type="hidden" name="state" value="queued";
        };
        let incident = html! { input type="hidden" name="incident" value=(self.incident.id); };
        html! {
            @if person.may(Right::Operator) {
                (form_with_id(person, Some(ROLL_OUT), "/rollout", &self.back()))
                (form_with_id(person, Some(RETRY), "/queue/retry", &connector))
                (form_with_id(person, Some(PROBE), "/probes", &incident))
            }
        }
    }

    /// Where the action leads to.
    fn back(&self) -> Markup {
        html! { input type="hidden" name=(BACK) value=(self.path()); }
    }

    pub(super) fn path(&self) -> String {
        format!("/incidents/{}", self.incident.id)
    }
}
