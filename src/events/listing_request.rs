//! Listing requests.

use super::common::{ACCOUNT, ACTOR, CONTRACT, EVENTS, PRODUCT, REFERENCE};
use super::schema::model;

model! {
    /// What a product is offered as.
    OFFER = "Offer";
    "id": Text, "The offer's id.";
    "name": Text, "Its name.";
    "type": Text, "`generic` or `commerce`.";
    "plans": List(&Object(&REFERENCE)), "Its plans.";
}

model! {
    /// The prices of a product.
    PRICE_LIST = "PriceList" (prefix "PL-");
    "id": Text, "The price list's id.";
    "name": Text, "Its name.";
    "status": Text, "`draft`, `scheduled`, `active` or `terminated`.";
}

model! {
    /// Another listing request, in short.
    LISTING_REQUEST_REFERENCE = "ListingRequestReference" (prefix "LSTR-");
    "id": Text, "The request's id.";
    "type": Text, "`new` or `remove`.";
    "status": Text, "How far it is.";
}

model! {
    /// A product in a marketplace.
    LISTING = "Listing" (prefix "LST-");
    "id": Text, "The listing's id, as `LST-212-458-762`.";
    "status": Text, "`listed` or `unlisted`.";
    "contract": Object(&CONTRACT), "The contract that it is under.";
    "product": Object(&PRODUCT), "The product.";
    "created": Moment, "When it was created.";
    "updated": Moment, "When it was changed last.";
    "vendor": Object(&ACCOUNT), "The vendor.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "pending_request": Object(&LISTING_REQUEST_REFERENCE), "The request that is being worked on.";
    "offer": Object(&OFFER), "What it is offered as.";
    "pricelist": Object(&PRICE_LIST), "Its prices.";
    "alt_pricelist_1": Object(&PRICE_LIST), "Other prices.";
    "alt_pricelist_2": Object(&PRICE_LIST), "Yet other prices.";
    "upgrade_available": Boolean, "Whether the product has a newer version than the one that is listed.";
}

model! {
    /// A version of a price list.
    PRICE_LIST_VERSION = "PriceListVersion" (prefix "PLV-");
    "id": Text, "The version's id.";
    "version": Level, "The number of the version.";
    "status": Text, "`draft`, `processing`, `scheduled`, `active` or `expired`.";
    "description": Text, "What it is.";
    "pricelist": Object(&PRICE_LIST), "The price list.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}

model! {
    /// A request to list a product in a marketplace, or to take it out.
    LISTING_REQUEST = "ListingRequest" (prefix "LSTR-") [identified];
    "id": Text, "The request's id, as `LSTR-212-458-762-001`.";
    "type": Text, "`new`, `update` or `remove`.";
    "state": Text, "`draft`, `reviewing`, `deploying`, `canceled` or `completed`.";
    "status": Text, "The same, as some versions of Connect name it.";
    "product": Object(&PRODUCT), "The product.";
    "listing": Object(&LISTING), "The listing.";
    "offer": Object(&OFFER), "What it is offered as.";
    "pricelist": Object(&PRICE_LIST), "Its prices.";
    "alt_pricelist_1": Object(&PRICE_LIST), "Other prices.";
    "alt_pricelist_2": Object(&PRICE_LIST), "Yet other prices.";
    "creator": Object(&ACTOR), "Who made it.";
    "assignee": Object(&ACTOR), "Who works on it.";
    "created": Moment, "When it was created.";
    "updated": Moment, "When it was changed last.";
    "product_id": Text, "The product's id, in a request to create one.";
    "contract_id": Text, "The contract's id, in a request to create one.";
    "listing_id": Text, "The listing's id, in a request to create one.";
    "offer_id": Text, "The offer's id, in a request to create one.";
    "pricelist_id": Text, "The price list's id, in a request to create one.";
    "alt_pricelist_1_id": Text, "The id of other prices, in a request to create one.";
    "alt_pricelist_2_id": Text, "The id of yet other prices, in a request to create one.";
    "note": Text, "What was noted.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
