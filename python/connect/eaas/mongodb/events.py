"""Connect's events, typed: a class for each object, and the types of events.

`parse_event(event_type, obj)` makes an instance of the object's class from the
`dict` that a handler receives; so does the class itself. Instances are immutable
views: a field becomes a Python object when it is read. A field that the class
does not declare is an attribute too, a declared field that is missing is `None`,
and `to_dict()` returns an equal `dict`.

A class describes an object and refuses none: where Connect sends a value of
another type than the class declares, the attribute returns that value, and
`deviations` lists it. Source: CloudBlue Connect's public API, version 37.

Written by `scripts/events_module.py` from the models in `src/events/`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from connect.eaas.mongodb._native import Model, event_types, parse_event

__all__ = [
    "EVENT_TYPES",
    "Account",
    "Activation",
    "Actor",
    "Anniversary",
    "Asset",
    "AssetRequest",
    "Attributes",
    "AutoTranslation",
    "BillingPeriod",
    "BillingRequest",
    "Binding",
    "Case",
    "CaseParty",
    "Category",
    "Choice",
    "Configuration",
    "Connection",
    "Constraints",
    "Contact",
    "ContactInfo",
    "Contract",
    "CustomEvent",
    "Deviation",
    "EventDefinition",
    "EventType",
    "EventValidationError",
    "Events",
    "Failure",
    "Hub",
    "Installation",
    "InstallationEnvironment",
    "InstalledExtension",
    "Item",
    "ItemBilling",
    "Listing",
    "ListingRequest",
    "ListingRequestReference",
    "Locale",
    "Marketplace",
    "Model",
    "Moment",
    "Offer",
    "Other",
    "Param",
    "PhoneNumber",
    "PriceList",
    "PriceListVersion",
    "Product",
    "ProductAction",
    "Reference",
    "ScheduledExecution",
    "ServiceLevel",
    "Subscription",
    "SubscriptionBilling",
    "Task",
    "TaskInput",
    "TaskOptions",
    "TaskOutput",
    "Template",
    "TierAccount",
    "TierAccountRequest",
    "TierConfig",
    "TierConfigRequest",
    "Tiers",
    "Transformation",
    "TransformationColumn",
    "TransformationColumns",
    "TransformationFiles",
    "TransformationRequest",
    "Translation",
    "TranslationContext",
    "TranslationStats",
    "UsageChunkFile",
    "UsageFile",
    "UsageFileReference",
    "UsagePeriod",
    "UsageRecords",
    "UsageStats",
    "parse_event",
]


class EventValidationError(ValueError):
    """An object cannot be stored, or is not what its class describes where that is asked for.

    The message lists every problem with its path, such as
    `asset.items[2].quantity: expected a number or a string, got list`, and
    holds no value of the object.
    """

    errors: tuple[tuple[str, str], ...]
    """The problems: of each its path, empty for the object itself, and what is wrong."""

    def __init__(self, model: str, errors: tuple[tuple[str, str], ...]) -> None:
        """For an object of the class of that name."""
        listed = "; ".join(f"{path}: {message}" if path else message for path, message in errors)
        super().__init__(f"not a valid {model}: {listed}")
        self.model = model
        self.errors = tuple(errors)

    def __reduce__(self) -> tuple[type[EventValidationError], tuple[str, tuple[tuple[str, str], ...]]]:
        return (type(self), (self.model, self.errors))


class Deviation(NamedTuple):
    """A difference between an object and what its class describes."""

    path: str
    """Where: `asset.items[2].quantity`."""
    expected: str
    """What the class describes: `a number or a string`."""
    actual: str
    """What is there: `list`. Never the value."""


class Reference(Model):
    """A reference to another object by its id alone."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Reference"

    id: str | None
    """The object's id."""
    name: str | None
    """The object's name."""
    type: str | None
    """The object's type."""
    icon: str | None
    """The path of the object's icon."""


class Actor(Model):
    """Somebody who did something: a user, or a part of Connect."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Actor"

    id: str | None
    """The user's id, as `UR-291-528-636`."""
    name: str | None
    """The user's name."""
    icon: str | None
    """The path of the user's icon."""
    email: str | None
    """The user's address."""


class Template(Model):
    """A text for whoever gets the answer to a request. Their ids begin with `TL-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Template"

    id: str | None
    """The template's id, as `TL-432-535-295`."""
    name: str | None
    """Its name."""
    type: str | None
    """What it is for."""
    message: str | None
    """Its text."""
    representation: str | None
    """Its text, with the parameters filled in."""


class Account(Model):
    """An account of Connect: a vendor, a distributor, a reseller."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Account"

    id: str | None
    """The account's id, as `VA-610-138`."""
    name: str | None
    """Its name."""
    icon: str | None
    """The path of its icon."""
    role: str | None
    """`vendor`, `distributor` or `reseller`."""


class Category(Model):
    """A kind of products."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Category"

    id: str | None
    """The category's id."""
    name: str | None
    """Its name."""


class Moment(Model):
    """When something happened to an object, and who did it."""

    __slots__ = ()
    _model = "Moment"

    at: datetime | None
    """When."""
    by: Actor | None
    """Who did it."""


class Events(Model):
    """What happened to an object, and when."""

    __slots__ = ()
    _model = "Events"

    created: Moment | None
    """It was created."""
    updated: Moment | None
    """It was changed last."""
    inquired: Moment | None
    """More was asked about it."""
    pended: Moment | None
    """It began to wait."""
    approved: Moment | None
    """It was approved."""
    failed: Moment | None
    """It failed."""
    assigned: Moment | None
    """It was given to somebody."""
    validated: Moment | None
    """It was validated."""
    uploaded: Moment | None
    """It was uploaded."""
    submitted: Moment | None
    """It was submitted."""
    accepted: Moment | None
    """It was accepted."""
    rejected: Moment | None
    """It was rejected."""
    closed: Moment | None
    """It was closed."""
    deleted: Moment | None
    """It was deleted."""
    decommissioned: Moment | None
    """It was taken out of use."""
    pending: Moment | None
    """It began to wait."""
    inquiring: Moment | None
    """More was asked about it."""
    resolved: Moment | None
    """It was resolved."""
    installed: Moment | None
    """It was installed."""
    uninstalled: Moment | None
    """It was uninstalled."""


class Product(Model):
    """A product. Their ids begin with `PRD-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Product"

    id: str | None
    """The product's id, as `PRD-521-843-700`."""
    name: str | None
    """Its name."""
    icon: str | None
    """The path of its icon."""
    version: int | None
    """The number of its version."""
    status: str | None
    """`draft`, `indevelopment`, `oncertification`, `published`, `initializationfailed`, `deleted` or
    `endofsale`.
    """
    owner: Account | None
    """The vendor."""
    category: Category | None
    """What kind of product it is."""
    description: str | None
    """What it is."""
    short_description: str | None
    """What it is, in a few sentences."""
    detailed_description: str | None
    """What it is, as Markdown."""
    changes_description: str | None
    """What is new in this version."""
    published_at: datetime | None
    """When it was published."""
    latest: bool | None
    """Whether this is the latest version."""
    public: bool | None
    """Whether this version is public."""
    configurations: dict[str, Any] | None
    """Its settings."""
    capabilities: dict[str, Any] | None
    """What it supports."""
    customer_ui_settings: dict[str, Any] | None
    """What customers see of it."""
    visibility: dict[str, Any] | None
    """Where it is visible."""
    media: Any
    """Images and videos."""
    usage_rule: dict[str, Any] | None
    """How its usage is reported."""
    stats: dict[str, Any] | None
    """Counts, such as that of its versions."""
    events: Events | None
    """What happened to it, and when."""


class Hub(Model):
    """A system of a distributor's that orders through Connect. Their ids begin with `HB-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Hub"

    id: str | None
    """The hub's id, as `HB-0000-0000`."""
    name: str | None
    """Its name."""
    account_id: str | None
    """The id of the account that it belongs to."""
    uuid: str | None
    """Its UUID."""
    instance_id: str | None
    """The id of the distributor's system."""


class Connection(Model):
    """How a product is connected to a hub. Their ids begin with `CT-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Connection"

    id: str | None
    """The connection's id, as `CT-0000-0000-0000`."""
    type: str | None
    """`preview`, `test` or `production`."""
    status: str | None
    """How far it is: `pending`, `approved`, `rejected`, `revoked` or `active`."""
    provider: Account | None
    """The distributor."""
    vendor: Account | None
    """The vendor."""
    hub: Hub | None
    """The distributor's hub."""
    created_at: datetime | None
    """When it was made."""
    product_version_type: str | None
    """`public` or `staging`."""


class Choice(Model):
    """A choice for the value of a parameter."""

    __slots__ = ()
    _model = "Choice"

    label: str | None
    """What is shown."""
    value: str | None
    """What is stored."""
    default: bool | None
    """Whether it is taken unless another is."""


class Constraints(Model):
    """What the value of a parameter must be like."""

    __slots__ = ()
    _model = "Constraints"

    required: bool | None
    """Whether there must be a value."""
    hidden: bool | None
    """Whether it is not shown."""
    readonly: bool | None
    """Whether it cannot be changed."""
    unique: bool | None
    """Whether no two may have the same value."""
    reconciliation: bool | None
    """Whether it serves to find the subscription again."""
    shared: str | None
    """Who else sees it: `view` or `edit`."""
    choices: list[Choice | str] | None
    """The values to choose from."""
    min_length: int | None
    """The fewest characters."""
    max_length: int | None
    """The most characters."""
    hint: str | None
    """A hint for whoever gives the value."""
    placeholder: str | None
    """An example of a value."""
    default: Any
    """The value, unless another is given."""
    meta: Any
    """More that the parameter's type needs."""


class Marketplace(Model):
    """A marketplace, where products are sold. Their ids begin with `MP-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Marketplace"

    id: str | None
    """The marketplace's id, as `MP-71206`."""
    name: str | None
    """Its name."""
    icon: str | None
    """The path of its icon."""


class Param(Model):
    """A parameter. The value of one of type `password` is a secret: it does not appear in a `repr` or an error."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Param"

    id: str | None
    """The parameter's id, as the product names it."""
    name: str | None
    """Its name."""
    title: str | None
    """Its title, for people."""
    description: str | None
    """What it means."""
    type: str | None
    """`text`, `dropdown`, `password`, `email`, `checkbox`, `subdomain`, `domain`, `phone`, `url`, `choice`, …"""
    value: Any
    """Its value: mostly a string."""
    value_error: str | None
    """What is wrong with the value."""
    value_choices: list[Any] | None
    """The values to choose from, or chosen."""
    structured_value: Any
    """Its value, where it has parts: an address, a telephone number."""
    scope: str | None
    """What it belongs to: `asset`, `tier1`, `tier2`, `product`, `item`, `marketplace`, …"""
    phase: str | None
    """When it is asked for: `ordering`, `fulfillment` or `configuration`."""
    hint: str | None
    """A hint for whoever gives the value."""
    placeholder: str | None
    """An example of a value."""
    constraints: Constraints | None
    """What the value must be like."""
    reconciliation: bool | None
    """Whether it serves to find the subscription again."""
    events: Events | None
    """What happened to it, and when."""
    item: Reference | None
    """The item that it belongs to."""
    marketplace: Marketplace | None
    """The marketplace that it belongs to."""


class ItemBilling(Model):
    """What is billed."""

    __slots__ = ()
    _model = "ItemBilling"

    cycle_number: int | None
    """The number of the billing cycle."""


class Item(Model):
    """An item of a subscription."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Item"

    id: str | None
    """The item's id in the request."""
    global_id: str | None
    """Its id in Connect, as `PRD-387-522-630-0003`."""
    mpn: str | None
    """The vendor's number for it."""
    quantity: Decimal | str | None
    """How many: a `Decimal`, or a word such as `unlimited`."""
    old_quantity: Decimal | str | None
    """How many there were before."""
    type: str | None
    """The unit's kind."""
    display_name: str | None
    """Its name, for people."""
    period: str | None
    """How often it is billed."""
    item_type: str | None
    """`Reservation` or `PPU` (pay as you go)."""
    params: list[Param] | None
    """Its parameters."""
    billing: ItemBilling | None
    """What is billed."""


class PhoneNumber(Model):
    """A telephone number."""

    __slots__ = ()
    _model = "PhoneNumber"

    country_code: str | None
    """The country's code, as `+1`."""
    area_code: str | None
    """The area's code."""
    phone_number: str | None
    """The number."""
    extension: str | None
    """The extension."""


class Contact(Model):
    """A person to turn to."""

    __slots__ = ()
    _model = "Contact"

    first_name: str | None
    """The person's first name."""
    last_name: str | None
    """The person's last name."""
    email: str | None
    """The person's address."""
    phone_number: PhoneNumber | None
    """The person's telephone number."""


class ContactInfo(Model):
    """An address, and who is there."""

    __slots__ = ()
    _model = "ContactInfo"

    address_line1: str | None
    """The first line of the address."""
    address_line2: str | None
    """The second line of the address."""
    city: str | None
    """The city."""
    state: str | None
    """The state or province."""
    postal_code: str | None
    """The postal code."""
    country: str | None
    """The country's code of ISO 3166, two letters."""
    contact: Contact | None
    """The person to turn to."""


class TierAccount(Model):
    """A customer, or a reseller above one. Their ids begin with `TA-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TierAccount"

    id: str | None
    """The account's id, as `TA-8757-7142-2923`."""
    version: int | None
    """The number of its version."""
    name: str | None
    """Its name."""
    type: str | None
    """What it is: `customer` or `reseller`."""
    external_id: str | None
    """Its id in the distributor's system."""
    external_uid: str | None
    """Its unique id in the distributor's system."""
    parent: TierAccount | None
    """The account above it."""
    owner: Account | None
    """The account of Connect that it belongs to."""
    scopes: list[str] | None
    """What it is used as: `customer`, `tier1`, `tier2`."""
    hub: Hub | None
    """The hub that it came through."""
    marketplace: Marketplace | None
    """The marketplace that it belongs to."""
    tax_id: str | None
    """Its tax id."""
    contact_info: ContactInfo | None
    """Its address, and who is there."""
    environment: str | None
    """`production`, `test` or `preview`."""
    db: str | None
    """Which of Connect's databases has it."""
    events: Events | None
    """What happened to it, and when."""


class Tiers(Model):
    """The accounts of a subscription, from the customer up."""

    __slots__ = ()
    _model = "Tiers"

    customer: TierAccount | None
    """The customer."""
    tier1: TierAccount | None
    """The customer's reseller."""
    tier2: TierAccount | None
    """The reseller's reseller."""


class Configuration(Model):
    """The parameters that a vendor has set for products, items and marketplaces."""

    __slots__ = ()
    _model = "Configuration"

    params: list[Param] | None
    """The parameters."""


class Contract(Model):
    """A contract between accounts. Their ids begin with `CRD-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Contract"

    id: str | None
    """The contract's id, as `CRD-00000-00000-00000`."""
    name: str | None
    """Its name."""
    type: str | None
    """What it is about, as `distribution`."""
    status: str | None
    """`new`, `enrolling`, `pending`, `active`, `terminated` or `rejected`."""
    marketplace: Marketplace | None
    """The marketplace that it is for."""
    owner: Account | None
    """Whose it is."""
    events: Events | None
    """What happened to it, and when."""


class Asset(Model):
    """An asset: a subscription of a customer's. Their ids begin with `AS-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Asset"

    id: str | None
    """The asset's id, as `AS-5852-1608-0000`."""
    status: str | None
    """`new`, `processing`, `active`, `rejected`, `suspended` or `terminated`."""
    external_id: str | None
    """Its id in the distributor's system."""
    external_uid: str | None
    """Its unique id in the distributor's system."""
    external_name: str | None
    """Its name in the distributor's system."""
    product: Product | None
    """The product."""
    connection: Connection | None
    """How the product is connected to the distributor's hub."""
    events: Events | None
    """What happened to it, and when."""
    items: list[Item] | None
    """What was ordered."""
    params: list[Param] | None
    """The parameters of ordering and fulfillment."""
    tiers: Tiers | None
    """The customer and the resellers."""
    configuration: Configuration | None
    """The parameters that the vendor has set."""
    marketplace: Marketplace | None
    """Where it was ordered."""
    contract: Contract | None
    """The contract that it was ordered under."""
    template: Template | None
    """The text of its last answer."""


class AssetRequest(Model):
    """A fulfillment request: an order, a change, a suspension, a resumption or a cancellation of an asset. Their
    ids begin with `PR-`.
    """

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "AssetRequest"

    id: str | None
    """The request's id, as `PR-5852-1608-0000-001`."""
    type: str | None
    """`purchase`, `change`, `suspend`, `resume`, `cancel`, `adjustment`, …"""
    status: str | None
    """`draft`, `tiers_setup`, `pending`, `inquiring`, `approved`, `failed`, …"""
    created: datetime | None
    """When it was created."""
    updated: datetime | None
    """When it was changed last."""
    effective_date: datetime | None
    """When it takes effect."""
    planned_date: datetime | None
    """When it is to be carried out."""
    answered: Any
    """Whether, or when, what was asked about it was answered."""
    note: str | None
    """What was noted."""
    reason: str | None
    """Why it failed."""
    activation_key: str | None
    """What the customer is told, as a text."""
    external_attributes: dict[str, Any] | None
    """What the distributor's system has added."""
    params_form_url: str | None
    """Where parameters that were asked for can be given."""
    previous_approved_request: Reference | None
    """The approved request before this one."""
    assignee: str | Actor | None
    """Who works on it."""
    template: Template | None
    """The text of the answer."""
    asset: Asset | None
    """The asset that it is about."""
    contract: Contract | None
    """The contract that it was ordered under."""
    marketplace: Marketplace | None
    """Where it was ordered."""
    provider: Account | None
    """The distributor."""
    vendor: Account | None
    """The vendor."""
    events: Events | None
    """What happened to it, and when."""


class ProductAction(Model):
    """An action of a product that somebody has started."""

    __slots__ = ()
    _model = "ProductAction"

    jwt_payload: dict[str, Any] | None
    """Who started it, and for what: the claims of the token that Connect signed."""
    method: str | None
    """The method of the HTTP request."""
    path: str | None
    """Its path."""
    host: str | None
    """Its host."""
    scheme: str | None
    """`https`."""
    headers: dict[str, Any] | None
    """Its headers."""
    query: Any
    """Its query."""
    body: Any
    """Its body."""


class CustomEvent(Model):
    """An event that a product's own system has sent."""

    __slots__ = ()
    _model = "CustomEvent"

    method: str | None
    """The method of the HTTP request."""
    path: str | None
    """Its path."""
    host: str | None
    """Its host."""
    scheme: str | None
    """`https`."""
    headers: dict[str, Any] | None
    """Its headers."""
    query: Any
    """Its query."""
    form_data: Any
    """The fields of its form."""
    body: Any
    """Its body."""


class TierConfig(Model):
    """How a product is set up for a reseller. Their ids begin with `TC-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TierConfig"

    id: str | None
    """The configuration's id, as `TC-625-056-106`."""
    name: str | None
    """Its name."""
    account: TierAccount | None
    """The reseller."""
    product: Product | None
    """The product."""
    tier_level: int | str | None
    """The reseller's level: 1 or 2."""
    tiers: Tiers | None
    """The resellers."""
    connection: Connection | None
    """How the product is connected to the distributor's hub."""
    events: Events | None
    """What happened to it, and when."""
    params: list[Param] | None
    """Its parameters."""
    template: Template | None
    """The text of its last answer."""
    open_request: Reference | None
    """The request that is being worked on."""
    status: str | None
    """`processing` or `active`."""
    configuration: Configuration | None
    """The parameters that the vendor has set."""
    contract: Contract | None
    """The contract that it is under."""
    marketplace: Marketplace | None
    """The marketplace that it is for."""


class Activation(Model):
    """Where a reseller can activate something."""

    __slots__ = ()
    _model = "Activation"

    link: str | None
    """The link."""
    message: str | None
    """The text."""


class ServiceLevel(Model):
    """Within how many days a request has to be answered."""

    __slots__ = ()
    _model = "ServiceLevel"

    zone: int | None
    """How urgent it has become."""
    days: int | None
    """For how many days it has waited."""


class TierConfigRequest(Model):
    """A request to set a product up for a reseller. Their ids begin with `TCR-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TierConfigRequest"

    id: str | None
    """The request's id, as `TCR-625-056-106-001`."""
    type: str | None
    """`setup`, `update` or `adjustment`."""
    status: str | None
    """`draft`, `tiers_setup`, `pending`, `inquiring`, `approved` or `failed`."""
    configuration: TierConfig | None
    """The configuration that it is about."""
    parent_configuration: TierConfig | None
    """The configuration of the reseller above."""
    previous_approved_request: Reference | None
    """The approved request before this one."""
    params: list[Param] | str | None
    """Its parameters."""
    assignee: Actor | str | None
    """Who works on it."""
    template: Template | None
    """The text of the answer."""
    reason: str | None
    """Why it failed."""
    activation: Activation | None
    """What the reseller has to activate."""
    notes: str | None
    """What was noted."""
    environment: str | None
    """`production`, `test` or `preview`."""
    effective_date: datetime | None
    """When it takes effect."""
    planned_date: datetime | None
    """When it is to be carried out."""
    tiers: Tiers | None
    """The resellers."""
    sli: ServiceLevel | None
    """Within how many days it has to be answered."""
    events: Events | None
    """What happened to it, and when."""


class ScheduledExecution(Model):
    """A schedule that is due. Their ids begin with `EFS-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "ScheduledExecution"

    id: str | None
    """The schedule's id, as `EFS-7417-3244-000-002`."""
    name: str | None
    """Its name."""
    description: str | None
    """What it is for."""
    method: str | None
    """The method to run."""
    parameter: Any
    """What to run it with."""
    status: str | None
    """How far it is."""
    trigger: dict[str, Any] | None
    """When it is due."""
    environment: Reference | None
    """The extension's environment."""
    service: Reference | None
    """The extension."""
    owner: Account | None
    """Whose it is."""
    events: Events | None
    """What happened to it, and when."""


class ListingRequestReference(Model):
    """Another listing request, in short. Their ids begin with `LSTR-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "ListingRequestReference"

    id: str | None
    """The request's id."""
    type: str | None
    """`new` or `remove`."""
    status: str | None
    """How far it is."""


class Offer(Model):
    """What a product is offered as."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Offer"

    id: str | None
    """The offer's id."""
    name: str | None
    """Its name."""
    type: str | None
    """`generic` or `commerce`."""
    plans: list[Reference] | None
    """Its plans."""


class PriceList(Model):
    """The prices of a product. Their ids begin with `PL-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "PriceList"

    id: str | None
    """The price list's id."""
    name: str | None
    """Its name."""
    status: str | None
    """`draft`, `scheduled`, `active` or `terminated`."""


class Listing(Model):
    """A product in a marketplace. Their ids begin with `LST-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Listing"

    id: str | None
    """The listing's id, as `LST-212-458-762`."""
    status: str | None
    """`listed` or `unlisted`."""
    contract: Contract | None
    """The contract that it is under."""
    product: Product | None
    """The product."""
    created: datetime | None
    """When it was created."""
    updated: datetime | None
    """When it was changed last."""
    vendor: Account | None
    """The vendor."""
    provider: Account | None
    """The distributor."""
    pending_request: ListingRequestReference | None
    """The request that is being worked on."""
    offer: Offer | None
    """What it is offered as."""
    pricelist: PriceList | None
    """Its prices."""
    alt_pricelist_1: PriceList | None
    """Other prices."""
    alt_pricelist_2: PriceList | None
    """Yet other prices."""
    upgrade_available: bool | None
    """Whether the product has a newer version than the one that is listed."""


class ListingRequest(Model):
    """A request to list a product in a marketplace, or to take it out. Their ids begin with `LSTR-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "ListingRequest"

    id: str | None
    """The request's id, as `LSTR-212-458-762-001`."""
    type: str | None
    """`new`, `update` or `remove`."""
    state: str | None
    """`draft`, `reviewing`, `deploying`, `canceled` or `completed`."""
    status: str | None
    """The same, as some versions of Connect name it."""
    product: Product | None
    """The product."""
    listing: Listing | None
    """The listing."""
    offer: Offer | None
    """What it is offered as."""
    pricelist: PriceList | None
    """Its prices."""
    alt_pricelist_1: PriceList | None
    """Other prices."""
    alt_pricelist_2: PriceList | None
    """Yet other prices."""
    creator: Actor | None
    """Who made it."""
    assignee: Actor | None
    """Who works on it."""
    created: datetime | None
    """When it was created."""
    updated: datetime | None
    """When it was changed last."""
    product_id: str | None
    """The product's id, in a request to create one."""
    contract_id: str | None
    """The contract's id, in a request to create one."""
    listing_id: str | None
    """The listing's id, in a request to create one."""
    offer_id: str | None
    """The offer's id, in a request to create one."""
    pricelist_id: str | None
    """The price list's id, in a request to create one."""
    alt_pricelist_1_id: str | None
    """The id of other prices, in a request to create one."""
    alt_pricelist_2_id: str | None
    """The id of yet other prices, in a request to create one."""
    note: str | None
    """What was noted."""
    events: Events | None
    """What happened to it, and when."""


class TierAccountRequest(Model):
    """A request to take a change of a customer's or a reseller's account over. Their ids begin with `TAR-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TierAccountRequest"

    id: str | None
    """The request's id, as `TAR-5117-7174-9417-001-001`."""
    type: str | None
    """`update`."""
    status: str | None
    """`pending`, `accepted`, `ignored` or `unsupported`."""
    account: TierAccount | None
    """The account as it is to be."""
    vendor: Account | None
    """The vendor."""
    provider: Account | None
    """The distributor."""
    product: Product | None
    """The product."""
    reason: str | None
    """Why it was not taken over."""
    events: Events | None
    """What happened to it, and when."""


class UsagePeriod(Model):
    """The time that usage is reported for."""

    __slots__ = ()
    _model = "UsagePeriod"

    from_: date | None
    """Its first day. In Python also `from_`, since `from` is a keyword."""
    to: date | None
    """Its last day."""


class UsageStats(Model):
    """How many records are how far."""

    __slots__ = ()
    _model = "UsageStats"

    uploaded: int | None
    """How many were uploaded."""
    validated: int | None
    """How many were found valid."""
    pending: int | None
    """How many wait."""
    accepted: int | None
    """How many were accepted."""
    closed: int | None
    """How many were closed."""
    billed: int | None
    """How many were billed."""


class UsageRecords(Model):
    """How many records of a file are valid."""

    __slots__ = ()
    _model = "UsageRecords"

    valid: int | None
    """How many are valid."""
    invalid: int | None
    """How many are not."""
    closed: int | None
    """How many were closed."""


class UsageFile(Model):
    """A usage file: what was used of a product, to be billed. Their ids begin with `UF-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "UsageFile"

    id: str | None
    """The file's id, as `UF-2018-11-9878764342`."""
    name: str | None
    """Its name."""
    external_id: str | None
    """Its id in the system that it came from."""
    status: str | None
    """`draft`, `uploading`, `uploaded`, `invalid`, `processing`, `processed`, `ready`, `rejected`, `pending`,
    `accepted`, `closed` or `deleted`.
    """
    sub_status: str | None
    """`processing` or `processed`."""
    vendor: Account | None
    """The vendor."""
    provider: Account | None
    """The distributor."""
    environment: str | None
    """`production`, `test` or `preview`."""
    marketplace: Marketplace | None
    """The marketplace."""
    contract: Contract | None
    """The contract."""
    product: Product | None
    """The product."""
    error_detail: str | None
    """What is wrong with it."""
    description: str | None
    """What it is."""
    note: str | None
    """What was noted."""
    acceptance_note: str | None
    """What was said when it was accepted."""
    rejection_note: str | None
    """What was said when it was rejected."""
    schema: str | None
    """How its records are to be read: `tr`, `pr`, `qt` or `cr`."""
    currency: str | None
    """The currency."""
    period: UsagePeriod | None
    """The time that it is for."""
    stats: UsageStats | None
    """How many records are how far."""
    events: Events | None
    """What happened to it, and when."""
    usage_file_uri: str | None
    """Where it can be had."""
    processed_file_uri: str | None
    """Where it can be had as it was processed."""
    reconciliation_file_uri: str | None
    """Where the reconciliation can be had."""
    records: UsageRecords | None
    """How many records are valid."""
    created_at: datetime | None
    """When it was created."""
    created_by: str | Actor | None
    """Who created it."""
    uploaded_at: datetime | None
    """When it was uploaded."""
    uploaded_by: str | Actor | None
    """Who uploaded it."""
    submitted_at: datetime | None
    """When it was submitted."""
    submitted_by: str | Actor | None
    """Who submitted it."""
    start_datetime_utc: datetime | None
    """When the time that it is for begins."""
    end_datetime_utc: datetime | None
    """When the time that it is for ends."""


class UsageFileReference(Model):
    """A usage file, in short. Their ids begin with `UF-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "UsageFileReference"

    id: str | None
    """The file's id."""
    name: str | None
    """Its name."""
    schema: str | None
    """How its records are to be read."""
    currency: str | None
    """The currency."""


class Binding(Model):
    """The hub that a chunk is for."""

    __slots__ = ()
    _model = "Binding"

    hub: Hub | None
    """The hub."""
    external_id: str | None
    """Its id in the distributor's system."""


class Failure(Model):
    """What went wrong."""

    __slots__ = ()
    _model = "Failure"

    detail: str | None
    """What."""


class UsageChunkFile(Model):
    """A chunk of a usage file: what of it is for one hub. Their ids begin with `UFC-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "UsageChunkFile"

    id: str | None
    """The chunk's id, as `UFC-2018-11-9878764342-001`."""
    status: str | None
    """`draft`, `ready`, `closed` or `failed`."""
    outdated: bool | None
    """Whether there is a newer one."""
    usagefile: UsageFileReference | None
    """The file that it is of."""
    binding: Binding | None
    """The hub that it is for."""
    marketplace: Marketplace | None
    """The marketplace."""
    error: Failure | None
    """What went wrong."""
    events: Events | None
    """What happened to it, and when."""
    stats: UsageStats | None
    """How many records are how far."""
    provider: Account | None
    """The distributor."""
    external_id: str | None
    """Its id in the distributor's system."""


class CaseParty(Model):
    """One side of a case."""

    __slots__ = ()
    _model = "CaseParty"

    account: Account | None
    """The account."""
    agent: Actor | None
    """Who works on it."""
    recipients: list[Actor] | None
    """Who else is told of what happens."""


class Case(Model):
    """A case of the helpdesk. Their ids begin with `CA-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Case"

    id: str | None
    """The case's id, as `CA-000-000-000`."""
    product: Product | None
    """The product that it is about."""
    subject: str | None
    """What it is about, in short."""
    description: str | None
    """What it is about."""
    priority: int | str | None
    """0 low, 1 medium, 2 high, 3 urgent."""
    state: str | None
    """`pending`, `inquiring`, `resolved` or `closed`."""
    type: str | None
    """`technical` or `business`."""
    issuer: CaseParty | None
    """Who opened it."""
    receiver: CaseParty | None
    """Who is asked."""
    events: Events | None
    """What happened to it, and when."""
    rating: int | str | None
    """How it was judged in the end: 1 very poor to 5 very good."""
    feedback: str | None
    """What was said of it in the end."""


class PriceListVersion(Model):
    """A version of a price list. Their ids begin with `PLV-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "PriceListVersion"

    id: str | None
    """The version's id."""
    version: int | str | None
    """The number of the version."""
    status: str | None
    """`draft`, `processing`, `scheduled`, `active` or `expired`."""
    description: str | None
    """What it is."""
    pricelist: PriceList | None
    """The price list."""
    events: Events | None
    """What happened to it, and when."""


class TranslationContext(Model):
    """The object that a translation is of. Their ids begin with `LCX-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TranslationContext"

    id: str | None
    """The context's id, as `LCX-0000-0000-0000`."""
    instance_id: str | None
    """The id of the object that is translated."""
    name: str | None
    """The object's name."""
    icon: str | None
    """The path of the object's icon."""
    type: str | None
    """The object's kind, as `product`."""


class Locale(Model):
    """A language."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Locale"

    id: str | None
    """Its code, as `ES-AR`."""
    name: str | None
    """Its name."""


class AutoTranslation(Model):
    """Automatic translation."""

    __slots__ = ()
    _model = "AutoTranslation"

    enabled: bool | None
    """Whether it is enabled."""
    status: str | None
    """Its state: `on`, `off`, …"""


class TranslationStats(Model):
    """How many texts are translated."""

    __slots__ = ()
    _model = "TranslationStats"

    total: int | None
    """How many there are."""
    translated: int | None
    """How many are translated."""


class Translation(Model):
    """A translation of an object's texts. Their ids begin with `TRN-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Translation"

    id: str | None
    """The translation's id, as `TRN-0000-0000-0000`."""
    context: TranslationContext | None
    """The object that it is of."""
    owner: Account | None
    """The account that it belongs to."""
    locale: Locale | None
    """The language."""
    description: str | None
    """What it is."""
    status: str | None
    """`active`, `inactive`, …"""
    primary: bool | None
    """Whether this is the language that the others are translated from."""
    auto: AutoTranslation | None
    """Automatic translation."""
    stats: TranslationStats | None
    """How many texts are translated."""
    events: Events | None
    """What happened to it, and when."""


class InstalledExtension(Model):
    """An extension that is installed."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "InstalledExtension"

    id: str | None
    """The extension's id, as `SRVC-0000-0000`."""
    extension_id: str | None
    """Its id in the catalog, as `EXT-000-000`."""
    name: str | None
    """Its name."""
    icon: str | None
    """The path of its icon."""
    owner: Account | None
    """The account that it belongs to."""


class InstallationEnvironment(Model):
    """An environment of an extension."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "InstallationEnvironment"

    id: str | None
    """The environment's id, as `ENV-0000-0000-01`."""
    type: str | None
    """`development`, `test` or `production`."""
    icon: str | None
    """The path of its icon."""
    extension: InstalledExtension | None
    """The extension."""
    hostname: str | None
    """The first part of its host name."""
    domain: str | None
    """The rest of its host name."""
    runtime: str | None
    """Where it runs: `cloud` or `local`."""
    git: dict[str, Any] | None
    """The source that it was deployed from."""


class Installation(Model):
    """An installation of an extension in an account. Their ids begin with `EIN-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Installation"

    id: str | None
    """The installation's id, as `EIN-0000-0000-0000`."""
    status: str | None
    """`installed` or `uninstalled`."""
    environment: InstallationEnvironment | None
    """The extension's environment."""
    owner: Account | None
    """The account that it is installed in."""
    settings: dict[str, Any] | None
    """Its settings. They may hold secrets."""
    events: Events | None
    """What happened to it, and when."""


class TransformationColumn(Model):
    """A column of a file that is transformed."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TransformationColumn"

    id: str | None
    """The column's id."""
    name: str | None
    """Its name."""
    type: str | None
    """The type of its values."""
    description: str | None
    """What it is."""
    position: int | None
    """Its place among the columns."""
    nullable: bool | None
    """Whether a value may be missing."""
    required: bool | None
    """Whether there must be such a column."""
    precision: int | None
    """How many decimal places its values have."""
    output: bool | None
    """Whether it is in the output too."""


class TransformationColumns(Model):
    """The columns that a transformation reads and writes."""

    __slots__ = ()
    _model = "TransformationColumns"

    input: list[TransformationColumn] | None
    """The columns that it reads."""
    output: list[TransformationColumn] | None
    """The columns that it writes."""


class Transformation(Model):
    """A transformation, with its settings. Their ids begin with `STRA-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Transformation"

    id: str | None
    """The transformation's id."""
    function: Reference | None
    """The function of the extension."""
    description: str | None
    """What it does."""
    overview: str | None
    """What it does, in short."""
    columns: TransformationColumns | None
    """The columns that it reads and writes."""
    settings: Any
    """Its settings, as its dialog made them."""
    position: int | None
    """Its place among the stream's transformations."""


class TransformationFiles(Model):
    """The files of a transformation request."""

    __slots__ = ()
    _model = "TransformationFiles"

    input: Reference | None
    """The file to transform; its `name` is its path."""
    output: Reference | None
    """The transformed file; its `name` is its path."""


class TransformationRequest(Model):
    """A request to transform a file. Their ids begin with `TFR-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "TransformationRequest"

    id: str | None
    """The request's id, as `TFR-0000-0000-0000`."""
    status: str | None
    """`pending`, `processed`, `failed`, …"""
    transformation: Transformation | None
    """The transformation."""
    stream: Reference | None
    """The stream."""
    batch: Reference | None
    """The batch of the stream."""
    files: TransformationFiles | None
    """The files."""
    stats: dict[str, Any] | None
    """How many rows are processed."""
    owner: Account | None
    """The account that it belongs to."""
    events: Events | None
    """What happened to it, and when."""


class BillingPeriod(Model):
    """The time that is billed."""

    __slots__ = ()
    _model = "BillingPeriod"

    from_: datetime | None
    """When it begins. In Python also `from_`, since `from` is a keyword."""
    to: datetime | None
    """When it ends."""
    delta: float | None
    """How many units of time it has."""
    uom: str | None
    """The unit of time: `monthly`, `yearly`, `years_2`, …"""


class Anniversary(Model):
    """The day of the year on which a subscription is renewed."""

    __slots__ = ()
    _model = "Anniversary"

    day: int | None
    """The day of the month."""
    month: int | None
    """The month."""


class SubscriptionBilling(Model):
    """How a subscription is billed."""

    __slots__ = ()
    _model = "SubscriptionBilling"

    period: BillingPeriod | None
    """The time that is billed at once."""
    next_date: datetime | None
    """When it is billed next."""
    anniversary: Anniversary | None
    """When it is renewed."""


class Subscription(Model):
    """A subscription. Their ids begin with `AS-`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Subscription"

    id: str | None
    """The subscription's id, as `AS-5852-1608-0000`."""
    status: str | None
    """`draft`, `processing`, `active`, `terminating`, `suspended` or `terminated`."""
    events: Events | None
    """What happened to it, and when."""
    external_id: str | None
    """Its id in the distributor's system."""
    external_uid: str | None
    """Its unique id in the distributor's system."""
    product: Product | None
    """The product."""
    connection: Connection | None
    """How the product is connected to the distributor's hub."""
    params: list[Param] | None
    """Its parameters."""
    tiers: Tiers | None
    """The customer and the resellers."""
    marketplace: Marketplace | None
    """Where it was ordered."""
    contract: Contract | None
    """The contract that it was ordered under."""
    billing: SubscriptionBilling | None
    """How it is billed."""
    renewal_expiration_date: datetime | None
    """Until when it can be renewed."""


class Attributes(Model):
    """What a vendor and a distributor have added to a billing request."""

    __slots__ = ()
    _model = "Attributes"

    vendor: dict[str, Any] | None
    """What the vendor has added."""
    provider: dict[str, Any] | None
    """What the distributor has added."""


class BillingRequest(Model):
    """A request to bill a subscription. Their ids begin with `BR`."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "BillingRequest"

    id: str | None
    """The request's id, as `BRV-9318-8743-3650-001`."""
    type: str | None
    """Whom it is for: `vendor` or `provider`."""
    events: Events | None
    """What happened to it, and when."""
    asset: Subscription | None
    """The subscription."""
    items: list[Item] | None
    """What is billed."""
    attributes: list[Attributes] | Attributes | None
    """What was added to it."""
    period: BillingPeriod | None
    """The time that is billed."""


class TaskOptions(Model):
    """How a task is to be carried out and answered."""

    __slots__ = ()
    _model = "TaskOptions"

    task_id: str | None
    """The task's id."""
    task_category: str | None
    """`background`, `interactive`, `scheduled` or `transformation`."""
    correlation_id: str | None
    """What ties the task to its answer."""
    reply_to: str | None
    """Where the answer goes."""
    api_key: str | None
    """The key to ask Connect with: a secret."""
    installation_id: str | None
    """The extension's installation that it is for."""
    connect_correlation_id: str | None
    """What ties the task to what caused it in Connect."""


class TaskInput(Model):
    """What happened."""

    __slots__ = ()
    _model = "TaskInput"

    event_type: str | None
    """The type of the event."""
    object_id: str | None
    """The id of the object that it is about."""
    data: Any
    """The object itself, where the event brings it along."""


class TaskOutput(Model):
    """What came of a task."""

    __slots__ = ()
    _model = "TaskOutput"

    result: str | None
    """`success`, `reschedule`, `skip`, `retry`, `fail` or `delete`."""
    data: Any
    """The answer, of an interactive task."""
    countdown: int | None
    """In how many seconds to deliver it again."""
    runtime: float | None
    """How long it took, in seconds."""
    message: str | None
    """What there is to say."""


class Task(Model):
    """A task."""

    __slots__ = ()
    _model = "Task"

    options: TaskOptions | None
    """How it is to be carried out and answered."""
    input: TaskInput | None
    """What happened."""
    output: TaskOutput | None
    """What came of it."""
    model_type: str | None
    """`task`."""


class EventDefinition(Model):
    """What Connect knows of a type of events."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "EventDefinition"

    id: int | None
    """Its number."""
    source: str | None
    """`system` or `user`."""
    type: str | None
    """The type of the events."""
    name: str | None
    """Its name, for people."""
    description: str | None
    """What it is."""
    category: str | None
    """`background`, `interactive`, `scheduled` or `transformation`."""
    group: str | None
    """What it belongs to."""
    extension_type: str | None
    """`products`, `hub`, `multiaccount`, `transformations` or `multiaccount+products`."""
    object_statuses: Any
    """The statuses of the object that it is about."""
    api_resource_endpoint: str | None
    """Where the object can be had."""
    api_collection_endpoint: str | None
    """Where such objects can be had."""
    api_collection_filter: str | None
    """How to ask for those that the event is for."""


class Other(Model):
    """An object of which no more is known than that it is one."""

    __slots__ = ()
    __match_args__ = ("id",)
    _model = "Other"

    id: Any
    """Its id."""


class EventType(NamedTuple):
    """A type of events that is known."""

    name: str
    """Its name, as `@event` takes it."""
    category: str
    """How it is delivered: `background`, `interactive`, `scheduled` or `transformation`."""
    model: type[Model]
    """The class of the object that it is about."""
    statuses: tuple[str, ...]
    """The statuses that the object may have; Connect may add others."""


EVENT_TYPES: Final[dict[str, EventType]] = {
    name: EventType(name, category, globals()[model], statuses) for name, category, model, statuses in event_types()
}
"""The types of events that are known, by their names. Others are taken too."""
