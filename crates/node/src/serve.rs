//! `gatepost serve`: one node in one process, told what to do by signals.

use std::{path::Path, sync::Arc, time::Duration};

use net::serve::Prefixes;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    Console, MakeAcceptor, Node, Running,
    config::{Config, Examined, File, Purpose},
    following::{another, follow},
    running::ReloadedBy,
    start::Start,
};

/// How long a shutdown waits for messages in progress.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(60);

/// Signals from the moment on that this exists; before, they would kill the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// Runs a node until SIGTERM or SIGINT. SIGHUP reloads the file. `config` is what the file alone says.
pub async fn serve<C: Console + 'static>(
    path: &Path,
    file: File,
    config: Config,
    accept_loss: bool,
    console: impl AsyncFnOnce(&Arc<Node>, Prefixes, &MakeAcceptor<'_>) -> anyhow::Result<C>,
) -> anyhow::Result<()> {
    // This comes first: whoever started the node may tell it to stop, or to read its configuration again, at any time.
    let mut signals = Signals::receive()?;
    let folder = config.node.data.clone();
    // If the file says everything, its faults come first.
    let alone = if config.store.url.is_none() { Some(Start::alone(file.clone())?) } else { None };
    let (store, _lock) = crate::open(&config, accept_loss).await?;
    let start = match alone {
        Some(start) => start,
        None => Start::in_fleet(file, &config.node.name, &store).await?,
    };
    let running = Running::start(start, store.clone(), &folder, console).await?;
    tracing::info!(node = running.node.name, data = %folder.display(), "node is ready");
    signals.until_told_to_stop(&running, path).await;
    tracing::info!("stopping; finishing messages in progress");
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(SHUTDOWN_PATIENCE) => {}
            () = signals.stop() => {}
        }
    };
    running.stop(patience).await;
    store.close().await;
    tracing::info!("node stopped");
    Ok(())
}

impl Signals {
    fn receive() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn until_told_to_stop(&mut self, running: &Running, path: &Path) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload(running, path),
                stored = another(&running.node) => follow(running, stored),
            }
        }
    }
}

fn reload(running: &Running, path: &Path) {
    match read_again(running, path) {
        Ok(restart_needed) if restart_needed.is_empty() => tracing::info!("configuration reloaded"),
        Ok(restart_needed) => tracing::warn!(
            keys = restart_needed.join(", "),
            "configuration reloaded, but these keys take effect only after a restart"
        ),
        Err(error) => tracing::error!("failed to reload the configuration; keeping the old one: {error:#}"),
    }
}

/// The file, with the fleet's configuration that the node follows.
fn read_again(running: &Running, path: &Path) -> anyhow::Result<Vec<&'static str>> {
    let file = File::read(path)?;
    let Examined { config, warnings } = file.examine(running.node.followed.load().as_fleet(), Purpose::Serve);
    warnings.messages().for_each(|warning| tracing::warn!("{warning}"));
    let restart_needed = running.reload(config?, ReloadedBy::Signal)?;
    running.node.file.store(Some(Arc::new(file)));
    Ok(restart_needed)
}
