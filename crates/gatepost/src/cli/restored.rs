//! `gatepost store restored`: says what is to become of the mail that a restored database holds.

use std::io::Write;

use anyhow::bail;
use insight::{Moment, json, views::AnsweredView};
use store::{Answered, Backend, Fleet as _, Queue as _, RestorationAnswer, RestorationDecision, State};
use trace::NextStep;

use super::{
    arguments::{Format, Output},
    operator,
    screen::{Screen, clean, counted, paragraph},
};

/// Without a time, all stays suspended.
pub(crate) async fn run(
    deliver_since: Option<Moment>,
    output: Output,
    store: &Backend,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if !store.is_shared() {
        bail!(
            "the store is this node's data folder; what `gatepost restore` has suspended in it, `gatepost queue resume` \
             resumes"
        );
    }
    let since = deliver_since.map(|moment| RestorationDecision::DeliverSince(moment.timestamp(screen.now)));
    let decision = since.unwrap_or(RestorationDecision::Hold);
    let Some(answered) = store.answer_restoration(decision, &operator()).await? else {
        bail!(
            "no node has noticed that the database was restored, and nothing is held for it; to suspend the whole queue: \
             `gatepost queue suspend --all`"
        );
    };
    match output.format {
        Format::Json => Ok(writeln!(out, "{}", json::text(&AnsweredView::from(&answered))?)?),
        Format::Table => {
            let is_left = store.counts().await?.iter().any(|count| count.state == State::Suspended);
            write(&answered, is_left, screen, out)
        }
    }
}

fn write(answered: &Answered, is_left: bool, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let Answered { restoration, is_first, resumed } = answered;
    if let Some(RestorationAnswer { at, by, decision }) = restoration.answer.as_ref().filter(|_| !is_first) {
        let said = match decision {
            RestorationDecision::Hold => "to hold all".to_owned(),
            RestorationDecision::DeliverSince(since) => {
                format!("to deliver what was received since {}", screen.time(*since))
            }
        };
        let (by, at) = (clean(by), screen.time(*at));
        paragraph(&format!("{by} has answered already, on {at}: {said}. That counts."), "", screen, out)?;
    }
    if *resumed > 0 || restoration.answer.as_ref().is_some_and(|answer| answer.decision != RestorationDecision::Hold) {
        paragraph(&format!("{} due now.", counted(*resumed, "delivery is", "deliveries are")), "", screen, out)?;
    }
    if !is_left {
        return Ok(paragraph("Nothing is suspended any more.", "", screen, out)?);
    }
    let list = NextStep::QueueList(vec![("--state", "suspended".to_owned())]);
    let rest = format!(
        "What is left of the restored queue stays suspended. Look through it (`{list}`), remove what has arrived \
         (`gatepost queue remove`), and resume the rest (`gatepost queue resume`)."
    );
    Ok(paragraph(&rest, "", screen, out)?)
}
