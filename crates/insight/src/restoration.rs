//! A restore of the fleet's database that waits for an answer, in words.

use store::{Restoration, Store};
use trace::NextStep;

/// For the answers of other commands; `None` if nothing waits for an answer.
pub async fn unanswered<S: Store>(store: &S) -> store::Result<Option<String>> {
    Ok(store.restoration().await?.filter(|restoration| restoration.answer.is_none()).map(|it| in_words(&it)))
}

/// What was noticed, what is held, and what to do.
pub(crate) fn in_words(restoration: &Restoration) -> String {
    let Restoration { state_of, known, held, .. } = restoration;
    let state = state_of.map_or_else(|| "from before any node".to_owned(), |at| format!("of {at:.0}"));
    let noticed = match known {
        Some((node, until)) => format!(
            "the database shows a state {state}, and had shown node {node} one of {until:.0}: a backup was restored, or a \
             standby that lacked the last changes took over. Mail that was accepted in between is lost"
        ),
        None => format!("the database is a copy on another server, with a state {state}"),
    };
    let (list, hold) = (NextStep::QueueList(vec![("--state", "suspended".to_owned())]), NextStep::StoreRestored);
    format!(
        "{noticed}. {} that were waiting in it are held, because they may have been delivered since. Look at them \
         (`{list}`), and then say what is to become of them: `{hold}`, or the same with --deliver-since TIME instead of \
         --hold",
        if *held == 1 { "1 delivery".to_owned() } else { format!("{held} deliveries") }
    )
}
