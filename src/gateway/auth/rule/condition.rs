//! The `filter` of a rule: a condition on documents that may refer to the caller.
//!
//! The language is a part of MongoDB's: `$and`, `$or`, `$nor` and comparisons with constants. This
//! way the gateway can tell which fields a condition depends on, and whether a document that is
//! about to be written meets it.

use std::cmp::Ordering;
use std::fmt;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::fields::FieldPath;
use super::number::Number;
use crate::codec::ejson::{self, Style};
use crate::error::excerpt;

/// What refers to the caller begins with this.
const EXPANSION: &str = "%%";
/// The only source of expansions.
const USER: &str = "%%user.";
/// How deep a condition may nest.
const MAX_DEPTH: usize = 20;

/// A condition on documents. `V` is the type of its constants.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<V = Bson> {
    /// All conditions hold.
    And(Vec<Self>),
    /// One of the conditions holds.
    Or(Vec<Self>),
    /// None of the conditions holds.
    Nor(Vec<Self>),
    /// The value of a field passes a test.
    Field(FieldPath, Test<V>),
}

/// A test of a field's value, as MongoDB's operator of this name.
#[derive(Debug, Clone, PartialEq)]
pub enum Test<V> {
    /// `$eq`.
    Eq(V),
    /// `$ne`.
    Ne(V),
    /// `$gt`, `$gte`, `$lt` or `$lte`.
    Compare(Comparison, V),
    /// `$in`.
    In(Vec<V>),
    /// `$nin`.
    Nin(Vec<V>),
    /// `$exists`.
    Exists(bool),
}

/// A comparison by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `$gt`.
    Greater,
    /// `$gte`.
    GreaterOrEqual,
    /// `$lt`.
    Less,
    /// `$lte`.
    LessOrEqual,
}

impl Comparison {
    const fn operator(self) -> &'static str {
        match self {
            Self::Greater => "$gt",
            Self::GreaterOrEqual => "$gte",
            Self::Less => "$lt",
            Self::LessOrEqual => "$lte",
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

/// A constant of a rule, or what stands for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A constant.
    Value(Bson),
    /// `%%user.…`: the field of what is known of the caller.
    User(Vec<String>),
}

/// The condition of a rule, in which constants may refer to the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Condition<Operand>);

/// Whether a condition holds for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// The gateway cannot tell: of values whose comparison is MongoDB's matter, such as arrays.
    Unknown,
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    fn any(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::False, |whole, one| match (whole, one) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => Self::False,
        })
    }

    fn all(all: impl Iterator<Item = Self>) -> Self {
        Self::any(all.map(Self::not)).not()
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Template {
    /// Parses a filter.
    ///
    /// # Errors
    /// What is not allowed in a rule.
    pub fn parse(filter: &RawDocument) -> Result<Self, String> {
        let condition = parse_filter(filter, 0)?;
        match &condition {
            Condition::And(all) if all.is_empty() => {
                Err("it must not be empty: leave it out to allow all documents".to_owned())
            }
            _ => Ok(Self(condition)),
        }
    }

    /// Returns the condition for a caller; `None` if it refers to something that is not known of
    /// the caller, so that it admits no document.
    pub fn expand(&self, user: &Document) -> Option<Condition> {
        self.0.expand(user)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.to_document("", &|operand| match operand {
            Operand::Value(value) => value.clone(),
            Operand::User(path) => Bson::String(format!("{USER}{}", path.join("."))),
        });
        let mut text = Vec::new();
        let written = RawDocumentBuf::try_from(&shown)
            .map_err(|_| fmt::Error)
            .and_then(|shown| ejson::write_document(&mut text, &shown, Style::Relaxed).map_err(|_| fmt::Error));
        written.and_then(|()| f.write_str(&String::from_utf8_lossy(&text)))
    }
}

impl Condition<Operand> {
    fn expand(&self, user: &Document) -> Option<Condition> {
        let all = |list: &[Self]| list.iter().map(|one| one.expand(user)).collect::<Option<Vec<_>>>();
        let values = |list: &[Operand]| {
            let mut values = Vec::new();
            for operand in list {
                operand.expand_list(user, &mut values)?;
            }
            Some(values)
        };
        Some(match self {
            Self::And(list) => Condition::And(all(list)?),
            Self::Or(list) => Condition::Or(all(list)?),
            Self::Nor(list) => Condition::Nor(all(list)?),
            Self::Field(path, test) => Condition::Field(
                path.clone(),
                match test {
                    Test::Eq(operand) => Test::Eq(operand.expand(user)?),
                    Test::Ne(operand) => Test::Ne(operand.expand(user)?),
                    Test::Compare(comparison, operand) => Test::Compare(*comparison, operand.expand(user)?),
                    Test::In(list) => Test::In(values(list)?),
                    Test::Nin(list) => Test::Nin(values(list)?),
                    Test::Exists(exists) => Test::Exists(*exists),
                },
            ),
        })
    }
}

impl Operand {
    fn parse(value: RawBsonRef<'_>) -> Result<Self, String> {
        if let RawBsonRef::String(text) = value
            && text.starts_with(EXPANSION)
        {
            let path = text.strip_prefix(USER).map(|path| path.split('.').map(str::to_owned).collect::<Vec<_>>());
            return match path {
                Some(path) if path.iter().all(|name| !name.is_empty()) => Ok(Self::User(path)),
                _ => Err(format!("'{}' is not known: use %%user.id or another %%user.…", excerpt(text, 64))),
            };
        }
        match Bson::try_from(value) {
            Ok(value) if is_scalar(&value) => Ok(Self::Value(value)),
            _ => {
                Err("a field can be compared with a string, a number, a boolean, a date, an ObjectId, binary data or \
                      null only"
                    .to_owned())
            }
        }
    }

    /// The value that a caller has. Neither `null` nor a list nor a document is one: `null` would
    /// match all documents without the field.
    fn expand(&self, user: &Document) -> Option<Bson> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::User(path) => look_up(user, path).filter(|value| is_scalar(value) && **value != Bson::Null).cloned(),
        }
    }

    /// The values that a caller has, for `$in`: a list stands for its items.
    fn expand_list(&self, user: &Document, values: &mut Vec<Bson>) -> Option<()> {
        if let Self::User(path) = self
            && let Some(Bson::Array(items)) = look_up(user, path)
        {
            if !items.iter().all(|item| is_scalar(item) && *item != Bson::Null) {
                return None;
            }
            values.extend(items.iter().cloned());
            return Some(());
        }
        values.push(self.expand(user)?);
        Some(())
    }
}

fn look_up<'d>(user: &'d Document, path: &[String]) -> Option<&'d Bson> {
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(user, |document, name| document.get(name)?.as_document())?;
    parent.get(last)
}

fn is_scalar(value: &Bson) -> bool {
    match value {
        Bson::Double(number) => !number.is_nan(),
        Bson::String(_)
        | Bson::Boolean(_)
        | Bson::Null
        | Bson::Int32(_)
        | Bson::Int64(_)
        | Bson::Decimal128(_)
        | Bson::ObjectId(_)
        | Bson::DateTime(_)
        | Bson::Binary(_) => true,
        _ => false,
    }
}

/// The fields of a document, each of which may be given once.
fn fields(document: &RawDocument) -> Result<Vec<(&str, RawBsonRef<'_>)>, String> {
    let mut all: Vec<(&str, RawBsonRef<'_>)> = Vec::new();
    for field in document {
        let (name, value) = field.map_err(|_| "it cannot be read".to_owned())?;
        let name = name.as_str();
        if all.iter().any(|(given, _)| *given == name) {
            return Err(format!("'{}' is given more than once", excerpt(name, 64)));
        }
        all.push((name, value));
    }
    Ok(all)
}

fn parse_filter(filter: &RawDocument, depth: usize) -> Result<Condition<Operand>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
    }
    let mut all = Vec::new();
    for (name, value) in fields(filter)? {
        match name {
            "$and" => all.push(Condition::And(parse_list(name, value, depth)?)),
            "$or" => all.push(Condition::Or(parse_list(name, value, depth)?)),
            "$nor" => all.push(Condition::Nor(parse_list(name, value, depth)?)),
            _ => parse_field(&FieldPath::parse(name)?, value, &mut all)?,
        }
    }
    Ok(match all.len() {
        1 => all.remove(0),
        _ => Condition::And(all),
    })
}

fn parse_list(name: &str, value: RawBsonRef<'_>, depth: usize) -> Result<Vec<Condition<Operand>>, String> {
    let RawBsonRef::Array(items) = value else { return Err(format!("'{name}' must be an array of filters")) };
    let parsed = items.into_iter().map(|item| match item {
        Ok(RawBsonRef::Document(filter)) if !filter.is_empty() => parse_filter(filter, depth + 1),
        _ => Err(format!("'{name}' must be an array of filters that are not empty")),
    });
    let list = parsed.collect::<Result<Vec<_>, _>>()?;
    if list.is_empty() { Err(format!("'{name}' must not be empty")) } else { Ok(list) }
}

fn parse_field(path: &FieldPath, value: RawBsonRef<'_>, all: &mut Vec<Condition<Operand>>) -> Result<(), String> {
    let RawBsonRef::Document(operators) = value else {
        all.push(Condition::Field(path.clone(), Test::Eq(Operand::parse(value)?)));
        return Ok(());
    };
    if operators.is_empty() {
        return Err(format!("'{path}' cannot be compared with a document"));
    }
    for (name, value) in fields(operators)? {
        let test = match name {
            "$eq" => Test::Eq(Operand::parse(value)?),
            "$ne" => Test::Ne(Operand::parse(value)?),
            "$gt" | "$gte" | "$lt" | "$lte" => {
                let comparison = match name {
                    "$gt" => Comparison::Greater,
                    "$gte" => Comparison::GreaterOrEqual,
                    "$lt" => Comparison::Less,
                    _ => Comparison::LessOrEqual,
                };
                match Operand::parse(value)? {
                    // Also documents without the field are ordered by it.
                    Operand::Value(Bson::Null) => return Err(format!("'{name}' cannot compare with null")),
                    operand => Test::Compare(comparison, operand),
                }
            }
            "$in" => Test::In(parse_values(name, value)?),
            "$nin" => Test::Nin(parse_values(name, value)?),
            "$exists" => match value {
                RawBsonRef::Boolean(exists) => Test::Exists(exists),
                _ => return Err("'$exists' must be a boolean".to_owned()),
            },
            _ => {
                return Err(format!(
                    "'{}' is not available: a rule has $and, $or, $nor, $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin and \
                     $exists",
                    excerpt(name, 64)
                ));
            }
        };
        all.push(Condition::Field(path.clone(), test));
    }
    Ok(())
}

/// Reads the list of `$in`, or the claim that is one.
fn parse_values(name: &str, value: RawBsonRef<'_>) -> Result<Vec<Operand>, String> {
    match value {
        RawBsonRef::Array(items) => items
            .into_iter()
            .map(|item| item.map_err(|_| "it cannot be read".to_owned()).and_then(Operand::parse))
            .collect(),
        RawBsonRef::String(text) if text.starts_with(EXPANSION) => Ok(vec![Operand::parse(value)?]),
        _ => Err(format!("'{name}' must be an array, or a %%user.… that is one")),
    }
}

impl<V> Condition<V> {
    /// Calls `each` with the fields that the condition depends on.
    pub fn paths<'c>(&'c self, each: &mut impl FnMut(&'c FieldPath)) {
        match self {
            Self::And(list) | Self::Or(list) | Self::Nor(list) => list.iter().for_each(|one| one.paths(each)),
            Self::Field(path, _) => each(path),
        }
    }

    /// The condition as a filter, for documents whose fields have a prefix.
    fn to_document(&self, parent: &str, value: &dyn Fn(&V) -> Bson) -> Document {
        let list =
            |list: &[Self]| list.iter().map(|one| Bson::Document(one.to_document(parent, value))).collect::<Vec<_>>();
        let values = |list: &[V]| list.iter().map(value).collect::<Vec<_>>();
        match self {
            Self::And(all) => doc! { "$and": list(all) },
            Self::Or(all) => doc! { "$or": list(all) },
            Self::Nor(all) => doc! { "$nor": list(all) },
            Self::Field(path, test) => {
                // A value is always an operator's argument, never read as an operator itself.
                let test = match test {
                    Test::Eq(constant) => doc! { "$eq": value(constant) },
                    Test::Ne(constant) => doc! { "$ne": value(constant) },
                    Test::Compare(comparison, constant) => doc! { comparison.operator(): value(constant) },
                    Test::In(list) => doc! { "$in": values(list) },
                    Test::Nin(list) => doc! { "$nin": values(list) },
                    Test::Exists(exists) => doc! { "$exists": exists },
                };
                doc! { format!("{parent}{path}"): test }
            }
        }
    }
}

impl Condition {
    /// The condition that no document meets.
    pub fn nothing() -> Self {
        Self::Field(FieldPath::id(), Test::In(Vec::new()))
    }

    /// The condition as a filter of MongoDB.
    pub fn filter(&self) -> Document {
        self.to_document("", &Bson::clone)
    }

    /// The fields that the condition requires to have one value, with that value; `None` if it
    /// requires anything else, or several values of fields that overlap.
    pub fn equalities(&self) -> Option<Vec<(&FieldPath, &Bson)>> {
        let mut found = Vec::new();
        self.collect_equalities(&mut found).then_some(())?;
        let overlap = found.iter().enumerate().any(|(index, (path, _))| {
            found[..index].iter().any(|(other, _): &(&FieldPath, &Bson)| path.overlaps(&other.to_string()))
        });
        (!overlap).then_some(found)
    }

    fn collect_equalities<'c>(&'c self, found: &mut Vec<(&'c FieldPath, &'c Bson)>) -> bool {
        match self {
            Self::And(list) => list.iter().all(|one| one.collect_equalities(found)),
            // `null` also matches a field that is missing.
            Self::Field(path, Test::Eq(value)) if *value != Bson::Null => {
                found.push((path, value));
                true
            }
            _ => false,
        }
    }

    /// Whether a document that is about to be written meets the condition.
    pub fn holds(&self, document: &RawDocument) -> Truth {
        match self {
            Self::And(list) => Truth::all(list.iter().map(|one| one.holds(document))),
            Self::Or(list) => Truth::any(list.iter().map(|one| one.holds(document))),
            Self::Nor(list) => Truth::any(list.iter().map(|one| one.holds(document))).not(),
            Self::Field(path, test) => match path.find(document) {
                Ok(value) => test.holds(value),
                Err(()) => Truth::Unknown,
            },
        }
    }
}

impl Test<Bson> {
    fn holds(&self, value: Option<RawBsonRef<'_>>) -> Truth {
        match self {
            Self::Eq(constant) => equal(value, constant),
            Self::Ne(constant) => equal(value, constant).not(),
            Self::In(list) => Truth::any(list.iter().map(|constant| equal(value, constant))),
            Self::Nin(list) => Truth::any(list.iter().map(|constant| equal(value, constant))).not(),
            Self::Exists(exists) => Truth::from(value.is_some() == *exists),
            Self::Compare(comparison, constant) => match value {
                None => Truth::False,
                Some(value) => match compare(value, constant) {
                    Compared::Ordered(ordering) => Truth::from(comparison.holds(ordering)),
                    Compared::OtherTypes => Truth::False,
                    Compared::Unknown => Truth::Unknown,
                },
            },
        }
    }
}

fn equal(value: Option<RawBsonRef<'_>>, constant: &Bson) -> Truth {
    let Some(value) = value else { return Truth::from(*constant == Bson::Null) };
    match compare(value, constant) {
        Compared::Ordered(ordering) => Truth::from(ordering.is_eq()),
        Compared::OtherTypes => Truth::False,
        Compared::Unknown => Truth::Unknown,
    }
}

/// The result of a comparison of two scalars.
enum Compared {
    Ordered(Ordering),
    /// Values of these types are neither equal nor ordered.
    OtherTypes,
    Unknown,
}

/// Compares two values where the gateway is certain of MongoDB's result.
fn compare(value: RawBsonRef<'_>, constant: &Bson) -> Compared {
    let from = |ordering: Option<Ordering>| ordering.map_or(Compared::Unknown, Compared::Ordered);
    match (value, constant) {
        (RawBsonRef::String(value), Bson::String(constant)) => Compared::Ordered(value.cmp(constant.as_str())),
        (RawBsonRef::Boolean(value), Bson::Boolean(constant)) => Compared::Ordered(value.cmp(constant)),
        (RawBsonRef::ObjectId(value), Bson::ObjectId(constant)) => {
            Compared::Ordered(value.bytes().cmp(&constant.bytes()))
        }
        (RawBsonRef::DateTime(value), Bson::DateTime(constant)) => {
            Compared::Ordered(value.timestamp_millis().cmp(&constant.timestamp_millis()))
        }
        (RawBsonRef::Binary(value), Bson::Binary(constant)) => {
            // MongoDB orders by length, then by subtype: only equality is certain here.
            if value.subtype == constant.subtype && value.bytes == constant.bytes.as_slice() {
                Compared::Ordered(Ordering::Equal)
            } else {
                Compared::Unknown
            }
        }
        (RawBsonRef::Null, Bson::Null) => Compared::Ordered(Ordering::Equal),
        _ => match (Number::of(value), Number::of_constant(constant)) {
            (Some(value), Some(constant)) => from(value.compare(constant)),
            // Decimals compare with all numbers.
            (Some(_), None) if matches!(constant, Bson::Decimal128(_)) => Compared::Unknown,
            _ if is_certain(value) => Compared::OtherTypes,
            _ => Compared::Unknown,
        },
    }
}

/// Whether the type of a value alone shows that it equals no constant of another type.
fn is_certain(value: RawBsonRef<'_>) -> bool {
    matches!(
        value,
        RawBsonRef::String(_)
            | RawBsonRef::Boolean(_)
            | RawBsonRef::ObjectId(_)
            | RawBsonRef::DateTime(_)
            | RawBsonRef::Null
            | RawBsonRef::Int32(_)
            | RawBsonRef::Int64(_)
    )
}
