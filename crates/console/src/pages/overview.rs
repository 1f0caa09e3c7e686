//! `/`: is mail flowing?

use axum::response::Response;
use maud::{Markup, html};
use store::Right;

use super::{
    Refusal,
    fragment::{Fragment, Look, Shape},
    shell::{Section, Visit},
    words::number,
};

/// Whether mail is flowing.
pub(super) const SENTENCE: Fragment = Fragment {
    name: "overview-sentence",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(sentence(look)),
};

pub(super) async fn show(visit: Visit) -> Result<Response, Refusal> {
    let body = html! { h1 { "Overview" } (visit.fragment(&SENTENCE, "").await?) };
    Ok(visit.page(Section::Overview, "Overview", &body))
}

async fn sentence(look: &Look) -> store::Result<Markup> {
    let open = look.snapshot.incidents_open().await?;
    let waiting: Option<u64> =
        look.snapshot.figures().await.map(|figures| {
            figures.queues.values().map(|queue| queue.states().map(|(_, count)| count).sum::<u64>()).sum()
        });
    Ok(html! {
        p.sentence {
            @match open {
                0 => "Mail is flowing.",
                1 => "Mail is stuck: 1 incident is open.",
                _ => { "Mail is stuck: " (number(open as u64)) " incidents are open." }
            }
            @match waiting {
                Some(1) => " 1 delivery is in the queue.",
                Some(waiting) => { " " (number(waiting)) " deliveries are in the queue." }
                None => {}
            }
        }
    })
}
