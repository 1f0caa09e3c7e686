//! Forecasts that somebody waits for before a rollout: reading the history takes longer than a request. The last forecast of
//! each policy is kept for a while, and one reading serves all who ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use insight::Effect;
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    Node,
    config::{Config, UnknownPolicy},
    impact,
};

/// The same as in `gatepost policy impact`.
pub const FORECAST_DAYS: u32 = 30;
/// After this, it is read again.
const FRESH: Duration = Duration::from_secs(300);
/// Maximum duration of one reading.
const LASTS_MAX: Duration = Duration::from_secs(600);

/// What a policy would break, as far as it is known.
#[derive(Clone)]
pub enum Forecast {
    /// `back_to`: the history since then was read.
    Reading {
        back_to: Option<Timestamp>,
    },
    Known {
        at: Timestamp,
        effect: Arc<Effect>,
    },
    /// Why there is none, in words.
    Failed(String),
}

impl Forecast {
    /// What failed is tried again.
    fn is_fresh(&self, age: Duration) -> bool {
        match self {
            Self::Reading { .. } => true,
            Self::Known { .. } => age < FRESH,
            Self::Failed(_) => false,
        }
    }

    fn is_reading(&self) -> bool {
        matches!(self, Self::Reading { .. })
    }
}

#[derive(Default)]
pub(crate) struct Forecasts(Mutex<HashMap<String, Entry>>);

struct Entry {
    begun: Instant,
    /// The settings that it is a forecast for.
    config: Arc<Config>,
    forecast: watch::Receiver<Forecast>,
}

impl Entry {
    fn is_good(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.config, config) && self.forecast.borrow().is_fresh(self.begun.elapsed())
    }
}

impl Node {
    /// The forecast for a policy. Waits for it as long as `patience`.
    pub async fn forecast(self: &Arc<Self>, policy: &str, patience: Duration) -> Result<Forecast, UnknownPolicy> {
        let config = self.config.load_full();
        config.known_policy(policy)?;
        let mut forecast = self.forecasts.get_or_begin(self, policy, config);
        let known = async { forecast.wait_for(|forecast| !forecast.is_reading()).await.map(|known| known.clone()) };
        Ok(match timeout(patience, known).await {
            Ok(Ok(known)) => known,
            Ok(Err(_)) => Forecast::Failed("the reading stopped unexpectedly".to_owned()),
            Err(_) => forecast.borrow().clone(),
        })
    }
}

impl Node {
    /// The forecast for a policy, if somebody has asked for it lately. Nothing is read for this.
    pub fn last_forecast(&self, policy: &str) -> Option<Forecast> {
        let config = self.config.load_full();
        let all = self.forecasts.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(policy).filter(|entry| entry.is_good(&config)).map(|entry| entry.forecast.borrow().clone())
    }
}

impl Forecasts {
    fn get_or_begin(&self, node: &Arc<Node>, policy: &str, config: Arc<Config>) -> watch::Receiver<Forecast> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, entry| entry.is_good(&config));
        let begin = || {
            let (sender, forecast) = watch::channel(Forecast::Reading { back_to: None });
            tokio::spawn(read(Arc::clone(node), policy.to_owned(), Arc::clone(&config), sender));
            Entry { begun: Instant::now(), config: Arc::clone(&config), forecast }
        };
        all.entry(policy.to_owned()).or_insert_with(begin).forecast.clone()
    }
}

async fn read(node: Arc<Node>, policy: String, config: Arc<Config>, sender: watch::Sender<Forecast>) {
    let now = Timestamp::now();
    let progress = |back_to| drop(sender.send_replace(Forecast::Reading { back_to: Some(back_to) }));
    let read = timeout(LASTS_MAX, impact(&node.store, &config, &policy, FORECAST_DAYS, now, progress)).await;
    let forecast = match read {
        Ok(Ok(effect)) => Forecast::Known { at: now, effect: Arc::new(effect) },
        Ok(Err(error)) => Forecast::Failed(format!("{error:#}")),
        Err(_) => Forecast::Failed(format!(
            "the history is too long to be read within {} minutes; run gatepost policy impact with fewer days",
            LASTS_MAX.as_secs() / 60
        )),
    };
    sender.send_replace(forecast);
}
