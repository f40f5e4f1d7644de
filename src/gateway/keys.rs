//! API keys: a file of them, and which key is whose.
//!
//! A key made here has 256 random bits, so that nothing but the key itself
//! opens its hash: HMAC-SHA-256, keyed by the file's salt. Argon2 would guard
//! passwords that people think of, at milliseconds for each request.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bson::DateTime;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use toml_edit::{ArrayOfTables, Datetime, DocumentMut, Item, Table, value};

use super::config::{toml_fault, wrong};
use super::permission::{Caller, Permission};
use crate::error::Result;

/// The shortest key that is taken, in characters.
const SHORTEST_KEY: usize = 8;
/// What keys that were made here begin with, so that scanners for secrets find them.
const KEY_PREFIX: &str = "cmk_";
const HEAD: &str = "\
# Keys of the Data API, by `connect-mongodb key`. A key itself is not in here, only its
# HMAC-SHA-256 under the salt. Permissions may be edited; then send the gateway a SIGHUP.
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    salt: String,
    #[serde(default, rename = "key")]
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    hash: String,
    created: Option<Datetime>,
    expires: Option<Datetime>,
    permissions: Vec<Permission>,
}

/// A key of a file, without the key.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<String>,
    /// When it ends.
    pub expires: Option<String>,
    /// Whether it has ended.
    pub expired: bool,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

struct Known {
    hash: [u8; 32],
    expires: Option<DateTime>,
    caller: Caller,
}

/// The keys that may call. Only their hashes are kept, and all of them are
/// compared in constant time, so that the time taken tells nothing.
pub struct ApiKeys {
    salt: Vec<u8>,
    keys: Vec<Known>,
}

impl ApiKeys {
    /// Reads the text of a key file: what `connect-mongodb key` writes, or keys
    /// themselves, one a line, which may read and write everything; of those,
    /// empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// `Configuration` where there is no key, or one that cannot be used, by its line or name.
    pub fn parse(text: &str) -> Result<Self> {
        let is_toml = |line: &str| {
            line.starts_with("[[key]]") || line.split('=').next().is_some_and(|name| name.trim() == "salt")
        };
        match text.lines().any(|line| is_toml(line.trim())) {
            true => Self::of_file(&KeyFile::parse(text)?),
            false => Self::of_lines(text),
        }
    }

    fn of_file(file: &KeyFile) -> Result<Self> {
        let salt = file.salt_bytes()?;
        let mut keys = Vec::new();
        for entry in &file.keys {
            let hash = entry.hash_bytes()?;
            let expires = entry.expires.as_ref().map(|at| entry.moment(at)).transpose()?;
            let caller = Caller { name: entry.name.as_str().into(), permissions: entry.permissions.clone().into() };
            keys.push(Known { hash, expires, caller });
        }
        Ok(Self { salt, keys })
    }

    fn of_lines(text: &str) -> Result<Self> {
        let salt = random::<32>()?.to_vec();
        let permissions: Arc<[Permission]> = [Permission::all()].into();
        let mut keys = Vec::new();
        for (line, key) in text.lines().map(str::trim).enumerate() {
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            let line = line + 1;
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return wrong(format!("line {line}: a key has visible ASCII characters only, and no spaces"));
            }
            if key.len() < SHORTEST_KEY {
                return wrong(format!("line {line}: a key has at least {SHORTEST_KEY} characters"));
            }
            let caller = Caller { name: format!("line {line}").into(), permissions: Arc::clone(&permissions) };
            keys.push(Known { hash: hash(&salt, key.as_bytes()), expires: None, caller });
        }
        if keys.is_empty() {
            return wrong("there is no key in it: write one a line, or use connect-mongodb key create");
        }
        Ok(Self { salt, keys })
    }

    /// Whose key it is; nobody's where it has ended.
    pub fn caller(&self, key: &[u8]) -> Option<Caller> {
        let given = hash(&self.salt, key);
        let mut found = None;
        // All of them are looked at, whichever it is.
        for known in &self.keys {
            if bool::from(known.hash.ct_eq(&given)) {
                found = Some(known);
            }
        }
        let live = |known: &&Known| known.expires.is_none_or(|end| DateTime::now() < end);
        found.filter(live).map(|known| known.caller.clone())
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.keys.len())
    }
}

impl KeyFile {
    fn parse(text: &str) -> Result<Self> {
        let file: Self = toml_edit::de::from_str(text).map_err(|error| toml_fault("the key file", text, &error))?;
        for (place, entry) in file.keys.iter().enumerate() {
            if file.keys[..place].iter().any(|other| other.name == entry.name) {
                return wrong(format!("the key file has two keys of the name {}", entry.name));
            }
            name_is_usable(&entry.name)?;
        }
        Ok(file)
    }

    fn salt_bytes(&self) -> Result<Vec<u8>> {
        match STANDARD.decode(&self.salt) {
            Ok(salt) if salt.len() >= 16 => Ok(salt),
            _ => wrong("the key file's salt must be at least 16 bytes in base64"),
        }
    }
}

impl KeyEntry {
    fn hash_bytes(&self) -> Result<[u8; 32]> {
        let hash = STANDARD.decode(&self.hash).ok().and_then(|hash| hash.try_into().ok());
        hash.map_or_else(|| wrong(format!("the hash of the key {} must be 32 bytes in base64", self.name)), Ok)
    }

    fn moment(&self, at: &Datetime) -> Result<DateTime> {
        let mut text = at.to_string().replace(' ', "T");
        if at.time.is_none() {
            text.push_str("T00:00:00");
        }
        if at.offset.is_none() {
            text.push('Z');
        }
        DateTime::parse_rfc3339_str(&text)
            .or_else(|_| wrong(format!("the key {} has a time that is none: write 2027-01-31T00:00:00Z", self.name)))
    }
}

fn hash(salt: &[u8], key: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length.
    match Hmac::<Sha256>::new_from_slice(salt) {
        Ok(mut hmac) => {
            hmac.update(key);
            hmac.finalize().into_bytes().into()
        }
        Err(_) => [0; 32],
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => wrong(format!("the system gives no random numbers ({error})")),
    }
}

fn name_is_usable(name: &str) -> Result<()> {
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_.@ ".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(usable) && name.trim() == name {
        return Ok(());
    }
    wrong("a key's name has 1 to 64 characters, of letters, digits, spaces and - _ . @")
}

fn document(text: &str) -> Result<DocumentMut> {
    text.parse().map_err(|error| toml_fault("the key file", text, &toml_edit::de::Error::from(error)))
}

/// Adds a key to the text of a key file, which may be empty; gives the new text and the key.
///
/// # Errors
/// `Configuration` where the file is none, or the name is taken.
pub fn create(text: &str, name: &str, expires: Option<&str>, permissions: &[Permission]) -> Result<(String, String)> {
    name_is_usable(name)?;
    let text = if text.trim().is_empty() {
        format!("{HEAD}salt = \"{}\"\n", STANDARD.encode(random::<32>()?))
    } else {
        text.to_owned()
    };
    let file = KeyFile::parse(&text)?;
    if file.keys.iter().any(|key| key.name == name) {
        return wrong(format!("there is a key of the name {name} already: revoke it, or take another name"));
    }
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
    let mut entry = Table::new();
    entry["name"] = value(name);
    entry["hash"] = value(STANDARD.encode(hash(&file.salt_bytes()?, key.as_bytes())));
    entry["created"] = value(time(&now())?);
    if let Some(expires) = expires {
        entry["expires"] = value(time(expires)?);
    }
    let listed = permissions.iter().map(|permission| {
        let mut table = toml_edit::InlineTable::new();
        table.insert("data_source", permission.data_source.to_string().into());
        table.insert("database", permission.database.to_string().into());
        table.insert("collection", permission.collection.to_string().into());
        table.insert("allow", permission.allow.iter().map(|right| right.name()).collect::<toml_edit::Array>().into());
        table
    });
    entry["permissions"] = value(listed.collect::<toml_edit::Array>());
    let mut document = document(&text)?;
    let keys = document.entry("key").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    match keys.as_array_of_tables_mut() {
        Some(keys) => keys.push(entry),
        None => return wrong("the key file's keys must be written as [[key]]"),
    }
    let text = document.to_string();
    // What is written can be read.
    ApiKeys::of_file(&KeyFile::parse(&text)?)?;
    Ok((text, key))
}

/// The keys of a file.
///
/// # Errors
/// `Configuration` where it is none.
pub fn list(text: &str) -> Result<Vec<KeyInfo>> {
    let mut listed = Vec::new();
    for entry in KeyFile::parse(text)?.keys {
        let ends = entry.expires.as_ref().map(|at| entry.moment(at)).transpose()?;
        listed.push(KeyInfo {
            expired: ends.is_some_and(|end| end <= DateTime::now()),
            created: entry.created.map(|at| at.to_string()),
            expires: entry.expires.map(|at| at.to_string()),
            name: entry.name,
            permissions: entry.permissions,
        });
    }
    Ok(listed)
}

/// Takes a key out of the text of a key file; gives the new text.
///
/// # Errors
/// `Configuration` where the file is none, or has no such key.
pub fn revoke(text: &str, name: &str) -> Result<String> {
    KeyFile::parse(text)?;
    let mut document = document(text)?;
    let keys = document.get_mut("key").and_then(Item::as_array_of_tables_mut);
    let is_it = |entry: &Table| entry.get("name").and_then(Item::as_str) == Some(name);
    let place = keys.as_ref().and_then(|keys| keys.iter().position(is_it));
    match (keys, place) {
        (Some(keys), Some(place)) => {
            keys.remove(place);
            Ok(document.to_string())
        }
        _ => wrong(format!("there is no key of the name {name}")),
    }
}

fn now() -> String {
    let seconds = DateTime::now().timestamp_millis() / 1000 * 1000;
    DateTime::from_millis(seconds).try_to_rfc3339_string().unwrap_or_default()
}

fn time(text: &str) -> Result<Datetime> {
    match text.parse::<Datetime>() {
        Ok(at) if at.date.is_some() => Ok(at),
        _ => wrong("the time must be one like 2027-01-31 or 2027-01-31T00:00:00Z"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gateway::permission::Right;

    #[test]
    fn keys_are_read_a_line_each() {
        let keys = ApiKeys::parse("# ours\n\n  key-number-1  \r\nkey-number-2\n").unwrap();
        assert_eq!(&*keys.caller(b"key-number-1").unwrap().name, "line 3");
        assert!(keys.caller(b"key-number-2").unwrap().may(Right::Write, "a", "b", "c"));
        for key in ["", "key-number-3", "key-number-1 ", "# ours", "key-number-"] {
            assert!(keys.caller(key.as_bytes()).is_none(), "{key:?}");
        }
    }

    #[test]
    fn files_without_a_usable_key_are_refused_and_not_shown() {
        for text in ["", "# none\n", "short\n", "two words here\n", "kéy-number-1\n"] {
            let error = ApiKeys::parse(text).unwrap_err();
            assert!(text.trim().is_empty() || !error.message.contains(text.trim()), "{}", error.message);
        }
    }

    #[test]
    fn what_is_created_calls_until_it_is_revoked() {
        let read = Permission::at("*/app/*", vec![Right::Read]).unwrap();
        let (text, first) = create("", "first", None, std::slice::from_ref(&read)).unwrap();
        let (text, second) = create(&text, "second", Some("2999-01-01"), &[read]).unwrap();
        assert!(!text.contains(&first) && !text.contains(&second), "the key is in its file");
        let keys = ApiKeys::parse(&text).unwrap();
        assert_eq!(&*keys.caller(first.as_bytes()).unwrap().name, "first");
        assert!(keys.caller(second.as_bytes()).unwrap().may(Right::Read, "x", "app", "y"));
        assert!(!keys.caller(second.as_bytes()).unwrap().may(Right::Read, "x", "other", "y"));
        assert!(create(&text, "first", None, &[]).is_err());
        let text = revoke(&text, "first").unwrap();
        assert!(text.starts_with(HEAD));
        let keys = ApiKeys::parse(&text).unwrap();
        assert!(keys.caller(first.as_bytes()).is_none());
        assert!(keys.caller(second.as_bytes()).is_some());
        assert!(revoke(&text, "first").is_err());
        assert_eq!(list(&text).unwrap().len(), 1);
    }

    #[test]
    fn a_key_that_has_ended_is_nobodys() {
        let (text, key) = create("", "old", Some("2020-01-01T00:00:00Z"), &[Permission::all()]).unwrap();
        assert!(ApiKeys::parse(&text).unwrap().caller(key.as_bytes()).is_none());
        assert!(list(&text).unwrap()[0].expired);
    }

    #[test]
    fn an_entry_of_other_types_is_none() {
        let read = Permission::at("*/app/*", vec![Right::Read]).unwrap();
        let (text, _) = create("", "k", Some("2999-01-01"), &[read]).unwrap();
        assert!(ApiKeys::parse(&text).is_ok());
        let changes = [
            ("expires = 2999-01-01", "expires = \"2020-01-01\""),
            ("expires = 2999-01-01", "expires = false"),
            ("expires = 2999-01-01", "expires = 07:32:00"),
            ("expires = 2999-01-01", "expire = 2999-01-01"),
            ("database = \"app\"", "database = [\"app\"]"),
            ("database = \"app\"", "database = true"),
            ("database = \"app\"", "database = { name = \"app\" }"),
            ("database = \"app\"", "Database = \"app\""),
            ("database = \"app\"", "database = \"app\", database = \"*\""),
            ("allow = [\"read\"]", "allow = \"read\""),
            ("allow = [\"read\"]", "allow = [{ read = 1 }]"),
            ("allow = [\"read\"]", "allow = [0]"),
            ("permissions = [", "permissions = [[\"*\", \"*\", \"*\", [\"read\"]], "),
            ("name = \"k\"", "name = 1"),
        ];
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in {text}");
            assert!(ApiKeys::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn files_that_are_none_are_refused_without_what_is_in_them() {
        let (text, _) = create("", "k", None, &[Permission::all()]).unwrap();
        let text = text.strip_prefix(HEAD).unwrap();
        for (from, to) in [("salt", "sald"), ("hash = \"", "hash = \"hunter2"), ("read", "raed"), ("name", "nome")] {
            let error = ApiKeys::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
