//! What a product's page or system sends: actions and custom events.

use super::schema::model;

model! {
    /// An action of a product that somebody has started.
    PRODUCT_ACTION = "ProductAction";
    "jwt_payload": Mapping, "Who started it, and for what: the claims of the token that Connect signed.";
    "method": Text, "The method of the HTTP request.";
    "path": Text, "Its path.";
    "host": Text, "Its host.";
    "scheme": Text, "`https`.";
    "headers": Mapping, "Its headers.";
    "query": Any, "Its query.";
    "body": Any, "Its body.";
}

model! {
    /// An event that a product's own system has sent.
    CUSTOM_EVENT = "CustomEvent";
    "method": Text, "The method of the HTTP request.";
    "path": Text, "Its path.";
    "host": Text, "Its host.";
    "scheme": Text, "`https`.";
    "headers": Mapping, "Its headers.";
    "query": Any, "Its query.";
    "form_data": Any, "The fields of its form.";
    "body": Any, "Its body.";
}
