//! The types of events that Connect has.

use super::asset_request::{ASSET, ASSET_REQUEST};
use super::billing_request::BILLING_REQUEST;
use super::case::CASE;
use super::common::{CONTRACT, PRODUCT, TIER_ACCOUNT};
use super::installation::INSTALLATION;
use super::listing_request::{LISTING, LISTING_REQUEST, PRICE_LIST_VERSION};
use super::product_event::{CUSTOM_EVENT, PRODUCT_ACTION};
use super::scheduled_execution::SCHEDULED_EXECUTION;
use super::schema::Model;
use super::tier_account_request::TIER_ACCOUNT_REQUEST;
use super::tier_config_request::{TIER_CONFIG, TIER_CONFIG_REQUEST};
use super::transformation::TRANSFORMATION_REQUEST;
use super::translation::TRANSLATION;
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
    /// Once for each row of a file.
    Transformation,
}

impl Category {
    /// Its name in Connect.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Interactive => "interactive",
            Self::Scheduled => "scheduled",
            Self::Transformation => "transformation",
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
const TIER_CONFIG_STATUSES: &[&str] = &["draft", "tiers_setup", "pending", "inquiring", "approved", "failed"];
const LISTING_REQUEST_STATES: &[&str] = &["draft", "reviewing", "deploying", "canceled", "completed"];
const TIER_ACCOUNT_STATUSES: &[&str] = &["pending", "accepted", "ignored", "unsupported"];
const USAGE: &[&str] = &[
    "draft",
    "uploading",
    "uploaded",
    "invalid",
    "processing",
    "processed",
    "ready",
    "rejected",
    "pending",
    "accepted",
    "closed",
    "deleted",
];
const CHUNK: &[&str] = &["draft", "ready", "closed", "failed"];
/// A draft, or a request whose open questions have just been answered.
const VALIDATION: &[&str] = &["draft", "inquiring"];
const LISTED: &[&str] = &["unlisted", "listed"];
const CASE_STATES: &[&str] = &["pending", "inquiring", "resolved", "closed"];
const PRODUCT_STATUSES: &[&str] =
    &["draft", "indevelopment", "oncertification", "published", "initializationfailed", "deleted", "endofsale"];
const INSTALLED: &[&str] = &["installed", "uninstalled"];
const TRANSLATED: &[&str] = &["active", "inactive"];
const CONTRACT_STATUSES: &[&str] = &["new", "enrolling", "pending", "active", "terminated", "rejected"];
const PRICE_LIST_STATUSES: &[&str] = &["draft", "processing", "scheduled", "active", "expired"];
const TRANSFORMED: &[&str] = &["pending", "processed", "failed"];

macro_rules! types {
    ($($name:literal: $category:ident, $model:expr, $statuses:expr;)+) => {
        /// All types that are known: those of `connect.eaas.core.enums.EventType`,
        /// and others that Connect offers to extensions.
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
    "asset_purchase_request_validation": Interactive, &ASSET_REQUEST, VALIDATION;
    "asset_change_request_validation": Interactive, &ASSET_REQUEST, VALIDATION;
    "asset_renew_request_validation": Interactive, &ASSET_REQUEST, VALIDATION;
    "asset_transfer_request_validation": Interactive, &ASSET_REQUEST, VALIDATION;
    "product_action_execution": Interactive, &PRODUCT_ACTION, &[];
    "product_custom_event_processing": Interactive, &CUSTOM_EVENT, &[];
    "tier_config_setup_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG_STATUSES;
    "tier_config_change_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG_STATUSES;
    "tier_config_adjustment_request_processing": Background, &TIER_CONFIG_REQUEST, TIER_CONFIG_STATUSES;
    "tier_config_setup_request_validation": Interactive, &TIER_CONFIG_REQUEST, VALIDATION;
    "tier_config_change_request_validation": Interactive, &TIER_CONFIG_REQUEST, VALIDATION;
    "scheduled_execution": Scheduled, &SCHEDULED_EXECUTION, &[];
    "listing_new_request_processing": Background, &LISTING_REQUEST, LISTING_REQUEST_STATES;
    "listing_remove_request_processing": Background, &LISTING_REQUEST, LISTING_REQUEST_STATES;
    "tier_account_update_request_processing": Background, &TIER_ACCOUNT_REQUEST, TIER_ACCOUNT_STATUSES;
    "usage_file_request_processing": Background, &USAGE_FILE, USAGE;
    "part_usage_file_request_processing": Background, &USAGE_CHUNK, CHUNK;
    "listing_request_processing": Background, &LISTING_REQUEST, LISTING_REQUEST_STATES;
    "listing_processing": Background, &LISTING, LISTED;
    "helpdesk_case_processing": Background, &CASE, CASE_STATES;
    "product_changed": Background, &PRODUCT, PRODUCT_STATUSES;
    "contract_changed": Background, &CONTRACT, CONTRACT_STATUSES;
    "pricelist_version_changed": Background, &PRICE_LIST_VERSION, PRICE_LIST_STATUSES;
    "translation_change": Background, &TRANSLATION, TRANSLATED;
    "installation_status_change": Background, &INSTALLATION, INSTALLED;
    "billing_transformation_request": Transformation, &TRANSFORMATION_REQUEST, TRANSFORMED;
    "pricing_transformation_request": Transformation, &TRANSFORMATION_REQUEST, TRANSFORMED;
}

/// The objects that have no type of events in that list, but come with ones
/// that extensions may subscribe to.
pub static OTHER_OBJECTS: &[&Model] = &[&BILLING_REQUEST, &ASSET, &TIER_CONFIG, &TIER_ACCOUNT];

/// The type of that name, if it is known.
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|known| known.name == name)
}

/// The object that events of a type are about. The object's id says more than
/// the type's name, which may be new or stand for several kinds of objects.
pub fn model_for(event_type_name: &str, id: Option<&str>) -> Option<&'static Model> {
    let known = event_type(event_type_name).map(|known| known.model);
    // An object without ids of its own may hold anything under `id`.
    if known.is_none_or(|model| model.prefix.is_some())
        && let Some(model) = id.and_then(model_of_id)
    {
        return Some(model);
    }
    known.or_else(|| model_of_name(event_type_name))
}

/// The object that events of a type that is not known are about, as far as the
/// type's name tells.
fn model_of_name(name: &str) -> Option<&'static Model> {
    if name.ends_with("transformation_request") {
        return Some(&TRANSFORMATION_REQUEST);
    }
    if name.starts_with("listing_") && !name.contains("_request") {
        return Some(&LISTING);
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
        ("contract_", &CONTRACT),
        ("pricelist_version_", &PRICE_LIST_VERSION),
        ("translation_", &TRANSLATION),
        ("installation_", &INSTALLATION),
    ];
    by_name.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, model)| *model)
}

/// The top-level object whose ids begin so.
pub fn model_of_id(id: &str) -> Option<&'static Model> {
    let mut models = EVENT_TYPES.iter().map(|known| known.model).chain(OTHER_OBJECTS.iter().copied());
    models.find(|model| model.prefix.is_some_and(|prefix| begins_with(id, prefix)))
}

fn begins_with(id: &str, prefix: &str) -> bool {
    let Some(rest) = id.strip_prefix(prefix) else {
        return false;
    };
    // `BR` stands for `BRV-` and `BRP-`, and not for any word with these letters.
    prefix.ends_with('-') || rest.as_bytes().get(1) == Some(&b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_objects_apart() {
        assert_eq!(event_type("usage_file_request_processing").unwrap().model.name, "UsageFile");
        for (id, name) in [
            ("UFC-1", "UsageChunkFile"),
            ("UF-1", "UsageFile"),
            ("TAR-1", "TierAccountRequest"),
            ("TA-1", "TierAccount"),
            ("TCR-1", "TierConfigRequest"),
            ("TC-1", "TierConfig"),
            ("PR-1", "AssetRequest"),
            ("PRD-1", "Product"),
            ("AS-1", "Asset"),
            ("LST-1", "Listing"),
            ("LSTR-1", "ListingRequest"),
            ("BRV-1", "BillingRequest"),
            ("BRP-1", "BillingRequest"),
        ] {
            assert_eq!(model_of_id(id).unwrap().name, name, "{id}");
        }
        for id in ["XX-1", "", "BREAD", "BR-1", "BR", "as-1", "AS1"] {
            assert!(model_of_id(id).is_none(), "{id}");
        }
    }

    #[test]
    fn the_id_says_more_than_the_type() {
        for (event_type_name, id, name) in [
            ("asset_made_up_processing", None, "AssetRequest"),
            ("asset_made_up", Some("AS-1"), "Asset"),
            ("made_up", Some("CA-1"), "Case"),
            ("listing_processing", Some("LST-1"), "Listing"),
            ("listing_processing", None, "Listing"),
            ("listing_processing", Some("LSTR-1"), "ListingRequest"),
            ("listing_made_up", None, "Listing"),
            ("listing_made_up_request_processing", None, "ListingRequest"),
            ("asset_purchase_request_processing", Some("TCR-1"), "TierConfigRequest"),
            ("asset_purchase_request_processing", Some("made up"), "AssetRequest"),
            ("made_up_transformation_request", None, "TransformationRequest"),
            ("product_custom_event_processing", Some("PR-1"), "CustomEvent"),
        ] {
            assert_eq!(model_for(event_type_name, id).unwrap().name, name, "{event_type_name} {id:?}");
        }
        assert!(model_for("made_up", Some("x")).is_none());
    }

    #[test]
    fn types_are_there_once() {
        for (place, known) in EVENT_TYPES.iter().enumerate() {
            assert!(!EVENT_TYPES[..place].iter().any(|other| other.name == known.name), "{}", known.name);
        }
        assert_eq!(EVENT_TYPES.len(), 35);
    }
}
