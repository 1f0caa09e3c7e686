//! When attempts failed and when others worked, by what separates them and by node.

use jiff::Timestamp;

use super::explained::Explained;
use crate::{
    comparison::{Compared, Comparer, Split},
    evidence::{Dimension, Evidence, Record},
    tables::HashMap,
};

/// Maximum number of values that have a lane each. If there are more, each side of the difference has one.
const VALUES_MAX: usize = 8;
/// Maximum number of nodes below a lane. If there are more, the last one stands for the rest.
const NODES_MAX: usize = 6;
/// Values of a side that are named.
const NAMED_MAX: usize = 3;

/// Attempts along what separates them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Lanes {
    /// What the values of the lanes belong to. Empty: nothing separates them, and the value is the destination.
    pub dimension: Vec<Dimension>,
    /// The values that fail most come first.
    pub lanes: Vec<Lane>,
}

/// The times of attempts that have a value in common.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Lane {
    pub value: String,
    pub failed: u64,
    pub worked: u64,
    /// Of those that failed and that worked, as far as their times are known.
    pub failed_at: Vec<Timestamp>,
    pub worked_at: Vec<Timestamp>,
    /// The same attempts by node; empty if the value is that of one node, or no source names nodes.
    pub nodes: Vec<Lane>,
}

impl Lane {
    fn add(&mut self, record: &Record, has_failed: bool) {
        let (count, times) = match has_failed {
            true => (&mut self.failed, &mut self.failed_at),
            false => (&mut self.worked, &mut self.worked_at),
        };
        *count += 1;
        times.extend(Some(record.at).filter(|at| *at != i64::MIN).and_then(|at| Timestamp::from_millisecond(at).ok()));
    }

    fn merge(&mut self, other: Self) {
        self.failed += other.failed;
        self.worked += other.worked;
        self.failed_at.extend(other.failed_at);
        self.worked_at.extend(other.worked_at);
    }

    fn share(&self) -> f64 {
        self.failed as f64 / (self.failed + self.worked).max(1) as f64
    }
}

/// Which lane a record is in.
enum Key<'s> {
    /// By its values for these dimensions.
    Values(&'s [Dimension]),
    /// By the side of the difference that it is on.
    Side(Box<Comparer<'s>>, &'s Compared),
    /// All in one.
    One,
}

impl<'s> Key<'s> {
    fn of(explained: &'s Explained<'_>) -> Self {
        let Some(compared) = explained.finding.scope.best() else { return Self::One };
        match compared.split.as_ref().map(|split| split.dimension.as_slice()) {
            // The sides are the left and the right of the same lane.
            None | Some([Dimension::Time]) => Self::One,
            Some(dimension) if dimension.iter().all(|dimension| dimension.is_name()) => Self::Values(dimension),
            Some(_) => Self::Side(Box::new(Comparer::of(explained.evidence)), compared),
        }
    }

    fn number(&self, record: &Record) -> Vec<u32> {
        match self {
            Self::Values(dimension) => dimension.iter().map(|dimension| record.value(*dimension)).collect(),
            Self::Side(comparer, compared) => vec![u32::from(comparer.is_on_failing_side(compared, record))],
            Self::One => Vec::new(),
        }
    }

    /// Has few enough values for a lane each.
    fn is_short(&self, lanes: usize) -> bool {
        lanes <= VALUES_MAX || !matches!(self, Self::Values(_))
    }

    fn name(&self, evidence: &Evidence, split: Option<&Split>, destination: &str, number: &[u32]) -> String {
        match self {
            Self::Values(_) => number.iter().map(|number| name(evidence, *number)).collect::<Vec<_>>().join(" with "),
            Self::Side(..) => {
                split.map(|split| listed(if number == [1] { &split.fails } else { &split.works })).unwrap_or_default()
            }
            Self::One => destination.to_owned(),
        }
    }
}

impl Explained<'_> {
    /// All attempts that were compared, by what separates failed ones from those that worked.
    pub fn lanes(&self) -> Lanes {
        let scope = &self.finding.scope;
        let key = Key::of(self);
        let mut lanes = self.by(&key);
        let key = if key.is_short(lanes.len()) {
            key
        } else {
            // The values are many, but the sides are two.
            let Some(compared) = scope.best() else { return Lanes::default() };
            let sides = Key::Side(Box::new(Comparer::of(self.evidence)), compared);
            lanes = self.by(&sides);
            sides
        };
        let split = scope.best().and_then(|compared| compared.split.as_ref());
        let name = |number: &[u32]| key.name(self.evidence, split, &scope.destination, number);
        let mut lanes: Vec<Lane> = lanes
            .into_iter()
            .map(|(number, lane)| Lane { value: name(&number), nodes: few(lane.nodes), ..lane })
            .collect();
        lanes.sort_by(|a, b| b.share().total_cmp(&a.share()).then_with(|| a.value.cmp(&b.value)));
        let dimension = match key {
            Key::One => Vec::new(),
            Key::Values(_) | Key::Side(..) => split.map(|split| split.dimension.clone()).unwrap_or_default(),
        };
        Lanes { dimension, lanes }
    }

    fn by(&self, key: &Key<'_>) -> HashMap<Vec<u32>, Lane> {
        let by_node = !matches!(key, Key::Values(dimension) if dimension.contains(&Dimension::Node));
        let mut lanes: HashMap<Vec<u32>, (Lane, HashMap<u32, Lane>)> = HashMap::default();
        let failing = self.failing.iter().map(|record| (*record, true));
        for (record, has_failed) in failing.chain(self.working.iter().map(|record| (*record, false))) {
            let (lane, nodes) = lanes.entry(key.number(record)).or_default();
            lane.add(record, has_failed);
            let node = record.value(Dimension::Node);
            if by_node && node != 0 {
                nodes.entry(node).or_default().add(record, has_failed);
            }
        }
        let with_nodes = |(number, (lane, nodes)): (Vec<u32>, (Lane, HashMap<u32, Lane>))| {
            let named = |(node, lane)| Lane { value: self.evidence.name(node).to_owned(), ..lane };
            let nodes = nodes.into_iter().map(named).collect();
            (number, Lane { nodes, ..lane })
        };
        lanes.into_iter().map(with_nodes).collect()
    }
}

/// By name; the last of many stands for the rest.
fn few(mut nodes: Vec<Lane>) -> Vec<Lane> {
    nodes.sort_by(|a, b| a.value.cmp(&b.value));
    if nodes.len() > NODES_MAX {
        let rest = nodes.split_off(NODES_MAX - 1);
        let mut others = Lane { value: format!("{} more nodes", rest.len()), ..Lane::default() };
        rest.into_iter().for_each(|lane| others.merge(lane));
        nodes.push(others);
    }
    nodes
}

fn name(evidence: &Evidence, number: u32) -> &str {
    if number == 0 { "not known" } else { evidence.name(number) }
}

fn listed(values: &[String]) -> String {
    let named = values.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match values.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
