//! `gatepost serve`: one node in one process, told what to do by signals.

use std::{path::Path, sync::Arc, time::Duration};

use net::serve::Prefixes;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Console, MakeAcceptor, Node, Running,
    config::{Config, Examined, Purpose},
};

/// How long a shutdown waits for messages in progress.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(60);

/// Runs a node until SIGTERM or SIGINT. SIGHUP reloads the configuration.
pub async fn serve<C: Console + 'static>(
    path: &Path,
    config: Config,
    accept_loss: bool,
    console: impl AsyncFnOnce(&Arc<Node>, Prefixes, &MakeAcceptor<'_>) -> anyhow::Result<C>,
) -> anyhow::Result<()> {
    let folder = config.node.data.clone();
    let store = crate::open(&config, accept_loss).await?;
    let running = Running::start(config, store.clone(), &folder, console).await?;
    tracing::info!(node = running.node.name, data = %folder.display(), "node is ready");
    until_told_to_stop(&running, path).await?;
    tracing::info!("stopping; finishing messages in progress");
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(SHUTDOWN_PATIENCE) => {}
            _ = stop_signal() => {}
        }
    };
    running.stop(patience).await;
    store.close().await;
    tracing::info!("node stopped");
    Ok(())
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn until_told_to_stop(running: &Running, path: &Path) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stopped = &mut stop => return stopped,
            _ = hang_up.recv() => reload(running, path),
        }
    }
}

fn reload(running: &Running, path: &Path) {
    let Examined { config, warnings } = Config::examine(path, Purpose::Serve);
    warnings.messages().for_each(|warning| tracing::warn!("{warning}"));
    match config.map_err(anyhow::Error::from).and_then(|config| running.reload(config)) {
        Ok(restart_needed) if restart_needed.is_empty() => tracing::info!("configuration reloaded"),
        Ok(restart_needed) => tracing::warn!(
            keys = restart_needed.join(", "),
            "configuration reloaded, but these keys take effect only after a restart"
        ),
        Err(error) => tracing::error!("failed to reload the configuration; keeping the old one: {error:#}"),
    }
}
