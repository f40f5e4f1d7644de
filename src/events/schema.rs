//! What describes a model: its name, its fields and what each may hold.

/// What a field may hold. `null` is allowed everywhere: Connect returns it for
/// what is not known.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// A string.
    Text,
    /// A string with a date and a time of ISO 8601, or a date alone.
    Moment,
    /// A string with a date of ISO 8601, or a date and a time.
    Date,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A quantity: a number, or a string with one or with a word such as `unlimited`.
    Quantity,
    /// A whole number, or a string: Connect gives both.
    Level,
    /// `true` or `false`.
    Boolean,
    /// Any JSON value.
    Any,
    /// Any JSON object.
    Mapping,
    /// An object.
    Object(&'static Model),
    /// A list.
    List(&'static FieldKind),
    /// One or the other.
    Either(&'static FieldKind, &'static FieldKind),
}

/// A field of a model.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
    /// What it means.
    pub doc: &'static str,
}

/// An object of Connect's.
#[derive(Debug)]
pub struct Model {
    /// The name of its class.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// What the ids of such objects begin with, where they have ids of their own kind.
    pub prefix: Option<&'static str>,
    /// Whether it cannot be without an `id`.
    pub identified: bool,
    /// Its fields.
    pub fields: &'static [Field],
}

impl Model {
    /// The field of that name. `near` is where it is looked for first.
    pub fn field(&self, name: &str, near: usize) -> Option<(usize, &'static Field)> {
        let fields: &'static [Field] = self.fields;
        // Fields come in an order much like the model's, with some left out.
        let (before, after) = fields.split_at(near.min(fields.len()));
        let places = (before.len()..).zip(after).chain((0..).zip(before));
        places.into_iter().find(|(_, field)| same(field.name.as_bytes(), name.as_bytes()))
    }
}

/// Whether two names are equal. Names are short: a few words are compared in less time than `memcmp` is called.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(first), Some(last)) = (one.first_chunk::<8>(), one.last_chunk::<8>()) {
        return other.first_chunk() == Some(first)
            && other.last_chunk() == Some(last)
            && (one.len() <= 16 || one == other);
    }
    if let (Some(first), Some(last)) = (one.first_chunk::<4>(), one.last_chunk::<4>()) {
        return other.first_chunk() == Some(first) && other.last_chunk() == Some(last);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// Describes a model.
macro_rules! model {
    (
        $(#[doc = $doc:literal])+
        $static:ident = $name:literal $((prefix $prefix:literal))? $([$identified:ident])?;
        $($field:literal: $kind:expr, $field_doc:literal;)+
    ) => {
        $(#[doc = $doc])+
        pub static $static: $crate::events::schema::Model = $crate::events::schema::Model {
            name: $name,
            doc: concat!($($doc, "\n"),+),
            prefix: model!(@prefix $($prefix)?),
            identified: model!(@identified $($identified)?),
            fields: {
                #[allow(unused_imports)]
                use $crate::events::schema::FieldKind::*;
                &[$($crate::events::schema::Field { name: $field, kind: $kind, doc: $field_doc }),+]
            },
        };
    };
    (@prefix) => { None };
    (@prefix $prefix:literal) => { Some($prefix) };
    (@identified) => { false };
    (@identified identified) => { true };
}
pub(crate) use model;

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn names_are_the_same_if_each_byte_is() {
        for length in 0..40 {
            let name: Vec<u8> = (0..length).map(|byte| b'a' + byte as u8 % 26).collect();
            assert!(same(&name, &name.clone()));
            for place in 0..length {
                let mut other = name.clone();
                other[place] = b'_';
                assert!(!same(&name, &other));
                assert!(!same(&name, &name[..place]));
            }
        }
    }
}
