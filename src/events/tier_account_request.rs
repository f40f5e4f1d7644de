//! Tier account requests.

use super::common::{ACCOUNT, EVENTS, PRODUCT, TIER_ACCOUNT};
use super::schema::model;

model! {
    /// A request to take a change of a customer's or a reseller's account over.
    TIER_ACCOUNT_REQUEST = "TierAccountRequest" (prefix "TAR-") [identified];
    "id": Text, "The request's id, as `TAR-5117-7174-9417-001-001`.";
    "type": Text, "`update`.";
    "status": Text, "`pending`, `accepted`, `ignored` or `unsupported`.";
    "account": Object(&TIER_ACCOUNT), "The account as it is to be.";
    "vendor": Object(&ACCOUNT), "The vendor.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "product": Object(&PRODUCT), "The product.";
    "reason": Text, "Why it was not taken over.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
