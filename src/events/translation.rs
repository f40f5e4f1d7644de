//! Translations.

use super::common::{ACCOUNT, EVENTS};
use super::schema::model;

model! {
    /// The object that a translation is of.
    TRANSLATION_CONTEXT = "TranslationContext" (prefix "LCX-");
    "id": Text, "The context's id, as `LCX-0000-0000-0000`.";
    "instance_id": Text, "The id of the object that is translated.";
    "name": Text, "The object's name.";
    "icon": Text, "The path of the object's icon.";
    "type": Text, "The object's kind, as `product`.";
}

model! {
    /// A language.
    LOCALE = "Locale";
    "id": Text, "Its code, as `ES-AR`.";
    "name": Text, "Its name.";
}

model! {
    /// How many texts are translated.
    TRANSLATION_STATS = "TranslationStats";
    "total": Integer, "How many there are.";
    "translated": Integer, "How many are translated.";
}

model! {
    /// Automatic translation.
    AUTO_TRANSLATION = "AutoTranslation";
    "enabled": Boolean, "Whether it is enabled.";
    "status": Text, "Its state: `on`, `off`, …";
}

model! {
    /// A translation of an object's texts.
    TRANSLATION = "Translation" (prefix "TRN-");
    "id": Text, "The translation's id, as `TRN-0000-0000-0000`.";
    "context": Object(&TRANSLATION_CONTEXT), "The object that it is of.";
    "owner": Object(&ACCOUNT), "The account that it belongs to.";
    "locale": Object(&LOCALE), "The language.";
    "description": Text, "What it is.";
    "status": Text, "`active`, `inactive`, …";
    "primary": Boolean, "Whether this is the language that the others are translated from.";
    "auto": Object(&AUTO_TRANSLATION), "Automatic translation.";
    "stats": Object(&TRANSLATION_STATS), "How many texts are translated.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
