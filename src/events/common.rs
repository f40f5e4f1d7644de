//! What several objects are made of.

use super::schema::model;

model! {
    /// An account of Connect: a vendor, a distributor, a reseller.
    ACCOUNT = "Account";
    "id": Text, "The account's id, as `VA-610-138`.";
    "name": Text, "Its name.";
    "icon": Text, "The path of its icon.";
    "role": Text, "`vendor`, `distributor` or `reseller`.";
}

model! {
    /// Somebody who did something: a user, or a part of Connect.
    ACTOR = "Actor";
    "id": Text, "The user's id, as `UR-291-528-636`.";
    "name": Text, "The user's name.";
    "icon": Text, "The path of the user's icon.";
    "email": Text, "The user's address.";
}

model! {
    /// When something happened to an object, and who did it.
    MOMENT = "Moment";
    "at": Moment, "When.";
    "by": Object(&ACTOR), "Who did it.";
}

model! {
    /// What happened to an object, and when.
    EVENTS = "Events";
    "created": Object(&MOMENT), "It was created.";
    "updated": Object(&MOMENT), "It was changed last.";
    "inquired": Object(&MOMENT), "More was asked about it.";
    "pended": Object(&MOMENT), "It began to wait.";
    "approved": Object(&MOMENT), "It was approved.";
    "failed": Object(&MOMENT), "It failed.";
    "assigned": Object(&MOMENT), "It was given to somebody.";
    "validated": Object(&MOMENT), "It was validated.";
    "uploaded": Object(&MOMENT), "It was uploaded.";
    "submitted": Object(&MOMENT), "It was submitted.";
    "accepted": Object(&MOMENT), "It was accepted.";
    "rejected": Object(&MOMENT), "It was rejected.";
    "closed": Object(&MOMENT), "It was closed.";
    "deleted": Object(&MOMENT), "It was deleted.";
    "decommissioned": Object(&MOMENT), "It was taken out of use.";
    "pending": Object(&MOMENT), "It began to wait.";
    "inquiring": Object(&MOMENT), "More was asked about it.";
    "resolved": Object(&MOMENT), "It was resolved.";
    "installed": Object(&MOMENT), "It was installed.";
    "uninstalled": Object(&MOMENT), "It was uninstalled.";
}

model! {
    /// A telephone number.
    PHONE_NUMBER = "PhoneNumber";
    "country_code": Text, "The country's code, as `+1`.";
    "area_code": Text, "The area's code.";
    "phone_number": Text, "The number.";
    "extension": Text, "The extension.";
}

model! {
    /// A person to turn to.
    CONTACT = "Contact";
    "first_name": Text, "The person's first name.";
    "last_name": Text, "The person's last name.";
    "email": Text, "The person's address.";
    "phone_number": Object(&PHONE_NUMBER), "The person's telephone number.";
}

model! {
    /// An address, and who is there.
    CONTACT_INFO = "ContactInfo";
    "address_line1": Text, "The first line of the address.";
    "address_line2": Text, "The second line of the address.";
    "city": Text, "The city.";
    "state": Text, "The state or province.";
    "postal_code": Text, "The postal code.";
    "country": Text, "The country's code of ISO 3166, two letters.";
    "contact": Object(&CONTACT), "The person to turn to.";
}

model! {
    /// A customer, or a reseller above one.
    TIER_ACCOUNT = "TierAccount" (prefix "TA-");
    "id": Text, "The account's id, as `TA-8757-7142-2923`.";
    "version": Integer, "The number of its version.";
    "name": Text, "Its name.";
    "type": Text, "What it is: `customer` or `reseller`.";
    "external_id": Text, "Its id in the distributor's system.";
    "external_uid": Text, "Its unique id in the distributor's system.";
    "parent": Object(&TIER_ACCOUNT), "The account above it.";
    "owner": Object(&ACCOUNT), "The account of Connect that it belongs to.";
    "scopes": List(&Text), "What it is used as: `customer`, `tier1`, `tier2`.";
    "hub": Object(&HUB), "The hub that it came through.";
    "marketplace": Object(&MARKETPLACE), "The marketplace that it belongs to.";
    "tax_id": Text, "Its tax id.";
    "contact_info": Object(&CONTACT_INFO), "Its address, and who is there.";
    "environment": Text, "`production`, `test` or `preview`.";
    "db": Text, "Which of Connect's databases has it.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}

model! {
    /// The accounts of a subscription, from the customer up.
    TIERS = "Tiers";
    "customer": Object(&TIER_ACCOUNT), "The customer.";
    "tier1": Object(&TIER_ACCOUNT), "The customer's reseller.";
    "tier2": Object(&TIER_ACCOUNT), "The reseller's reseller.";
}

model! {
    /// A system of a distributor's that orders through Connect.
    HUB = "Hub" (prefix "HB-");
    "id": Text, "The hub's id, as `HB-0000-0000`.";
    "name": Text, "Its name.";
    "account_id": Text, "The id of the account that it belongs to.";
    "uuid": Text, "Its UUID.";
    "instance_id": Text, "The id of the distributor's system.";
}

model! {
    /// A marketplace, where products are sold.
    MARKETPLACE = "Marketplace" (prefix "MP-");
    "id": Text, "The marketplace's id, as `MP-71206`.";
    "name": Text, "Its name.";
    "icon": Text, "The path of its icon.";
}

model! {
    /// A contract between accounts.
    CONTRACT = "Contract" (prefix "CRD-");
    "id": Text, "The contract's id, as `CRD-00000-00000-00000`.";
    "name": Text, "Its name.";
    "type": Text, "What it is about, as `distribution`.";
    "status": Text, "`new`, `enrolling`, `pending`, `active`, `terminated` or `rejected`.";
    "marketplace": Object(&MARKETPLACE), "The marketplace that it is for.";
    "owner": Object(&ACCOUNT), "Whose it is.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}

model! {
    /// How a product is connected to a hub.
    CONNECTION = "Connection" (prefix "CT-");
    "id": Text, "The connection's id, as `CT-0000-0000-0000`.";
    "type": Text, "`preview`, `test` or `production`.";
    "status": Text, "How far it is: `pending`, `approved`, `rejected`, `revoked` or `active`.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "vendor": Object(&ACCOUNT), "The vendor.";
    "hub": Object(&HUB), "The distributor's hub.";
    "created_at": Moment, "When it was made.";
    "product_version_type": Text, "`public` or `staging`.";
}

model! {
    /// A kind of products.
    CATEGORY = "Category";
    "id": Text, "The category's id.";
    "name": Text, "Its name.";
}

model! {
    /// A product.
    PRODUCT = "Product" (prefix "PRD-");
    "id": Text, "The product's id, as `PRD-521-843-700`.";
    "name": Text, "Its name.";
    "icon": Text, "The path of its icon.";
    "version": Integer, "The number of its version.";
    "status": Text, "`draft`, `indevelopment`, `oncertification`, `published`, `initializationfailed`, `deleted` or `endofsale`.";
    "owner": Object(&ACCOUNT), "The vendor.";
    "category": Object(&CATEGORY), "What kind of product it is.";
    "description": Text, "What it is.";
    "short_description": Text, "What it is, in a few sentences.";
    "detailed_description": Text, "What it is, as Markdown.";
    "changes_description": Text, "What is new in this version.";
    "published_at": Moment, "When it was published.";
    "latest": Boolean, "Whether this is the latest version.";
    "public": Boolean, "Whether this version is public.";
    "configurations": Mapping, "Its settings.";
    "capabilities": Mapping, "What it supports.";
    "customer_ui_settings": Mapping, "What customers see of it.";
    "visibility": Mapping, "Where it is visible.";
    "media": Any, "Images and videos.";
    "usage_rule": Mapping, "How its usage is reported.";
    "stats": Mapping, "Counts, such as that of its versions.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}

model! {
    /// A text for whoever gets the answer to a request.
    TEMPLATE = "Template" (prefix "TL-");
    "id": Text, "The template's id, as `TL-432-535-295`.";
    "name": Text, "Its name.";
    "type": Text, "What it is for.";
    "message": Text, "Its text.";
    "representation": Text, "Its text, with the parameters filled in.";
}

model! {
    /// A reference to another object by its id alone.
    REFERENCE = "Reference";
    "id": Text, "The object's id.";
    "name": Text, "The object's name.";
    "type": Text, "The object's type.";
    "icon": Text, "The path of the object's icon.";
}

model! {
    /// A choice for the value of a parameter.
    CHOICE = "Choice";
    "label": Text, "What is shown.";
    "value": Text, "What is stored.";
    "default": Boolean, "Whether it is taken unless another is.";
}

model! {
    /// What the value of a parameter must be like.
    CONSTRAINTS = "Constraints";
    "required": Boolean, "Whether there must be a value.";
    "hidden": Boolean, "Whether it is not shown.";
    "readonly": Boolean, "Whether it cannot be changed.";
    "unique": Boolean, "Whether no two may have the same value.";
    "reconciliation": Boolean, "Whether it serves to find the subscription again.";
    "shared": Text, "Who else sees it: `view` or `edit`.";
    "choices": List(&Either(&Object(&CHOICE), &Text)), "The values to choose from.";
    "min_length": Integer, "The fewest characters.";
    "max_length": Integer, "The most characters.";
    "hint": Text, "A hint for whoever gives the value.";
    "placeholder": Text, "An example of a value.";
    "default": Any, "The value, unless another is given.";
    "meta": Any, "More that the parameter's type needs.";
}

model! {
    /// A parameter. The value of one of type `password` is a secret: it does
    /// not appear in a `repr` or an error.
    PARAM = "Param";
    "id": Text, "The parameter's id, as the product names it.";
    "name": Text, "Its name.";
    "title": Text, "Its title, for people.";
    "description": Text, "What it means.";
    "type": Text, "`text`, `dropdown`, `password`, `email`, `checkbox`, `subdomain`, `domain`, `phone`, `url`, `choice`, …";
    "value": Any, "Its value: mostly a string.";
    "value_error": Text, "What is wrong with the value.";
    "value_choices": List(&Any), "The values to choose from, or chosen.";
    "structured_value": Any, "Its value, where it has parts: an address, a telephone number.";
    "scope": Text, "What it belongs to: `asset`, `tier1`, `tier2`, `product`, `item`, `marketplace`, …";
    "phase": Text, "When it is asked for: `ordering`, `fulfillment` or `configuration`.";
    "hint": Text, "A hint for whoever gives the value.";
    "placeholder": Text, "An example of a value.";
    "constraints": Object(&CONSTRAINTS), "What the value must be like.";
    "reconciliation": Boolean, "Whether it serves to find the subscription again.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "item": Object(&REFERENCE), "The item that it belongs to.";
    "marketplace": Object(&MARKETPLACE), "The marketplace that it belongs to.";
}

model! {
    /// The parameters that a vendor has set for products, items and marketplaces.
    CONFIGURATION = "Configuration";
    "params": List(&Object(&PARAM)), "The parameters.";
}

model! {
    /// What is billed.
    ITEM_BILLING = "ItemBilling";
    "cycle_number": Integer, "The number of the billing cycle.";
}

model! {
    /// An item of a subscription.
    ITEM = "Item";
    "id": Text, "The item's id in the request.";
    "global_id": Text, "Its id in Connect, as `PRD-387-522-630-0003`.";
    "mpn": Text, "The vendor's number for it.";
    "quantity": Quantity, "How many: a `Decimal`, or a word such as `unlimited`.";
    "old_quantity": Quantity, "How many there were before.";
    "type": Text, "The unit's kind.";
    "display_name": Text, "Its name, for people.";
    "period": Text, "How often it is billed.";
    "item_type": Text, "`Reservation` or `PPU` (pay as you go).";
    "params": List(&Object(&PARAM)), "Its parameters.";
    "billing": Object(&ITEM_BILLING), "What is billed.";
}
