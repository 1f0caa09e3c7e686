//! Keys of messages and deliveries: 63 bits of milliseconds, the handle's number and a counter. They need no round trip,
//! and ascend in time as far as the clocks agree.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::OnceCell;

use super::lane::Lane;
use crate::{DeliveryKey, EMBEDDED_KEYS_END, MessageKey, Result};

/// Milliseconds from 1970 to 2025, when keys begin; they last for 69 years.
const BEGIN: u64 = 1_735_689_600_000;
/// Keys in one millisecond. A handle that needs more takes them from the next.
const COUNTER_BITS: u32 = 10;
const GIVER_BITS: u32 = 12;
/// Keys of all handles in one millisecond.
pub(super) const PER_MILLISECOND: i64 = 1 << (COUNTER_BITS + GIVER_BITS);

pub(super) struct Keys {
    /// Most handles are commands that give out no key.
    giver: OnceCell<i64>,
    /// The next key without the handle's number.
    next: Mutex<u64>,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { giver: OnceCell::new(), next: Mutex::new(0) }
    }

    pub(super) async fn message(&self, lane: &Arc<Lane>) -> Result<MessageKey> {
        Ok(MessageKey(self.take(1, lane).await?[0]))
    }

    pub(super) async fn deliveries(&self, count: usize, lane: &Arc<Lane>) -> Result<Vec<DeliveryKey>> {
        Ok(self.take(count, lane).await?.into_iter().map(DeliveryKey).collect())
    }

    async fn take(&self, count: usize, lane: &Arc<Lane>) -> Result<Vec<i64>> {
        let number = async || {
            let row = lane.read(async |tx| tx.query_one("SELECT nextval('key_giver')", &[]).await).await?;
            Ok::<i64, crate::StoreError>(row.try_get(0)?)
        };
        let giver = *self.giver.get_or_try_init(number).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (*next).max(now.saturating_sub(BEGIN) << COUNTER_BITS).max(FIRST);
        *next = first + count as u64;
        Ok((first..*next).map(|place| key(place, giver)).collect())
    }
}

/// The first place whose keys are not smaller than those of mail that was moved here, whatever the clock says.
const FIRST: u64 = (EMBEDDED_KEYS_END >> GIVER_BITS) as u64;

/// Milliseconds above, the handle's number between, the counter below.
fn key(place: u64, giver: i64) -> i64 {
    let (millis, counter) = (place >> COUNTER_BITS, place & ((1 << COUNTER_BITS) - 1));
    (((millis << GIVER_BITS | giver as u64) << COUNTER_BITS) | counter) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_and_name_their_giver() {
        let now = 1_800_000_000_000 - BEGIN;
        let last_of_millisecond = (now << COUNTER_BITS) + 1023;
        assert!(key(last_of_millisecond, 7) < key(last_of_millisecond + 1, 7));
        assert!(key(last_of_millisecond, 7) < key(last_of_millisecond, 8));
        assert!(key(last_of_millisecond, 4095) < key(last_of_millisecond + 1, 0));
        // None is one of a store that was moved, not even where the clock has stopped.
        assert_eq!(key(FIRST, 0), EMBEDDED_KEYS_END);
        assert!(key(FIRST, 4095) > EMBEDDED_KEYS_END);
        // In 2090 they are still positive.
        assert!(key((3_786_912_000_000 - BEGIN) << COUNTER_BITS, 4095) > 0);
    }
}
