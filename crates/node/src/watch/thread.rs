//! Work that gives way to mail.

use tokio::sync::oneshot;

/// As in nice(1), and as the store's searches have it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

/// Runs `work` in a thread of its own and of low priority. `None` if there was none to be had.
pub(super) async fn giving_way<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let run = move || {
        give_way();
        // Whoever asked may have stopped.
        let _ = answer.send(work());
    };
    if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(run) {
        tracing::warn!(%error, "failed to start a thread for the diagnosis");
    }
    answered.await.ok()
}

/// Linux has a priority for each thread.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the diagnosis has the priority of mail");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}
