//! Extended JSON: a parsed document can be written, and parses to the same document again. What version 2 accepts is
//! accepted with the same result where any version is.
#![no_main]

use connect_eaas_mongodb::codec::ejson::{self, Style};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let any_version = ejson::parse_any_version(text);
    let Ok(document) = ejson::parse_document(text) else { return };
    assert_eq!(any_version.as_ref().ok(), Some(&document), "{}", String::from_utf8_lossy(text));
    for style in [Style::Canonical, Style::Relaxed, Style::Plain] {
        let mut written = Vec::new();
        if ejson::write_document(&mut written, &document, style).is_err() {
            continue;
        }
        let again = ejson::parse_document(&written);
        match (style, again) {
            (Style::Canonical, Ok(again)) => {
                let wrapped = ejson::wrapper_in(bson::RawBsonRef::Document(&document), 0).is_some();
                assert!(wrapped || again == document, "{}", String::from_utf8_lossy(&written));
            }
            (Style::Canonical, Err(error)) => panic!("{}: {}", error.message, String::from_utf8_lossy(&written)),
            // Plain JSON has fewer types, and its fields may look like type wrappers.
            (_, _) => {}
        }
    }
});
