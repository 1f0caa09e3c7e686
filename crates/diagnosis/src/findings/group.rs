//! Attempts that are looked at together, and what is known beside them.

use super::{counter::Delivered, elsewhere::Elsewhere, everywhere::Everywhere, judged::Causes};
use crate::{
    comparison::Comparer,
    evidence::{Delivery, Evidence, Record},
    tables::HashMap,
};

/// Attempts that are compared with each other.
pub(super) struct Group<'a, 'e> {
    pub evidence: &'e Evidence,
    pub causes: &'a Causes,
    pub endings: &'a HashMap<Delivery, &'e Record>,
    pub delivered: &'a Delivered,
    pub comparer: &'a Comparer<'e>,
    pub elsewhere: &'a Elsewhere<'e>,
    pub number: u32,
    /// The attempts of all groups, for a cause that fails at all destinations.
    pub everywhere: Option<&'a Everywhere>,
    pub records: Vec<&'e Record>,
}
