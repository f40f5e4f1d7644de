//! Pages in the order of `_id`: the next page is a query for what comes after the last `_id`. Nothing is kept open
//! between pages.
//!
//! MongoDB compares values of all types when it sorts, but `$gt` and `$lt` only match values of the type that they are
//! given. So the query also names the types that come later.

use bson::spec::ElementType;
use bson::{Bson, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use crate::gateway::request::Query;

/// Operators that determine the order of the documents themselves.
const ORDERING_OPERATORS: [&str; 4] = ["$near", "$nearSphere", "$geoNear", "$text"];

/// The types of `_id` in MongoDB's order, as numbers of `$type`. An `_id` is no array, regular expression or undefined.
const TYPES: [&[i32]; 14] =
    [&[-1], &[10], &[1, 16, 18, 19], &[2, 14], &[3], &[5], &[7], &[8], &[9], &[17], &[12], &[13], &[15], &[127]];

/// The order of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Order {
    Ascending,
    Descending,
}

impl Order {
    /// The order of a query if it is that of `_id`, and if each document of the result has its `_id`.
    pub(in crate::gateway) fn of(query: &Query<'_>) -> Option<Self> {
        let order = match query.sort {
            None => Self::Ascending,
            Some(sort) => Self::of_sort(sort)?,
        };
        let keeps_id = query.projection.is_none_or(keeps_id);
        let ordered_otherwise = query.filter.is_some_and(|filter| orders(RawBsonRef::Document(filter)));
        // By a collation, several values of `_id` can be equal.
        let has_collation = query.options.get("collation").is_some();
        (keeps_id && !ordered_otherwise && !has_collation).then_some(order)
    }

    fn of_sort(sort: &RawDocument) -> Option<Self> {
        let mut fields = sort.iter();
        let Some(first) = fields.next() else { return Some(Self::Ascending) };
        let (name, direction) = first.ok()?;
        if name.as_str() != "_id" || fields.next().is_some() {
            return None;
        }
        match direction {
            RawBsonRef::Int32(1) | RawBsonRef::Int64(1) => Some(Self::Ascending),
            RawBsonRef::Int32(-1) | RawBsonRef::Int64(-1) => Some(Self::Descending),
            RawBsonRef::Double(direction) if direction.to_bits() == 1_f64.to_bits() => Some(Self::Ascending),
            RawBsonRef::Double(direction) if direction.to_bits() == (-1_f64).to_bits() => Some(Self::Descending),
            _ => None,
        }
    }

    /// The sort order as MongoDB has it.
    pub(in crate::gateway) fn sort(self) -> RawDocumentBuf {
        match self {
            Self::Ascending => bson::rawdoc! { "_id": 1 },
            Self::Descending => bson::rawdoc! { "_id": -1 },
        }
    }

    /// A filter for the documents that come after this `_id`. `None` if an `_id` cannot have its type.
    pub(in crate::gateway) fn after(self, id: &Bson) -> Option<bson::Document> {
        let kind = id.element_type();
        let code = match kind {
            ElementType::MinKey => -1,
            kind => i32::from(kind as u8),
        };
        let place = TYPES.iter().position(|types| types.contains(&code))?;
        let is_nan = match id {
            Bson::Double(number) => number.is_nan(),
            Bson::Decimal128(number) => number.to_string() == "NaN",
            _ => false,
        };
        let is_number = TYPES[place].contains(&1);
        let nan = || doc! { "_id": f64::NAN };
        let mut alternatives = Vec::new();
        // NaN is the least number, and `$gt` and `$lt` do not match it.
        match self {
            Self::Ascending if is_nan => alternatives.push(doc! { "_id": { "$gte": f64::NEG_INFINITY } }),
            Self::Descending if is_nan => {}
            // There is only one value of these types.
            _ if matches!(kind, ElementType::MinKey | ElementType::MaxKey | ElementType::Null) => {}
            Self::Ascending => alternatives.push(doc! { "_id": { "$gt": id.clone() } }),
            Self::Descending => {
                alternatives.push(doc! { "_id": { "$lt": id.clone() } });
                alternatives.extend(is_number.then(nan));
            }
        }
        let others = match self {
            Self::Ascending => TYPES.get(place + 1..),
            Self::Descending => TYPES.get(..place),
        };
        let others: Vec<i32> = others.unwrap_or_default().concat();
        if !others.is_empty() {
            alternatives.push(doc! { "_id": { "$type": others } });
        }
        match alternatives.is_empty() {
            // Nothing comes after it.
            true => Some(doc! { "_id": { "$in": [] } }),
            false => Some(doc! { "$or": alternatives }),
        }
    }
}

/// Whether the documents of a projection have their `_id`, unchanged.
fn keeps_id(projection: &RawDocument) -> bool {
    projection.iter().all(|field| match field {
        Ok((name, value)) => match name.as_str() {
            "_id" => matches!(value, RawBsonRef::Int32(1) | RawBsonRef::Int64(1) | RawBsonRef::Boolean(true)),
            name => !name.starts_with("_id."),
        },
        Err(_) => false,
    })
}

/// Whether a filter has an operator that determines the order.
fn orders(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Document(document) => document.iter().any(|field| match field {
            Ok((name, value)) => ORDERING_OPERATORS.contains(&name.as_str()) || orders(value),
            Err(_) => true,
        }),
        RawBsonRef::Array(array) => array.into_iter().any(|item| item.map_or(true, orders)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::rawdoc;

    #[test]
    fn a_query_is_paged_by_id_if_its_order_and_its_documents_allow_it() {
        let order = |filter: RawDocumentBuf, projection: Option<RawDocumentBuf>, sort: Option<RawDocumentBuf>| {
            Order::of(&Query {
                filter: Some(&filter),
                projection: projection.as_deref(),
                sort: sort.as_deref(),
                ..Query::default()
            })
        };
        let any = RawDocumentBuf::new;
        assert_eq!(order(any(), None, None), Some(Order::Ascending));
        assert_eq!(order(any(), None, Some(rawdoc! { "_id": 1.0 })), Some(Order::Ascending));
        assert_eq!(order(any(), None, Some(rawdoc! { "_id": -1 })), Some(Order::Descending));
        assert_eq!(order(any(), Some(rawdoc! { "a": 1, "_id": 1 }), None), Some(Order::Ascending));
        assert_eq!(order(any(), None, Some(rawdoc! { "a": 1 })), None);
        assert_eq!(order(any(), None, Some(rawdoc! { "_id": 1, "a": 1 })), None);
        assert_eq!(order(any(), None, Some(rawdoc! { "_id": { "$meta": "textScore" } })), None);
        assert_eq!(order(any(), Some(rawdoc! { "_id": 0 }), None), None);
        assert_eq!(order(any(), Some(rawdoc! { "_id": "$a" }), None), None);
        assert_eq!(order(any(), Some(rawdoc! { "_id.a": 1 }), None), None);
        assert_eq!(order(rawdoc! { "$and": [{ "at": { "$near": [1, 2] } }] }, None, None), None);
        assert_eq!(order(rawdoc! { "$text": { "$search": "x" } }, None, None), None);
    }

    #[test]
    fn what_comes_after_an_id_includes_the_types_that_follow() {
        let types = |document: &bson::Document| {
            let alternatives = document.get_array("$or").unwrap();
            let last = alternatives.last().unwrap().as_document().unwrap();
            last.get_document("_id").unwrap().get_array("$type").unwrap().len()
        };
        let after = Order::Ascending.after(&Bson::Int32(5)).unwrap();
        assert_eq!(types(&after), 12);
        let before = Order::Descending.after(&Bson::Int32(5)).unwrap();
        assert_eq!(types(&before), 2);
        assert_eq!(before.get_array("$or").unwrap().len(), 3);
        // Code without and with a scope are two types.
        let after = Order::Ascending.after(&Bson::JavaScriptCode("f".to_owned())).unwrap();
        assert_eq!(types(&after), 2);
        assert_eq!(Order::Ascending.after(&Bson::MaxKey), Some(doc! { "_id": { "$in": [] } }));
        assert_eq!(Order::Descending.after(&Bson::MinKey), Some(doc! { "_id": { "$in": [] } }));
        assert_eq!(Order::Ascending.after(&Bson::Array(Vec::new())), None);
    }
}
