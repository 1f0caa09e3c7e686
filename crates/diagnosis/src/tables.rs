//! Tables by hash for what there may be millions of. Their keys are foreign text or numbers that stand for it: the hash has
//! a random key, so nobody can choose text that falls into one place.

use foldhash::fast::RandomState;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
pub(crate) type HashSet<K> = std::collections::HashSet<K, RandomState>;
