//! Billing requests.

use super::common::{CONNECTION, CONTRACT, EVENTS, ITEM, MARKETPLACE, PARAM, PRODUCT, TIERS};
use super::schema::model;

model! {
    /// The time that is billed.
    BILLING_PERIOD = "BillingPeriod";
    "from": Moment, "When it begins. In Python also `from_`, since `from` is a keyword.";
    "to": Moment, "When it ends.";
    "delta": Number, "How many units of time it has.";
    "uom": Text, "The unit of time: `monthly`, `yearly`, `years_2`, …";
}

model! {
    /// The day of the year on which a subscription is renewed.
    ANNIVERSARY = "Anniversary";
    "day": Integer, "The day of the month.";
    "month": Integer, "The month.";
}

model! {
    /// How a subscription is billed.
    SUBSCRIPTION_BILLING = "SubscriptionBilling";
    "period": Object(&BILLING_PERIOD), "The time that is billed at once.";
    "next_date": Moment, "When it is billed next.";
    "anniversary": Object(&ANNIVERSARY), "When it is renewed.";
}

model! {
    /// A subscription.
    SUBSCRIPTION = "Subscription" (prefix "AS-");
    "id": Text, "The subscription's id, as `AS-5852-1608-0000`.";
    "status": Text, "`draft`, `processing`, `active`, `terminating`, `suspended` or `terminated`.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "external_id": Text, "Its id in the distributor's system.";
    "external_uid": Text, "Its unique id in the distributor's system.";
    "product": Object(&PRODUCT), "The product.";
    "connection": Object(&CONNECTION), "How the product is connected to the distributor's hub.";
    "params": List(&Object(&PARAM)), "Its parameters.";
    "tiers": Object(&TIERS), "The customer and the resellers.";
    "marketplace": Object(&MARKETPLACE), "Where it was ordered.";
    "contract": Object(&CONTRACT), "The contract that it was ordered under.";
    "billing": Object(&SUBSCRIPTION_BILLING), "How it is billed.";
    "renewal_expiration_date": Moment, "Until when it can be renewed.";
}

model! {
    /// What a vendor and a distributor have added to a billing request.
    ATTRIBUTES = "Attributes";
    "vendor": Mapping, "What the vendor has added.";
    "provider": Mapping, "What the distributor has added.";
}

model! {
    /// A request to bill a subscription.
    BILLING_REQUEST = "BillingRequest" (prefix "BR") [identified];
    "id": Text, "The request's id, as `BRV-9318-8743-3650-001`.";
    "type": Text, "Whom it is for: `vendor` or `provider`.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "asset": Object(&SUBSCRIPTION), "The subscription.";
    "items": List(&Object(&ITEM)), "What is billed.";
    "attributes": Either(&List(&Object(&ATTRIBUTES)), &Object(&ATTRIBUTES)), "What was added to it.";
    "period": Object(&BILLING_PERIOD), "The time that is billed.";
}
