//! What the event store counts, in this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::events::validate::Deviation;

/// The most fields that are counted by themselves: the names of fields are not ours.
const MAX_FIELDS: usize = 1_000;

/// A counter of this process.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Events that were stored.
pub static STORED: Counter = Counter(AtomicU64::new(0));
/// Events whose content was stored already.
pub static DUPLICATES: Counter = Counter(AtomicU64::new(0));
/// Events that differ from their model.
pub static DEVIATING: Counter = Counter(AtomicU64::new(0));
/// Objects that cannot be stored.
pub static UNSTORABLE: Counter = Counter(AtomicU64::new(0));
/// Dead letters that were written.
pub static DEAD_LETTERS: Counter = Counter(AtomicU64::new(0));

/// The deviations by model and field. Locked for moments, with the GIL held: a child that is forked
/// cannot inherit it locked.
static FIELDS: Mutex<BTreeMap<(&'static str, String), u64>> = Mutex::new(BTreeMap::new());

/// Counts the deviations of an object of a model; returns those whose field deviates for the first
/// time in this process.
pub fn count_deviations<'d>(model: &'static str, deviations: &'d [Deviation]) -> Vec<&'d Deviation> {
    if deviations.is_empty() {
        return Vec::new();
    }
    DEVIATING.increment();
    let mut fields = FIELDS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = Vec::new();
    for deviation in deviations {
        let key = (model, deviation.field.clone());
        let has_room = fields.len() < MAX_FIELDS;
        match fields.get_mut(&key) {
            Some(count) => *count += 1,
            None if has_room => {
                fields.insert(key, 1);
                first.push(deviation);
            }
            None => {}
        }
    }
    first
}

/// The counts of deviations by model and field.
pub fn deviations_by_field() -> Vec<(&'static str, String, u64)> {
    let fields = FIELDS.lock().unwrap_or_else(PoisonError::into_inner);
    fields.iter().map(|((model, field), count)| (*model, field.clone(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_new_once() {
        let deviation = |position: usize| Deviation {
            path: format!("items[{position}].x"),
            field: "items[].x".to_owned(),
            expected: "a string".to_owned(),
            actual: "int",
        };
        let two = [deviation(0), deviation(1)];
        assert_eq!(count_deviations("OfTheTest", &two), [&two[0]]);
        assert!(count_deviations("OfTheTest", &two).is_empty());
        assert!(deviations_by_field().contains(&("OfTheTest", "items[].x".to_owned(), 4)));
    }
}
