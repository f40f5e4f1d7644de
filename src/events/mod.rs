//! Connect's events: the objects that they carry, a file per object, and the
//! types of events. Knows nothing of Python.
//!
//! A model describes what an object's fields hold. It refuses nothing: an object is
//! kept as it is, as the bytes of [`format`], and is read in place.

pub mod asset_request;
pub mod billing_request;
pub mod case;
pub mod common;
pub mod format;
pub mod installation;
pub mod listing_request;
pub mod moment;
pub mod product_event;
pub mod scheduled_execution;
pub mod schema;
pub mod task;
pub mod tier_account_request;
pub mod tier_config_request;
pub mod transformation;
pub mod translation;
pub mod types;
pub mod usage_file;
pub mod validate;
pub mod view;
pub mod writer;

use schema::{FieldKind, Model, model};

model! {
    /// An object of which no more is known than that it is one.
    OTHER = "Other";
    "id": Any, "Its id.";
}

/// All models, each before those that are made of it.
pub fn models() -> Vec<&'static Model> {
    fn add(kind: &FieldKind, found: &mut Vec<&'static Model>) {
        match kind {
            FieldKind::Object(model) => add_model(model, found),
            FieldKind::List(kind) => add(kind, found),
            FieldKind::Either(one, other) => {
                add(one, found);
                add(other, found);
            }
            _ => {}
        }
    }
    fn add_model(model: &'static Model, found: &mut Vec<&'static Model>) {
        if found.iter().any(|known| known.name == model.name) {
            return;
        }
        // A model may be made of itself: its place is kept first.
        let place = found.len();
        found.push(model);
        for field in model.fields {
            add(&field.kind, found);
        }
        let own = found.remove(place);
        found.push(own);
    }
    let mut found = Vec::new();
    for known in types::EVENT_TYPES {
        add_model(known.model, &mut found);
    }
    for model in types::OTHER_OBJECTS.iter().copied().chain([&task::TASK, &task::EVENT_DEFINITION, &OTHER]) {
        add_model(model, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fields_are_too() {
        let models = models();
        assert!(models.len() > 40, "{}", models.len());
        for (place, model) in models.iter().enumerate() {
            assert!(!models[..place].iter().any(|other| other.name == model.name), "{}", model.name);
            for (place, field) in model.fields.iter().enumerate() {
                assert!(!model.fields[..place].iter().any(|other| other.name == field.name), "{}", field.name);
            }
        }
    }
}
