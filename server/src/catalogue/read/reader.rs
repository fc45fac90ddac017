//! The reader of a catalogue: what it has read so far, and what its parts need.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::catalogue::entry::{Entry, ErrorList};
use crate::catalogue::types::{ConsumptionPool, Customer, License, Product, User};

/// Reads entries, and collects what licenses refer to.
pub(super) struct Reader<'n> {
    pub(super) errors: &'n ErrorList,
    /// The numbers of the entries so far. Two entries of the same number would share their slots.
    pub(super) ids: HashSet<u64>,
    pub(super) licenses: Vec<Arc<License>>,
    /// The terms of each product's trials, which refer to the product, with its code.
    pub(super) trial_entries: Vec<(String, TrialEntry<'n>)>,
}

/// The terms of trials, of which the license's part is not read yet.
pub(super) struct TrialEntry<'n> {
    pub(super) policy: String,
    pub(super) days: u32,
    pub(super) closed: bool,
    pub(super) email_required: bool,
    pub(super) max_trials: u64,
    pub(super) entry: Entry<'n>,
}

/// The entries that licenses refer to by name.
pub(super) struct References {
    pub(super) products: HashMap<String, Arc<Product>>,
    pub(super) users: HashMap<String, Arc<User>>,
    pub(super) customers: HashMap<String, Arc<Customer>>,
    pub(super) pools: HashMap<String, Arc<ConsumptionPool>>,
}

impl<'n> Reader<'n> {
    /// Reads entries that are referred to by name. No two may have the same name.
    pub(super) fn collect<T>(
        &mut self,
        entries: Vec<Entry<'n>>,
        read: impl Fn(&mut Self, &mut Entry<'n>) -> (String, T),
    ) -> HashMap<String, T> {
        let mut named = HashMap::new();
        for mut entry in entries {
            let (name, value) = read(self, &mut entry);
            if named.insert(name, value).is_some() {
                entry.report("is given twice; remove one");
            }
            entry.finish();
        }
        named
    }

    /// Returns the entry's number: its `id`, or one that is derived from its name.
    pub(super) fn id(&mut self, entry: &mut Entry<'_>, parts: &[&str]) -> u64 {
        let id = entry.optional("id").unwrap_or_else(|| derived_id(parts));
        if id == 0 {
            entry.report("`id` must be at least 1");
        }
        if !self.ids.insert(id) {
            entry.report(format!("`id` {id} is taken by another entry; give it one of its own"));
        }
        id
    }
}

/// Returns the error about a name that no entry of a table has.
pub(super) fn unknown_name(key: &str, name: &str, table: &str) -> String {
    format!("`{key}` names {name:?}, which no [[{table}]] has; add one, or correct the name")
}

/// Derives a number of 16 digits, below 2^53, from names.
pub(crate) fn derived_id(parts: &[&str]) -> u64 {
    let digest = digest(&SHA256, parts.join("\u{1f}").as_bytes());
    let number = digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    1_000_000_000_000_000 + number % 8_000_000_000_000_000
}
