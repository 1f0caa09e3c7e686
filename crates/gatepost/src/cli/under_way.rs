//! Attempts that have not ended. A destination that is silent keeps one open for minutes, and until it ends, no finding can
//! be about it.

use std::collections::HashMap;

use insight::WaitReasons;
use jiff::{SignedDuration, Timestamp};
use node::config::Config;
use store::{QueueQuery, Selection, State, Store};
use trace::{NextStep, Waiting};

use super::screen::{Screen, counted};

/// A healthy destination replies sooner.
const SLOW: SignedDuration = SignedDuration::from_secs(3);
/// Deliveries that are looked at: more than nodes have open at once.
const LOOKED_AT_MAX: u32 = 1000;

/// What most open attempts wait for, and since when, if that is long.
pub(crate) async fn in_words<S: Store>(
    store: &S,
    config: &Config,
    connector: Option<&str>,
    screen: &Screen,
) -> store::Result<Option<String>> {
    let reasons = WaitReasons::read(store, config, screen.now).await?;
    let selection =
        Selection { connector: connector.map(str::to_owned), state: Some(State::Leased), ..Selection::default() };
    let open = store.list(QueueQuery { selection, limit: LOOKED_AT_MAX, after: None }).await?;
    let mut groups: HashMap<String, (u64, Timestamp)> = HashMap::new();
    for record in &open {
        let Some(Waiting::Leased { doing: Some(doing), .. }) = reasons.waiting(record) else { continue };
        if screen.now.duration_since(doing.since) >= SLOW {
            let (count, since) = groups.entry(doing.to_string()).or_insert((0, doing.since));
            *count += 1;
            *since = (*since).min(doing.since);
        }
    }
    let most = groups.into_iter().max_by(|(a, (many, _)), (b, (few, _))| many.cmp(few).then_with(|| b.cmp(a)));
    Ok(most.map(|(doing, (count, since))| {
        let (messages, have) = if count == 1 { ("1 message".to_owned(), "has") } else { (counted(count, "message", "messages"), "have") };
        let (age, list) = (screen.age(since), NextStep::QueueList(Vec::new()));
        format!("{messages} {have} an attempt that has not ended: {doing}, for {age}. Until it ends, no finding is about it: {list}")
    }))
}
