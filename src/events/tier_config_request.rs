//! Tier configuration requests.

use super::common::{
    ACTOR, CONFIGURATION, CONNECTION, CONTRACT, EVENTS, MARKETPLACE, PARAM, PRODUCT, REFERENCE, TEMPLATE, TIER_ACCOUNT,
    TIERS,
};
use super::schema::model;

model! {
    /// How a product is set up for a reseller.
    TIER_CONFIG = "TierConfig" (prefix "TC-");
    "id": Text, "The configuration's id, as `TC-625-056-106`.";
    "name": Text, "Its name.";
    "account": Object(&TIER_ACCOUNT), "The reseller.";
    "product": Object(&PRODUCT), "The product.";
    "tier_level": Level, "The reseller's level: 1 or 2.";
    "tiers": Object(&TIERS), "The resellers.";
    "connection": Object(&CONNECTION), "How the product is connected to the distributor's hub.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "params": List(&Object(&PARAM)), "Its parameters.";
    "template": Object(&TEMPLATE), "The text of its last answer.";
    "open_request": Object(&REFERENCE), "The request that is being worked on.";
    "status": Text, "`processing` or `active`.";
    "configuration": Object(&CONFIGURATION), "The parameters that the vendor has set.";
    "contract": Object(&CONTRACT), "The contract that it is under.";
    "marketplace": Object(&MARKETPLACE), "The marketplace that it is for.";
}

model! {
    /// Within how many days a request has to be answered.
    SLI = "ServiceLevel";
    "zone": Integer, "How urgent it has become.";
    "days": Integer, "For how many days it has waited.";
}

model! {
    /// Where a reseller can activate something.
    ACTIVATION = "Activation";
    "link": Text, "The link.";
    "message": Text, "The text.";
}

model! {
    /// A request to set a product up for a reseller.
    TIER_CONFIG_REQUEST = "TierConfigRequest" (prefix "TCR-") [identified];
    "id": Text, "The request's id, as `TCR-625-056-106-001`.";
    "type": Text, "`setup`, `update` or `adjustment`.";
    "status": Text, "`draft`, `tiers_setup`, `pending`, `inquiring`, `approved` or `failed`.";
    "configuration": Object(&TIER_CONFIG), "The configuration that it is about.";
    "parent_configuration": Object(&TIER_CONFIG), "The configuration of the reseller above.";
    "previous_approved_request": Object(&REFERENCE), "The approved request before this one.";
    "params": Either(&List(&Object(&PARAM)), &Text), "Its parameters.";
    "assignee": Either(&Object(&ACTOR), &Text), "Who works on it.";
    "template": Object(&TEMPLATE), "The text of the answer.";
    "reason": Text, "Why it failed.";
    "activation": Object(&ACTIVATION), "What the reseller has to activate.";
    "notes": Text, "What was noted.";
    "environment": Text, "`production`, `test` or `preview`.";
    "effective_date": Moment, "When it takes effect.";
    "planned_date": Moment, "When it is to be carried out.";
    "tiers": Object(&TIERS), "The resellers.";
    "sli": Object(&SLI), "Within how many days it has to be answered.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
