//! Numbers of documents and of rules, compared without rounding.

use std::cmp::Ordering;

use bson::{Bson, RawBsonRef};

/// A number that is not a decimal.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    /// The number of a document's value.
    pub(super) fn of(value: RawBsonRef<'_>) -> Option<Self> {
        match value {
            RawBsonRef::Int32(number) => Some(Self::Integer(number.into())),
            RawBsonRef::Int64(number) => Some(Self::Integer(number)),
            RawBsonRef::Double(number) => Some(Self::Double(number)),
            _ => None,
        }
    }

    /// The number of a filter's constant.
    pub(super) fn of_constant(value: &Bson) -> Option<Self> {
        match value {
            Bson::Int32(number) => Some(Self::Integer((*number).into())),
            Bson::Int64(number) => Some(Self::Integer(*number)),
            Bson::Double(number) => Some(Self::Double(*number)),
            _ => None,
        }
    }

    /// The number of a JSON value. An integer that has more than 64 bits is a double.
    pub(super) fn of_json(value: &serde_json::Number) -> Option<Self> {
        value.as_i64().map(Self::Integer).or_else(|| value.as_f64().map(Self::Double))
    }

    /// Compares numbers exactly; `None` where the conversion of an integer would round.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        const EXACT: i64 = 1 << 53;
        let exact = |number: i64| (-EXACT..=EXACT).contains(&number).then_some(number as f64);
        match (self, other) {
            (Self::Integer(one), Self::Integer(two)) => Some(one.cmp(&two)),
            (Self::Integer(one), Self::Double(two)) => exact(one)?.partial_cmp(&two),
            (Self::Double(one), Self::Integer(two)) => one.partial_cmp(&exact(two)?),
            (Self::Double(one), Self::Double(two)) => one.partial_cmp(&two),
        }
    }
}
