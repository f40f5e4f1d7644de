//! Places for what callers keep open, such as cursors and change streams: a number for each caller, and one for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gateway::api_error::ApiError;

/// The places for one kind of thing.
pub(in crate::gateway) struct CallerSlots {
    total: usize,
    per_caller: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    total: usize,
    by_caller: HashMap<Arc<str>, usize>,
}

/// A place that is taken. Dropping it frees the place.
pub(in crate::gateway) struct CallerSlot {
    slots: Arc<CallerSlots>,
    caller: Arc<str>,
}

/// Which limit leaves no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum NoSlot {
    OfCaller(usize),
    OfAll(usize),
}

impl NoSlot {
    /// The error of a caller. `things` says what is open, and how to get a place.
    pub(in crate::gateway) fn error(self, things: &str) -> ApiError {
        let (number, whose) = match self {
            Self::OfCaller(number) => (number, "the caller has"),
            Self::OfAll(number) => (number, "the gateway has"),
        };
        ApiError::too_many_requests(format!("{whose} {number} open {things}"))
    }
}

impl CallerSlots {
    /// `total` places, of which a caller may take `per_caller`.
    pub(in crate::gateway) fn new(total: usize, per_caller: usize) -> Arc<Self> {
        Arc::new(Self { total, per_caller, used: Mutex::default() })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(in crate::gateway) fn take(self: &Arc<Self>, caller: &Arc<str>) -> Result<CallerSlot, NoSlot> {
        let mut used = self.used();
        if used.by_caller.get(caller).is_some_and(|of_caller| *of_caller >= self.per_caller) {
            return Err(NoSlot::OfCaller(self.per_caller));
        }
        if used.total >= self.total {
            return Err(NoSlot::OfAll(self.total));
        }
        used.total += 1;
        *used.by_caller.entry(Arc::clone(caller)).or_default() += 1;
        Ok(CallerSlot { slots: Arc::clone(self), caller: Arc::clone(caller) })
    }
}

impl CallerSlot {
    /// The caller that took the place.
    pub(in crate::gateway) fn caller(&self) -> &str {
        &self.caller
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        let mut used = self.slots.used();
        used.total -= 1;
        if let Some(of_caller) = used.by_caller.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                used.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_for_each_caller_and_for_all() {
        let slots = CallerSlots::new(3, 2);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let taken: Vec<_> = [&one, &one, &other].into_iter().filter_map(|caller| slots.take(caller).ok()).collect();
        assert_eq!(taken.len(), 3);
        assert_eq!(slots.take(&one).err(), Some(NoSlot::OfCaller(2)));
        assert_eq!(slots.take(&other).err(), Some(NoSlot::OfAll(3)));
        drop(taken);
        assert!(slots.take(&other).is_ok());
        assert!(slots.used().by_caller.is_empty());
    }
}
