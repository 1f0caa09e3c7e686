//! Runs work with a lower priority than mail.

use tokio::sync::oneshot;

/// As in nice(1). The store's searches have the same value.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

/// Runs `work` in its own thread with low priority. `None` if no thread could be started.
pub(crate) async fn giving_way<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let run = move || {
        give_way();
        // The caller may have stopped waiting.
        let _ = answer.send(work());
    };
    if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(run) {
        tracing::warn!(%error, "failed to start a thread for the diagnosis; trying again later");
    }
    answered.await.ok()
}

/// Linux has a priority for each thread.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "failed to lower the priority of the diagnosis; it runs with the priority of mail");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}
