//! The types of events that Connect has.

use super::asset_request::ASSET_REQUEST;
use super::billing_request::BILLING_REQUEST;
use super::case::CASE;
use super::listing_request::LISTING_REQUEST;
use super::product_event::{CUSTOM_EVENT, PRODUCT_ACTION};
use super::scheduled_execution::SCHEDULED_EXECUTION;
use super::schema::Model;
use super::tier_account_request::TIER_ACCOUNT_REQUEST;
use super::tier_config_request::TIER_CONFIG_REQUEST;
use super::usage_file::{USAGE_CHUNK, USAGE_FILE};

/// How Connect delivers an event, and what answer it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// At least once; the answer may ask for another delivery.
    Background,
    /// Somebody waits for the answer.
    Interactive,
    /// On a schedule.
    Scheduled,
}

impl Category {
    /// Its name in Connect.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Interactive => "interactive",
            Self::Scheduled => "scheduled",
        }
    }
}

/// A type of events.
#[derive(Debug)]
pub struct EventType {
    /// Its name in Connect.
    pub name: &'static str,
    /// How it is delivered.
    pub category: Category,
    /// The object that it is about.
    pub model: &'static Model,
    /// The statuses that the object may have. Connect may add others.
    pub statuses: &'static [&'static str],
}

const REQUEST: &[&str] =
    &["draft", "tiers_setup", "pending", "inquiring", "approved", "failed", "scheduled", "revoking", "revoked"];
const TIER_CONFIG: &[&str] = &["draft", "tiers_setup", "pending", "inquiring", "approved", "failed"];
const LISTING: &[&str] = &["draft", "reviewing", "deploying", "canceled", "completed"];
const TIER_ACCOUNT: &[&str] = &["pending", "accepted", "ignored", "unsupported"];
const USAGE: &[&str] = &[
    "draft",
    "uploading",
    "uploaded",
    "invalid",
    "processing",
    "ready",
    "rejected",
    "pending",
    "accepted",
    "closed",
    "deleted",
];
const CHUNK: &[&str] = &["draft", "ready", "closed", "failed"];

macro_rules! types {
    ($($name:literal: $category:ident, $model:expr, $statuses:expr;)+) => {
        /// All types that are known: those of `connect.eaas.core.enums.EventType`.
        pub static EVENT_TYPES: &[EventType] = &[$(EventType {
            name: $name,
            category: Category::$category,
            model: $model,
            statuses: $statuses,
        }),+];
    };
}

types! {
    "asset_purchase_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_change_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_suspend_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_resume_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_cancel_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_adjustment_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_renew_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_transfer_request_processing": Background, &ASSET_REQUEST, REQUEST;
    "asset_purchase_request_validation": Interactive, &ASSET_REQUEST, &["draft"];
    "asset_change_request_validation": Interactive, &ASSET_REQUEST, &["draft"];
    "asset_renew_request_validation": Interactive, &ASSET_REQUEST, &["draft"];
    "asset_transfer_request_validation": Interactive, &ASSET_REQUEST, &["draft"];
    "product_action_execution": Interactive, &PRODUCT_ACTION, &[];
    "product_custom_event_processing": Interactive, &CUSTOM_EVENT, &[];
    "tier_config_setup_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG;
    "tier_config_change_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG;
    "tier_config_adjustment_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG;
    "tier_config_setup_request_validation": Interactive, &TIER_CONFIG_REQUEST, &["draft"];
    "tier_config_change_request_validation": Interactive, &TIER_CONFIG_REQUEST, &["draft"];
    "scheduled_execution": Scheduled, &SCHEDULED_EXECUTION, &[];
    "listing_new_request_processing": Background, &LISTING_REQUEST, LISTING;
    "listing_remove_request_processing": Background, &LISTING_REQUEST, LISTING;
    "tier_account_update_request_processing": Background, &TIER_ACCOUNT_REQUEST, TIER_ACCOUNT;
    "usage_file_request_processing": Background, &USAGE_FILE, USAGE;
    "part_usage_file_request_processing": Background, &USAGE_CHUNK, CHUNK;
}

/// The objects that have no type of events in Connect's own list, but come
/// with ones that extensions may subscribe to.
pub static OTHER_OBJECTS: &[&Model] = &[&BILLING_REQUEST, &CASE];

/// The type of that name, if it is known.
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|known| known.name == name)
}

/// The object that events of a type that is not known are about, as far as the
/// type's name or the object's id tells.
pub fn model_for(event_type_name: &str, id: Option<&str>) -> Option<&'static Model> {
    if let Some(known) = event_type(event_type_name) {
        return Some(known.model);
    }
    let by_name: &[(&str, &'static Model)] = &[
        ("asset_", &ASSET_REQUEST),
        ("tier_config_", &TIER_CONFIG_REQUEST),
        ("tier_account_", &TIER_ACCOUNT_REQUEST),
        ("listing_", &LISTING_REQUEST),
        ("part_usage_file_", &USAGE_CHUNK),
        ("usage_chunk_", &USAGE_CHUNK),
        ("usage_file_", &USAGE_FILE),
        ("billing_request_", &BILLING_REQUEST),
        ("subscription_billing_", &BILLING_REQUEST),
        ("helpdesk_case_", &CASE),
        ("case_", &CASE),
    ];
    by_name
        .iter()
        .find(|(beginning, _)| event_type_name.starts_with(beginning))
        .map(|(_, model)| *model)
        .or_else(|| id.and_then(model_of_id))
}

/// The top-level object whose ids begin so.
pub fn model_of_id(id: &str) -> Option<&'static Model> {
    let models = EVENT_TYPES.iter().map(|known| known.model).chain(OTHER_OBJECTS.iter().copied());
    models.filter(|model| model.identified).find(|model| model.prefix.is_some_and(|prefix| id.starts_with(prefix)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn there_are_25_types_and_ids_tell_objects_apart() {
        assert_eq!(EVENT_TYPES.len(), 25);
        assert_eq!(event_type("usage_file_request_processing").unwrap().model.name, "UsageFile");
        assert_eq!(model_of_id("UFC-1").unwrap().name, "UsageChunkFile");
        assert_eq!(model_of_id("UF-1").unwrap().name, "UsageFile");
        assert_eq!(model_of_id("TAR-1").unwrap().name, "TierAccountRequest");
        assert!(model_of_id("XX-1").is_none());
        assert_eq!(model_for("asset_made_up_processing", None).unwrap().name, "AssetRequest");
        assert_eq!(model_for("made_up", Some("CA-1")).unwrap().name, "Case");
        assert!(model_for("made_up", Some("x")).is_none());
    }
}
