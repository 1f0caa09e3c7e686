//! `/rollout`: which nodes use the new TLS policy, what came of it, and what would come of a larger share.
//!
//! A POST changes the plan that the page showed, or nothing: its field `version` names that plan. The fields are `set` (a
//! share in percent; with `from` and `to` if another rollout begins), `halt` or `resume`. What gives more nodes the new policy
//! needs `confirmed` as well: without it, the answer is the page with the forecast.

mod act;
mod effect;
mod forecast;
mod state;

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use node::{
    Forecast,
    fleet::{Change, NotChanged, Share, Status},
};
use store::{Right, StoredPlan};

use super::{
    Refusal,
    asked::Asked,
    fragment::{Fragment, Look, Shape},
    shell::{Section, Visit},
    words::time,
};
use act::Wanted;

pub(super) use act::change;
pub(super) use forecast::{impacts, working};

/// A page waits so long for a forecast, and then says how far it has come.
const FORECAST_PATIENCE: Duration = Duration::from_millis(1500);
/// The effect is that of attempts since the last step, and at most so old: each minute is a row to read.
const EFFECT_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The plan in force.
pub(super) const STATE: Fragment = Fragment {
    name: "rollout-state",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| {
        Box::pin(async {
            let status = status_of(look).await;
            Ok(status.map(|status| state::state(&status, look.right, look.snapshot.at)).unwrap_or_default())
        })
    },
};

pub(super) const EFFECT: Fragment = Fragment {
    name: "rollout-effect",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| {
        Box::pin(async {
            let Some(status) = status_of(look).await else { return Ok(Markup::default()) };
            effect::effect(&look.snapshot.node.store, &status, look.snapshot.at).await
        })
    },
};

async fn status_of(look: &Look) -> Option<Status> {
    let status = Status::read(&look.snapshot.node.store, look.snapshot.at).await;
    status.inspect_err(|error| tracing::warn!(%error, "failed to read the rollout for the console")).ok()
}

pub(super) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let status = read(&visit, now).await?;
    let wanted = Wanted::asked(&mut asked, status.rollout())?;
    let to = match &wanted {
        Some(Wanted { change: Change::Set { to, .. } }) => Some(to.clone()),
        Some(_) | None => status.rollout().map(|rollout| rollout.to.clone()),
    };
    let raises = wanted.as_ref().is_some_and(|wanted| wanted.change.raises(status.rollout()));
    let forecast = match to {
        Some(to) if raises => Some(forecast(&visit, &to).await),
        Some(to) => visit.node.last_forecast(&to),
        None => None,
    };
    let is_reading = raises && matches!(forecast, Some(Forecast::Reading { .. }));
    let body = body(&visit, &status, wanted.as_ref(), forecast.as_ref(), now).await?;
    let mut page = visit.page(Section::Rollout, "Rollout", &body);
    if is_reading {
        super::jobs::reload_soon(&mut page);
    }
    Ok(page)
}

async fn read(visit: &Visit, now: Timestamp) -> Result<Status, Refusal> {
    Status::read(&visit.node.store, now).await.map_err(|error| Refusal::unreadable(&format!("{error:#}")))
}

async fn forecast(visit: &Visit, policy: &str) -> Forecast {
    // The configuration of the fleet may have lost the policy of a rollout.
    let forecast = visit.node.forecast(policy, FORECAST_PATIENCE).await;
    forecast.unwrap_or_else(|error| Forecast::Failed(error.to_string()))
}

async fn body(
    visit: &Visit,
    status: &Status,
    wanted: Option<&Wanted>,
    forecast: Option<&Forecast>,
    now: Timestamp,
) -> Result<Markup, Refusal> {
    let may_act = visit.person.may(Right::Operator);
    let config = visit.node.config.load_full();
    Ok(html! {
        h1 { "Rollout" }
        (STATE.around("", &state::state(status, visit.person.right, now)))
        @if let Some(wanted) = wanted {
            (forecast::panel(visit, status, wanted, forecast))
        } @else if may_act {
            (act::buttons(visit, status, &config))
            @if let (Some(rollout), Some(forecast)) = (status.rollout(), forecast) {
                (forecast::beside(&rollout.to, forecast))
            }
        }
        (EFFECT.around("", &effect::effect(&visit.node.store, status, now).await?))
        div #rollout-history { (state::history(&visit.node.store, visit.person.right, now).await?) }
        p { a href="/policies" { "TLS policies and the ledger" } }
    })
}

/// Why the plan was not changed, as a page.
fn not_changed(visit: &Visit, error: NotChanged) -> Response {
    let (status, title, body) = match error {
        NotChanged::Overtaken { since } => {
            (StatusCode::PRECONDITION_FAILED, "The rollout has changed since you looked", overtaken(&since))
        }
        NotChanged::Refused(refused) => (StatusCode::CONFLICT, "The rollout was not changed", sentence(&refused)),
        NotChanged::UnknownPolicy(unknown) => {
            (StatusCode::BAD_REQUEST, "There is no such TLS policy", sentence(&unknown))
        }
        NotChanged::Unreadable(error) => return Refusal::unreadable(&format!("{error:#}")).into_response(),
    };
    let body = html! {
        h1 { (title) }
        (body)
        p { a.button href="/rollout" { "Show the rollout" } }
    };
    (status, visit.page(Section::Rollout, title, &body)).into_response()
}

fn sentence(error: &dyn std::fmt::Display) -> Markup {
    let text = insight::sentence(&insight::capitalised(&error.to_string()));
    html! { p { (super::words::foreign(&text)) } }
}

fn overtaken(since: &[StoredPlan]) -> Markup {
    html! {
        p { "Nothing was done, because your page showed another plan than the one in force. Since then:" }
        ul {
            @for plan in since {
                li {
                    "Version " (plan.version) ", set on " (time(plan.at)) " by " (super::words::foreign(&plan.by)) ": "
                    (super::words::foreign(&node::fleet::in_words(plan)))
                }
            }
            @if since.is_empty() { li { "the plan that you saw is not there any more" } }
        }
    }
}

/// The share of a change, if it sets one.
fn percent(change: &Change) -> Option<u8> {
    match change {
        Change::Set { share: Share::Percent(percent), .. } => Some(*percent),
        _ => None,
    }
}
