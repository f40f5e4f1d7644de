//! Fulfillment requests.

use super::common::{
    ACCOUNT, ACTOR, CONFIGURATION, CONNECTION, CONTRACT, EVENTS, ITEM, MARKETPLACE, PARAM, PRODUCT, REFERENCE,
    TEMPLATE, TIERS,
};
use super::schema::model;

model! {
    /// An asset: a subscription of a customer's.
    ASSET = "Asset" (prefix "AS-");
    "id": Text, "The asset's id, as `AS-5852-1608-0000`.";
    "status": Text, "`new`, `processing`, `active`, `rejected`, `suspended` or `terminated`.";
    "external_id": Text, "Its id in the distributor's system.";
    "external_uid": Text, "Its unique id in the distributor's system.";
    "external_name": Text, "Its name in the distributor's system.";
    "product": Object(&PRODUCT), "The product.";
    "connection": Object(&CONNECTION), "How the product is connected to the distributor's hub.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "items": List(&Object(&ITEM)), "What was ordered.";
    "params": List(&Object(&PARAM)), "The parameters of ordering and fulfillment.";
    "tiers": Object(&TIERS), "The customer and the resellers.";
    "configuration": Object(&CONFIGURATION), "The parameters that the vendor has set.";
    "marketplace": Object(&MARKETPLACE), "Where it was ordered.";
    "contract": Object(&CONTRACT), "The contract that it was ordered under.";
    "template": Object(&TEMPLATE), "The text of its last answer.";
}

model! {
    /// A fulfillment request: an order, a change, a suspension, a resumption
    /// or a cancellation of an asset.
    ASSET_REQUEST = "AssetRequest" (prefix "PR-") [identified];
    "id": Text, "The request's id, as `PR-5852-1608-0000-001`.";
    "type": Text, "`purchase`, `change`, `suspend`, `resume`, `cancel`, `adjustment`, …";
    "status": Text, "`draft`, `tiers_setup`, `pending`, `inquiring`, `approved`, `failed`, …";
    "created": Moment, "When it was created.";
    "updated": Moment, "When it was changed last.";
    "effective_date": Moment, "When it takes effect.";
    "planned_date": Moment, "When it is to be carried out.";
    "answered": Any, "Whether, or when, what was asked about it was answered.";
    "note": Text, "What was noted.";
    "reason": Text, "Why it failed.";
    "activation_key": Text, "What the customer is told, as a text.";
    "external_attributes": Mapping, "What the distributor's system has added.";
    "params_form_url": Text, "Where parameters that were asked for can be given.";
    "previous_approved_request": Object(&REFERENCE), "The approved request before this one.";
    "assignee": Either(&Text, &Object(&ACTOR)), "Who works on it.";
    "template": Object(&TEMPLATE), "The text of the answer.";
    "asset": Object(&ASSET), "The asset that it is about.";
    "contract": Object(&CONTRACT), "The contract that it was ordered under.";
    "marketplace": Object(&MARKETPLACE), "Where it was ordered.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "vendor": Object(&ACCOUNT), "The vendor.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
