//! Connects to one address of a connector, and shows each phase.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use insight::views::{JobStepStateView, ValidatedAddressView, ValidatedStepView, ValidationStepView};
use net::{
    send::{Connection, Options, Progress, Timeouts},
    tls::TlsContext,
};
use protocol::host_port;
use tokio::time::sleep;

use super::{
    Observer,
    steps::{expires, steps},
    way::{Heard, Way, step_of},
};

/// Maximum wait in each phase.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the phase is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl Way<'_> {
    pub(super) async fn validate(
        &self,
        host: &str,
        address: SocketAddr,
        observer: &mut dyn Observer,
    ) -> ValidatedAddressView {
        let place = place(host, address);
        let progress = Arc::new(Progress::default());
        let heard = {
            let mut shown = ValidationStepView::Connect;
            observer.begins(&place, shown);
            let connecting = self.connect(host, address, Arc::clone(&progress));
            tokio::pin!(connecting);
            loop {
                tokio::select! {
                    heard = &mut connecting => break heard,
                    () = sleep(LOOK_INTERVAL) => {
                        let step = step_of(progress.now().phase);
                        if step > shown {
                            let state = JobStepStateView::Worked;
                            observer.ended(&place, &ValidatedStepView { step: shown, state, detail: None, took_ms: None });
                            observer.begins(&place, step);
                            shown = step;
                        }
                    }
                }
            }
        };
        let steps = steps(self, &heard);
        steps.iter().for_each(|step| observer.ended(&place, step));
        let works = !steps.iter().any(|step| step.state == JobStepStateView::Failed);
        ValidatedAddressView { address, works, steps, certificate_expires: expires(&heard) }
    }

    async fn connect(&self, host: &str, address: SocketAddr, progress: Arc<Progress>) -> Heard {
        let Self { connector, tls, mail, now } = self;
        let options = Options {
            ehlo_name: connector.hello.clone(),
            tls_level: connector.tls.into(),
            tls: Arc::new(tls.clone()),
            pipelining: connector.pipelining,
            timeouts: Timeouts { quit: Duration::from_secs(1), ..Timeouts::each(PATIENCE) },
            maximum_segment: None,
            progress,
        };
        // A context of its own: no session is resumed, so the certificate is shown.
        let context = TlsContext::default();
        let mut connection = match Connection::open(host, address, &options, &context, None).await {
            Ok(connection) => connection,
            Err(not_opened) => {
                let (failure, seen) = *not_opened;
                return Heard { seen, opened: Err(failure), reply: None };
            }
        };
        let reply = match mail {
            None => None,
            Some(mail) => {
                let transaction = mail.transaction(&connector.hello);
                let results = if mail.is_sent {
                    let mut message = mail.message(&connector.name, &connector.hello, *now);
                    connection.send(&transaction, &mut message).await
                } else {
                    connection.rehearse(&transaction).await
                };
                results.into_iter().next()
            }
        };
        let seen = connection.take_seen();
        connection.quit().await;
        Heard { seen, opened: Ok(()), reply }
    }
}

/// The host and the address, if they differ.
fn place(host: &str, address: SocketAddr) -> String {
    let name = host_port::join(host, Some(address.port()));
    if name == address.to_string() { name } else { format!("{name} [{}]", address.ip()) }
}
