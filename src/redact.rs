//! Hides secrets in texts that leave the process: error messages, logs and stored events.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::secret::Secret;

/// Replaces a value that must not be stored or shown.
pub(crate) const REDACTED: &str = "***";

/// The prefix of the digest that replaces a redacted value.
pub(crate) const REDACTED_DIGEST: &str = "hmac-sha256:";

/// Returns whether a string is the replacement of a redacted value.
pub(crate) fn is_redacted(text: &str) -> bool {
    text == REDACTED || text.starts_with(REDACTED_DIGEST)
}

/// Hides a connection string and its passwords, both percent-encoded as in the connection string and
/// decoded.
pub(crate) fn hide_passwords(text: &str, uri: &str, passwords: &[Secret]) -> String {
    let mut hidden = text.replace(uri, "mongodb://***");
    for password in passwords {
        let encoded = password.expose();
        let decoded = percent_decode_str(encoded).decode_utf8_lossy();
        hidden = hidden.replace(encoded, REDACTED).replace(decoded.as_ref(), REDACTED);
    }
    hidden
}

/// Hides an API key in a text from a server, in all the forms that JSON, URLs and HTML use.
pub(crate) fn hide_key(text: &str, key: &Secret) -> String {
    let mut hidden = text.to_owned();
    for form in encoded_forms(key) {
        hidden = hidden.replace(&form, REDACTED);
    }
    // JSON allows any character to be escaped.
    let unescaped = without_json_escapes(&hidden);
    if unescaped.contains(key.expose()) { unescaped.replace(key.expose(), REDACTED) } else { hidden }
}

/// Returns whether bytes contain an API key in one of the forms that JSON, URLs and HTML use.
pub(crate) fn contains_key(bytes: &[u8], key: &Secret) -> bool {
    let contains = |form: &String| bytes.windows(form.len()).any(|window| window == form.as_bytes());
    encoded_forms(key).iter().any(contains)
}

fn encoded_forms(key: &Secret) -> [String; 5] {
    let key = key.expose();
    let quoted = serde_json::to_string(key).unwrap_or_default();
    let json = quoted.trim_matches('"').to_owned();
    let html = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let url = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    [json.replace('/', "\\/"), json, html, url, key.to_owned()]
}

/// Replaces the JSON escapes `\/` and `\u006b` by the characters that they represent.
fn without_json_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        plain.push_str(&rest[..position]);
        let escaped = &rest[position + 1..];
        let number = escaped.strip_prefix('u').and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
        if let Some(character) = number.and_then(char::from_u32) {
            plain.push(character);
            rest = &escaped[5..];
        } else if let Some(after) = escaped.strip_prefix('/') {
            plain.push('/');
            rest = after;
        } else {
            plain.push('\\');
            rest = escaped;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_encoded_and_decoded() {
        let uri = "mongodb://u:p%40ss@h/";
        let text = format!("{uri} failed: p%40ss, p@ss");
        assert_eq!(hide_passwords(&text, uri, &[Secret::new("p%40ss")]), "mongodb://*** failed: ***, ***");
    }

    #[test]
    fn keys_are_hidden_in_all_encodings() {
        let key = Secret::new("a/b\"<&");
        for text in [r#"a/b"<&"#, r#"a\/b\"<&"#, r#"a/b\"<&"#, "a/b&quot;&lt;&amp;", "a%2Fb%22%3C%26"] {
            assert_eq!(hide_key(text, &key), "***", "{text}");
            assert!(contains_key(text.as_bytes(), &key), "{text}");
        }
        assert_eq!(hide_key(r"\u006bey", &Secret::new("key")), "***");
        assert_eq!(hide_key(r"no \secret", &key), r"no \secret");
        assert!(is_redacted(REDACTED) && !is_redacted("x"));
    }
}
