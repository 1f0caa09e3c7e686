//! The metrics by name. `docs/monitoring` describes each of them; a test compares both.

use std::fmt::Result;

use node::metrics::{AttemptFigures, Figures, FleetFigures};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use store::Counted;

use crate::process::ProcessFigures;

#[derive(Debug)]
pub(super) struct OfNode {
    pub figures: Figures,
    /// Open streams of the console.
    pub console_viewers: u64,
}

#[derive(Debug)]
pub(super) struct OfProcess(pub ProcessFigures);

/// Name without prefix, unit and suffix; what it says, for people.
type Named = (&'static str, &'static str);

/// Writes metrics one after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        (name, help): Named,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        samples.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    fn gauge<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, help): Named,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        samples.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    /// All histograms are of durations.
    fn histogram<L: EncodeLabelSet>(
        &mut self,
        (name, help): Named,
        samples: impl IntoIterator<Item = (L, Counted)>,
    ) -> Result {
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        samples.into_iter().try_for_each(|(labels, counted)| {
            let mut one: MetricEncoder<'_> = metric.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(counted.sum_s, counted.count(), &counted.ranges, None)
        })
    }
}

const NO_LABELS: [(&str, &str); 0] = [];

impl Collector for OfNode {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let (mut page, figures) = (Page(encoder), &self.figures);
        let labels = [("version", figures.version), ("node", &figures.node)];
        page.0
            .encode_descriptor("build", "Version and name of this node", None, MetricType::Info)?
            .encode_info(&labels)?;
        page.gauge(
            ("ready", "1 while this node takes mail, as /readyz reports, otherwise 0"),
            None,
            [(NO_LABELS, u64::from(figures.is_ready))],
        )?;
        inbound(&mut page, figures)?;
        attempts(&mut page, figures)?;
        own_parts(&mut page, figures)?;
        let viewers = [(NO_LABELS, self.console_viewers)];
        page.gauge(("console_viewers", "Browsers that have a page of this node's console open"), None, viewers)?;
        fleet(&mut page, figures.fleet.as_ref())
    }
}

fn inbound(page: &mut Page<'_>, figures: &Figures) -> Result {
    page.counter(
        ("received_messages", "Messages whose transfer to this node began, by outcome"),
        None,
        [([("outcome", "accepted")], figures.accepted), ([("outcome", "refused")], figures.refused)],
    )?;
    let bytes = [(NO_LABELS, figures.accepted_bytes)];
    page.counter(("received", "Bytes of accepted messages"), Some(Unit::Bytes), bytes)?;
    let open = [(NO_LABELS, figures.sessions_open)];
    page.gauge(("sessions_open", "Open SMTP sessions of clients"), None, open)
}

fn attempts(page: &mut Page<'_>, figures: &Figures) -> Result {
    let all = || figures.attempts.iter().map(|(connector, attempts)| (connector.as_str(), attempts));
    page.counter(
        ("attempts", "Delivery attempts, one for each recipient, by outcome, phase of the failure and its cause"),
        None,
        all().flat_map(|(connector, attempts)| by_cause(connector, attempts)),
    )?;
    page.histogram(
        ("attempt_duration", "Duration of delivery attempts, one for each message"),
        all().map(|(connector, attempts)| ([("connector", connector)], attempts.durations.clone())),
    )?;
    page.counter(
        ("attempts_tls", "Delivery attempts, one for each recipient, by TLS policy, negotiated TLS and outcome"),
        None,
        all().flat_map(|(connector, attempts)| by_tls(connector, attempts)),
    )?;
    let open = figures.connections_open.iter();
    page.gauge(
        ("connections_open", "Open connections to destinations"),
        None,
        open.map(|(connector, open)| ([("connector", connector.as_str())], *open)),
    )
}

type AttemptLabels<'a, const N: usize> = ([(&'static str, &'a str); N], u64);

fn by_cause<'a>(connector: &'a str, attempts: &'a AttemptFigures) -> impl Iterator<Item = AttemptLabels<'a, 4>> {
    let labels = move |outcome, phase, cause| {
        [("connector", connector), ("outcome", outcome), ("phase", phase), ("cause", cause)]
    };
    let delivered = (labels("delivered", "", ""), attempts.delivered);
    let failed = attempts.failed.iter();
    [delivered]
        .into_iter()
        .chain(failed.map(move |(failed, count)| (labels(failed.outcome, failed.phase, failed.cause), *count)))
}

fn by_tls<'a>(connector: &'a str, attempts: &'a AttemptFigures) -> impl Iterator<Item = AttemptLabels<'a, 5>> {
    attempts.tls.iter().map(move |(tls, count)| {
        let labels = [
            ("connector", connector),
            ("policy", tls.policy.as_str()),
            ("version", tls.version.as_str()),
            ("cipher", tls.cipher.as_str()),
            ("outcome", tls.outcome),
        ];
        (labels, *count)
    })
}

/// Store, webhook, protocol log, certificates.
fn own_parts(page: &mut Page<'_>, figures: &Figures) -> Result {
    page.histogram(
        ("store_commit", "Duration of the store's transactions of mail"),
        [(NO_LABELS, figures.commits.clone())],
    )?;
    page.gauge(
        ("store", "Size of the embedded store's files"),
        Some(Unit::Bytes),
        figures.store_bytes.map(|bytes| (NO_LABELS, bytes)),
    )?;
    page.histogram(
        ("searches", "Duration of searches for message traces on this node"),
        [(NO_LABELS, figures.searches.clone())],
    )?;
    page.counter(
        ("webhook_calls", "Calls of the webhook that this node made, by outcome"),
        None,
        figures.calls.map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    page.counter(
        ("protocol_log_lost_rows", "Rows of the protocol logs that were not written"),
        None,
        [(NO_LABELS, figures.lost_rows)],
    )?;
    page.gauge(
        ("certificate_expiry_timestamp", "When a certificate of this side expires, since 1970"),
        Some(Unit::Seconds),
        figures.certificates.iter().map(|expiry| ([("of", expiry.of.as_str())], expiry.at_s)),
    )
}

/// The same on every node.
fn fleet(page: &mut Page<'_>, fleet: Option<&FleetFigures>) -> Result {
    let queues = || fleet.into_iter().flat_map(|fleet| &fleet.queues);
    page.gauge(
        ("fleet_queue_deliveries", "Deliveries in the queue, by state"),
        None,
        queues().flat_map(|(connector, queue)| {
            queue.states().map(move |(state, count)| ([("connector", connector.as_str()), ("state", state)], count))
        }),
    )?;
    page.gauge(
        ("fleet_queue_oldest_age", "Age of the oldest message in the queue, 0 if there is none"),
        Some(Unit::Seconds),
        queues().map(|(connector, queue)| {
            ([("connector", connector.as_str())], queue.oldest.unwrap_or_default().as_secs_f64())
        }),
    )?;
    page.gauge(
        ("fleet_queue_waiting", "Deliveries in the queue, by the reason why they wait"),
        None,
        queues().flat_map(|(connector, queue)| {
            queue.reasons().map(move |(reason, count)| ([("connector", connector.as_str()), ("reason", reason)], count))
        }),
    )?;
    page.gauge(
        ("fleet_incidents_open", "Open incidents"),
        None,
        fleet
            .into_iter()
            .flat_map(|fleet| &fleet.incidents)
            .map(|((connector, cause), open)| ([("connector", connector.as_str()), ("cause", cause.as_str())], *open)),
    )?;
    page.gauge(
        ("fleet_rollout_share", "Share of the nodes that the rollout moves, from 0 to 1"),
        None,
        fleet.and_then(|fleet| fleet.rollout_share).map(|share| (NO_LABELS, share)),
    )?;
    page.gauge(
        ("fleet_rollout_halted", "1 while the rollout is halted, otherwise 0"),
        None,
        fleet.and_then(|fleet| fleet.rollout_halted).map(|halted| (NO_LABELS, u64::from(halted))),
    )
}

impl Collector for OfProcess {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let mut page = Page(encoder);
        let process = &self.0;
        let one = |value: Option<u64>| value.map(|value| (NO_LABELS, value));
        let cpu = process.cpu_s.map(|cpu| (NO_LABELS, cpu));
        page.counter(("cpu", "Processor time of this process"), Some(Unit::Seconds), cpu)?;
        let memory = one(process.resident_bytes);
        page.gauge(("resident_memory", "Memory of this process that is in RAM"), Some(Unit::Bytes), memory)?;
        let memory = one(process.virtual_bytes);
        page.gauge(("virtual_memory", "Address space of this process"), Some(Unit::Bytes), memory)?;
        page.gauge(("open_fds", "Open file descriptors"), None, one(process.open_files))?;
        page.gauge(("max_fds", "Maximum number of open file descriptors"), None, one(process.open_files_max))?;
        let start = process.start_s.map(|start| (NO_LABELS, start));
        page.gauge(("start_time", "When this process started, since 1970"), Some(Unit::Seconds), start)
    }
}
