//! The keys by which a store finds messages and deliveries.

/// A message's key in this store. Keys ascend in order of acceptance, as far as one handle on the store gives them out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageKey(pub i64);

/// A delivery's key in this store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryKey(pub i64);

/// Keys of an embedded store are smaller: the keys of its bodies leave no room for larger ones of messages. A server gives
/// out larger ones, so that mail keeps its keys when it moves there.
pub(crate) const EMBEDDED_KEYS_END: i64 = 1 << 43;
