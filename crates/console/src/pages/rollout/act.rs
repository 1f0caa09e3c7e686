//! What an operator can do about the rollout, and doing it.

use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use node::{
    config::Config,
    fleet::{self, Basis, Change, Rollout, Share, Status},
};

use super::{
    super::{
        Refusal,
        asked::{Asked, link},
        form::{Form, form},
        shell::Visit,
        words::foreign,
    },
    not_changed,
};

/// The reason of a halt that nobody has explained.
const HALTED_BY_HAND: &str = "by an operator";
/// Characters of a reason.
const REASON_MAX: usize = 300;
/// Shares that have a button.
const SHARES: [u8; 4] = [25, 50, 100, 0];

/// A change that the operator has chosen, but not confirmed.
pub(super) struct Wanted {
    pub(super) change: Change,
}

impl Wanted {
    /// From the address of the page; `None`: it names no change.
    pub(super) fn asked(asked: &mut Asked, current: Option<&Rollout>) -> Result<Option<Self>, Refusal> {
        let (set, from, to) = (asked.take("set")?, asked.take("from")?, asked.take("to")?);
        let resume = asked.take("resume")?.is_some();
        if let Some((name, _)) = asked.iter().next() {
            let advice = "parameters are set, from, to and resume";
            return Err(Refusal::bad_request(format!("unknown parameter {name:?}; {advice}")));
        }
        let change = match set {
            None if resume => Change::Resume,
            None => return Ok(None),
            Some(set) => to_set(&set, from.as_deref(), to.as_deref(), current)?,
        };
        Ok(Some(Self { change }))
    }

    /// The address of the page that shows its forecast.
    fn address(&self) -> String {
        match &self.change {
            Change::Set { from, to, share: Share::Percent(percent) } => {
                link("/rollout", [("from", from.as_str()), ("to", to), ("set", &percent.to_string())])
            }
            Change::Resume => "/rollout?resume=yes".to_owned(),
            Change::Set { .. } | Change::Halt { .. } => "/rollout".to_owned(),
        }
    }

    /// The fields of the form that does it.
    pub(super) fn fields(&self) -> Markup {
        match &self.change {
            Change::Set { from, to, share: Share::Percent(percent) } => html! {
                input type="hidden" name="from" value=(from);
                input type="hidden" name="to" value=(to);
                input type="hidden" name="set" value=(percent);
            },
            Change::Resume => html! { input type="hidden" name="resume" value="yes"; },
            Change::Set { .. } | Change::Halt { .. } => html! {},
        }
    }
}

/// A rollout that is under way goes on unless other policies are named.
fn to_set(set: &str, from: Option<&str>, to: Option<&str>, current: Option<&Rollout>) -> Result<Change, Refusal> {
    let percent = set.parse().ok().filter(|percent| *percent <= 100);
    let percent = percent.ok_or_else(|| Refusal::bad_request("set: must be a share in percent, from 0 to 100"))?;
    let named = |given: Option<&str>, known: Option<&str>, name: &str| {
        let policy = given.or(known).map(str::to_owned);
        policy.ok_or_else(|| {
            Refusal::bad_request(format!("{name}: name the TLS policy, because no rollout is in progress"))
        })
    };
    Ok(Change::Set {
        from: named(from, current.map(|current| current.from.as_str()), "from")?,
        to: named(to, current.map(|current| current.to.as_str()), "to")?,
        share: Share::Percent(percent),
    })
}

/// Changes the plan, or shows the forecast first.
pub(in super::super) async fn change(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let basis = form.text("version").unwrap_or_default().parse::<Basis>();
    let basis = basis.ok().filter(|basis| *basis != Basis::InForce);
    let basis = basis.ok_or_else(|| Refusal::bad_request("version: must be that of the plan that the page showed"))?;
    let current = super::read(&visit, now).await?;
    let text = |name| form.text(name).filter(|value| !value.is_empty());
    let change = match (text("set"), text("halt"), text("resume")) {
        (Some(set), None, None) => to_set(set, text("from"), text("to"), current.rollout())?,
        (None, Some(_), None) => {
            let reason = text("because").unwrap_or(HALTED_BY_HAND);
            Change::Halt { reason: reason.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect() }
        }
        (None, None, Some(_)) => Change::Resume,
        _ => return Err(Refusal::bad_request("set, halt or resume: give one of them")),
    };
    // Somebody who saw another plan gets no forecast for it.
    if basis == current.basis() && change.raises(current.rollout()) && text("confirmed").is_none() {
        return Ok(Redirect::to(&Wanted { change }.address()).into_response());
    }
    let config = visit.node.config.load_full();
    let by = form.person.name.as_str();
    match fleet::change(&visit.node.store, &config, change, basis, by, now).await {
        Ok(version) => {
            tracing::info!(version, by, "an operator has changed the rollout in the console");
            Ok(Redirect::to(form.back().unwrap_or("/rollout")).into_response())
        }
        Err(error) => Ok(not_changed(&visit, error)),
    }
}

/// The version of the plan that is shown.
pub(super) fn version(status: &Status) -> Markup {
    html! { input type="hidden" name="version" value=(status.basis()); }
}

pub(super) fn buttons(visit: &Visit, status: &Status, config: &Config) -> Markup {
    let idle = status.rollout().is_none_or(Rollout::is_idle);
    html! {
        section.act {
            h2 { "What to do" }
            @match status.rollout() {
                Some(rollout) if !idle => { (of_rollout(visit, status, rollout)) },
                Some(_) | None => { (beginning(status.rollout(), config)) },
            }
        }
    }
}

fn of_rollout(visit: &Visit, status: &Status, rollout: &Rollout) -> Markup {
    let is_halted = rollout.halted.is_some();
    let share = |percent: u8| {
        let change = Change::Set { from: rollout.from.clone(), to: rollout.to.clone(), share: Share::Percent(percent) };
        let raises = change.raises(Some(rollout));
        let is_now = rollout.percent == Some(percent);
        html! {
            @let is_refused = raises && is_halted;
            @if !is_now && !is_refused {
                @if raises {
                    a.button href=(Wanted { change }.address()) { (percent) "% …" }
                } @else {
                    (form(&visit.person, "/rollout", &html! {
                        (version(status))
                        button.primary[percent == 0 && is_halted] name="set" value=(percent) {
                            @if percent == 0 { "Return all to " (rollout.from) " (0%)" } @else { (percent) "%" }
                        }
                    }))
                }
            }
        }
    };
    let halt = html! {
        (version(status))
        label for="because" { "Reason" }
        input #because name="because" maxlength=(REASON_MAX) placeholder="by an operator";
        button name="halt" value="yes" { "Halt" }
    };
    let resume = html! { (version(status)) button name="resume" value="yes" { "Resume" } };
    html! {
        p.quiet {
            "A larger share needs a second press: you see first which destinations would break. Nodes follow within two seconds."
        }
        div.buttons { @for percent in SHARES { (share(percent)) } }
        div.buttons {
            @if is_halted { (form(&visit.person, "/rollout", &resume)) } @else { (form(&visit.person, "/rollout", &halt)) }
        }
        @if is_halted {
            p.quiet { "To resume accepts the finding: the rollout does not halt for this destination again." }
        }
    }
}

/// A form that changes nothing: it leads to the forecast.
fn beginning(last: Option<&Rollout>, config: &Config) -> Markup {
    let from = |name: &str| last.map_or_else(|| !config.connectors_under(name).any(|_| true), |last| last.from != name);
    let policies: Vec<String> = config.policies().map(|policy| policy.name).collect();
    let chosen_from = policies.iter().find(|name| !from(name));
    let chosen_to = policies.iter().find(|name| last.is_some_and(|last| last.to == **name));
    let options = |chosen: Option<&String>| {
        html! {
            @for name in &policies { option value=(name) selected[Some(name) == chosen] { (foreign(name)) } }
        }
    };
    html! {
        p { "Begin a rollout: connectors with the old policy use the new one on a share of the nodes." }
        form.fields action="/rollout" {
            p { label for="from" { "Old policy" } select #from name="from" { (options(chosen_from)) } }
            p { label for="to" { "New policy" } select #to name="to" { (options(chosen_to)) } }
            p {
                label for="set" { "Share" }
                select #set name="set" { option value="25" { "25%" } option value="50" { "50%" } option value="100" { "100%" } }
            }
            p { button.primary { "Show which destinations would break" } }
        }
    }
}
