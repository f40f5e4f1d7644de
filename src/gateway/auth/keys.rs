//! API keys: the key file, and the lookup of a key's caller.
//!
//! The file contains HMAC-SHA-256 hashes of the keys, keyed by the file's salt. A slow hash such
//! as Argon2 protects guessable passwords and costs milliseconds per request; generated keys have
//! 256 random bits and cannot be guessed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bson::DateTime;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use toml_edit::{ArrayOfTables, Datetime, DocumentMut, Item, Table, value};

use super::logins::ANONYMOUS;
use super::permission::{Caller, Permission};
use super::rule::{FieldList, Rule};
use super::secret_file;
use super::users::{UserEntry, Users};
use crate::error::Result;
use crate::gateway::config_error::{config_error, toml_error};

/// The minimum length of a key, in characters.
const MIN_KEY_LENGTH: usize = 8;
/// The prefix of generated keys, so that secret scanners can find them.
const KEY_PREFIX: &str = "cmk_";
const HEAD: &str = "\
# Keys and users of the Data API, written by `connect-mongodb key` and `connect-mongodb user`. The
# file contains no key, only its HMAC-SHA-256 with the salt, and no password, only its Argon2id
# hash. After editing permissions, send the gateway SIGHUP.
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    salt: String,
    #[serde(default, rename = "key")]
    keys: Vec<KeyEntry>,
    #[serde(default, rename = "user")]
    pub(super) users: Vec<UserEntry>,
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

/// An entry of a key file, without the hash.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// The name of the key.
    pub name: String,
    /// When the key was created.
    pub created: Option<String>,
    /// When the key expires.
    pub expires: Option<String>,
    /// Whether the key has expired.
    pub expired: bool,
    /// The permissions of the key.
    pub permissions: Vec<Permission>,
}

struct StoredKey {
    hash: [u8; 32],
    expires: Option<DateTime>,
    caller: Caller,
}

/// The keys of a file, as hashes. A lookup compares all of them in constant time, so that its
/// duration reveals nothing about the keys.
pub(super) struct ApiKeys {
    hasher: KeyHasher,
    keys: Vec<StoredKey>,
}

/// HMAC-SHA-256 with a salt, which is processed once.
pub(super) struct KeyHasher(Hmac<Sha256>);

impl KeyHasher {
    /// A hasher whose salt nobody knows.
    pub(super) fn random() -> Result<Self> {
        Self::new(&random::<32>()?)
    }

    fn new(salt: &[u8]) -> Result<Self> {
        // HMAC accepts a key of any length.
        match Hmac::new_from_slice(salt) {
            Ok(hmac) => Ok(Self(hmac)),
            Err(_) => config_error("the key file's salt cannot be used"),
        }
    }

    fn hash(&self, key: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(key).finalize().into_bytes().into()
    }

    /// The hash of several texts, which depends on where each of them ends.
    pub(super) fn hash_all(&self, texts: &[&[u8]]) -> [u8; 32] {
        let parts = texts
            .iter()
            .fold(self.0.clone(), |hmac, text| hmac.chain_update((text.len() as u64).to_le_bytes()).chain_update(text));
        parts.finalize().into_bytes().into()
    }
}

impl ApiKeys {
    /// Reads a key file with its users.
    ///
    /// # Errors
    /// `Configuration`, with the file's path.
    pub(super) fn read(path: &Path) -> Result<(Self, Users)> {
        let error = |problem: &str| config_error(format!("the key file {} {problem}", path.display()));
        match String::from_utf8(secret_file::read(path, "the key file")?) {
            Ok(text) => Self::parse(&text).or_else(|cause| error(&format!("cannot be used: {}", cause.message))),
            Err(_) => error("cannot be read (it is not text)"),
        }
    }

    /// Parses the text of a key file. There are two formats: the TOML that `connect-mongodb key`
    /// writes, and plain keys, one per line, that may read and write everything. In the latter,
    /// empty lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    /// `Configuration` if there is no key or if one is invalid, with its line or name.
    fn parse(text: &str) -> Result<(Self, Users)> {
        let is_toml = |line: &str| {
            line.starts_with("[[key]]")
                || line.starts_with("[[user]]")
                || line.split('=').next().is_some_and(|name| name.trim() == "salt")
        };
        match text.lines().any(|line| is_toml(line.trim())) {
            true => {
                let file = KeyFile::parse(text)?;
                Ok((Self::from_file(&file)?, Users::from_entries(&file.users)?))
            }
            false => Ok((Self::from_lines(text)?, Users::default())),
        }
    }

    fn from_file(file: &KeyFile) -> Result<Self> {
        let hasher = KeyHasher::new(&file.salt_bytes()?)?;
        let mut keys = Vec::new();
        for entry in &file.keys {
            let hash = entry.hash_bytes()?;
            let expires = entry.expires.as_ref().map(|time| entry.parse_time(time)).transpose()?;
            let caller = Caller::of_key(&entry.name, entry.permissions.clone().into());
            keys.push(StoredKey { hash, expires, caller });
        }
        Ok(Self { hasher, keys })
    }

    fn from_lines(text: &str) -> Result<Self> {
        let hasher = KeyHasher::random()?;
        let permissions: Arc<[Permission]> = [Permission::all()].into();
        let mut keys = Vec::new();
        for (line, key) in text.lines().map(str::trim).enumerate() {
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            let line = line + 1;
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return config_error(format!(
                    "line {line}: a key must contain only printable ASCII characters without spaces"
                ));
            }
            if key.len() < MIN_KEY_LENGTH {
                return config_error(format!("line {line}: a key must have at least {MIN_KEY_LENGTH} characters"));
            }
            let caller = Caller::of_key(&format!("line {line}"), Arc::clone(&permissions));
            keys.push(StoredKey { hash: hasher.hash(key.as_bytes()), expires: None, caller });
        }
        if keys.is_empty() {
            return config_error("it has no key: write one per line, or run connect-mongodb key create");
        }
        Ok(Self { hasher, keys })
    }

    /// Derives a secret from the salt, which is random if the file has plain keys.
    pub(super) fn derived_secret(&self, purpose: &[u8]) -> [u8; 32] {
        self.hasher.hash(purpose)
    }

    /// Returns the caller of a key; `None` if the key is unknown or has expired.
    pub(super) fn caller(&self, key: &[u8]) -> Option<Caller> {
        self.find(key).map(|stored| stored.caller.clone())
    }

    /// Returns the caller of a key, and the version of the key.
    pub(super) fn caller_and_version(&self, key: &[u8]) -> Option<(Caller, String)> {
        self.find(key).map(|stored| (stored.caller.clone(), version(&stored.hash)))
    }

    /// Returns the caller of the key with this name and version; `None` if there is no such key or it has expired.
    pub(super) fn caller_of_version(&self, name: &str, wanted: &str) -> Option<Caller> {
        let stored = self.keys.iter().find(|stored| &*stored.caller.name == name && stored.is_valid())?;
        (version(&stored.hash) == wanted).then(|| stored.caller.clone())
    }

    fn find(&self, key: &[u8]) -> Option<&StoredKey> {
        let given = self.hasher.hash(key);
        let mut found = None;
        // The loop never ends early, for a constant time.
        for stored in &self.keys {
            if bool::from(stored.hash.ct_eq(&given)) {
                found = Some(stored);
            }
        }
        found.filter(|stored| stored.is_valid())
    }
}

impl StoredKey {
    fn is_valid(&self) -> bool {
        self.expires.is_none_or(|expires| DateTime::now() < expires)
    }
}

/// A short digest of a salted hash. It changes with the key or the password, and tells nothing about either.
pub(super) fn version(hash: &[u8]) -> String {
    let digest = Sha256::digest(hash);
    URL_SAFE_NO_PAD.encode(&digest[..9])
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.keys.len())
    }
}

impl KeyFile {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let file: Self = toml_edit::de::from_str(text).map_err(|error| toml_error("the key file", text, &error))?;
        for (index, entry) in file.keys.iter().enumerate() {
            if file.keys[..index].iter().any(|other| other.name == entry.name) {
                return config_error(format!("the key file has two keys named {}", entry.name));
            }
            validate_name(&entry.name)?;
        }
        Ok(file)
    }

    fn salt_bytes(&self) -> Result<Vec<u8>> {
        match STANDARD.decode(&self.salt) {
            Ok(salt) if salt.len() >= 16 => Ok(salt),
            _ => config_error("the key file's salt must be at least 16 bytes in base64"),
        }
    }
}

impl KeyEntry {
    fn hash_bytes(&self) -> Result<[u8; 32]> {
        let hash = STANDARD.decode(&self.hash).ok().and_then(|hash| hash.try_into().ok());
        hash.map_or_else(|| config_error(format!("the hash of the key {} must be 32 bytes in base64", self.name)), Ok)
    }

    fn parse_time(&self, time: &Datetime) -> Result<DateTime> {
        let mut text = time.to_string();
        if time.time.is_none() {
            text.push_str("T00:00:00");
        }
        if time.offset.is_none() {
            text.push('Z');
        }
        DateTime::parse_rfc3339_str(&text).or_else(|_| {
            config_error(format!("the key {} has an invalid time: use a form like 2027-01-31T00:00:00Z", self.name))
        })
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => config_error(format!("the system's random number generator failed ({error})")),
    }
}

fn validate_name(name: &str) -> Result<()> {
    if name == ANONYMOUS {
        return config_error(format!(
            "a key cannot be named {ANONYMOUS}: that is the name of anonymous users in the log and in limits"
        ));
    }
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_.@ ".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(usable) && name.trim() == name {
        return Ok(());
    }
    config_error("a key's name must have 1 to 64 characters: letters, digits, spaces and - _ . @")
}

pub(super) fn parse_document(text: &str) -> Result<DocumentMut> {
    text.parse().map_err(|error| toml_error("the key file", text, &toml_edit::de::Error::from(error)))
}

/// Adds a generated key to the text of a key file, which may be empty. Returns the new text and
/// the key.
///
/// # Errors
/// `Configuration` if the text is not a key file or already has a key of this name.
pub fn create(text: &str, name: &str, expires: Option<&str>, permissions: &[Permission]) -> Result<(String, String)> {
    validate_name(name)?;
    let text = with_salt(text)?;
    let file = KeyFile::parse(&text)?;
    if file.keys.iter().any(|key| key.name == name) {
        return config_error(format!("a key named {name} already exists: revoke it or choose another name"));
    }
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
    let mut entry = Table::new();
    entry["name"] = value(name);
    entry["hash"] = value(STANDARD.encode(KeyHasher::new(&file.salt_bytes()?)?.hash(key.as_bytes())));
    entry["created"] = value(time(&now())?);
    if let Some(expires) = expires {
        entry["expires"] = value(time(expires)?);
    }
    entry["permissions"] = listed(permissions);
    let text = with_entry(&text, "key", entry)?;
    // Never return a file that the gateway would reject.
    ApiKeys::parse(&text)?;
    Ok((text, key))
}

/// The text of a key file, or of a new one.
pub(super) fn with_salt(text: &str) -> Result<String> {
    Ok(match text.trim().is_empty() {
        true => format!("{HEAD}salt = \"{}\"\n", STANDARD.encode(random::<32>()?)),
        false => text.to_owned(),
    })
}

/// Permissions as they are written to a key file.
pub(super) fn listed(permissions: &[Permission]) -> Item {
    let listed = permissions.iter().map(|permission| {
        let mut table = toml_edit::InlineTable::new();
        table.insert("data_source", permission.data_source.to_string().into());
        table.insert("database", permission.database.to_string().into());
        table.insert("collection", permission.collection.to_string().into());
        table.insert("allow", permission.allow.iter().map(|right| right.name()).collect::<toml_edit::Array>().into());
        if let Some(rule) = &permission.rule {
            add_rule(&mut table, rule);
        }
        table
    });
    value(listed.collect::<toml_edit::Array>())
}

/// Adds an entry to the `[[kind]]` tables of a file's text.
pub(super) fn with_entry(text: &str, kind: &str, entry: Table) -> Result<String> {
    let mut document = parse_document(text)?;
    let entries = document.entry(kind).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    match entries.as_array_of_tables_mut() {
        Some(entries) => entries.push(entry),
        None => return config_error(format!("the key file must list each {kind} as [[{kind}]]")),
    }
    Ok(document.to_string())
}

fn add_rule(table: &mut toml_edit::InlineTable, rule: &Rule) {
    if let Some(filter) = &rule.filter {
        table.insert("filter", filter.to_string().into());
    }
    if let Some(fields) = &rule.fields {
        let paths: toml_edit::Array = fields.paths().iter().map(ToString::to_string).collect();
        let mut list = toml_edit::InlineTable::new();
        list.insert(if matches!(fields, FieldList::Allow(_)) { "allow" } else { "deny" }, paths.into());
        table.insert("fields", list.into());
    }
    if let Some(schema) = &rule.schema {
        table.insert("schema", schema.to_string().into());
    }
}

/// Lists the keys of a key file's text.
///
/// # Errors
/// `Configuration` if the text is not a key file.
pub fn list(text: &str) -> Result<Vec<KeyInfo>> {
    let mut listed = Vec::new();
    for entry in KeyFile::parse(text)?.keys {
        let expires = entry.expires.as_ref().map(|time| entry.parse_time(time)).transpose()?;
        listed.push(KeyInfo {
            expired: expires.is_some_and(|expires| expires <= DateTime::now()),
            created: entry.created.map(|at| at.to_string()),
            expires: entry.expires.map(|at| at.to_string()),
            name: entry.name,
            permissions: entry.permissions,
        });
    }
    Ok(listed)
}

/// Removes a key from the text of a key file. Returns the new text.
///
/// # Errors
/// `Configuration` if the text is not a key file or has no key of this name.
pub fn revoke(text: &str, name: &str) -> Result<String> {
    KeyFile::parse(text)?;
    without_entry(text, "key", name)
}

/// Removes the entry with this name from the `[[kind]]` tables of a file's text.
pub(super) fn without_entry(text: &str, kind: &str, name: &str) -> Result<String> {
    let mut document = parse_document(text)?;
    let entries = document.get_mut(kind).and_then(Item::as_array_of_tables_mut);
    let index = entries.as_ref().and_then(|entries| entries.iter().position(|entry| has_name(entry, name)));
    match (entries, index) {
        (Some(entries), Some(index)) => {
            entries.remove(index);
            Ok(document.to_string())
        }
        _ => config_error(format!("no {kind} is named {name}")),
    }
}

/// Whether an entry has this name.
pub(super) fn has_name(entry: &Table, name: &str) -> bool {
    entry.get("name").and_then(Item::as_str) == Some(name)
}

/// The current time as it is written to a file.
pub(super) fn now() -> String {
    let seconds = DateTime::now().timestamp_millis() / 1000 * 1000;
    DateTime::from_millis(seconds).try_to_rfc3339_string().unwrap_or_default()
}

pub(super) fn time(text: &str) -> Result<Datetime> {
    match text.parse::<Datetime>() {
        Ok(at) if at.date.is_some() => Ok(at),
        _ => config_error("the expiry time must have a form like 2027-01-31 or 2027-01-31T00:00:00Z"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gateway::auth::permission::Right;

    fn keys_of(text: &str) -> ApiKeys {
        ApiKeys::parse(text).unwrap().0
    }

    #[test]
    fn plain_keys_are_read_one_per_line() {
        let keys = keys_of("# ours\n\n  key-number-1  \r\nkey-number-2\n");
        assert_eq!(&*keys.caller(b"key-number-1").unwrap().name, "line 3");
        assert!(keys.caller(b"key-number-2").unwrap().has(Right::Write, "a", "b", "c"));
        for key in ["", "key-number-3", "key-number-1 ", "# ours", "key-number-"] {
            assert!(keys.caller(key.as_bytes()).is_none(), "{key:?}");
        }
    }

    #[test]
    fn files_without_a_valid_key_are_rejected_and_not_quoted() {
        for text in ["", "# none\n", "short\n", "two words here\n", "kéy-number-1\n"] {
            let error = ApiKeys::parse(text).map(drop).unwrap_err();
            assert!(text.trim().is_empty() || !error.message.contains(text.trim()), "{}", error.message);
        }
    }

    #[test]
    fn a_created_key_is_valid_until_it_is_revoked() {
        let read = Permission::parse("*/app/*", vec![Right::Read]).unwrap();
        let (text, first) = create("", "first", None, std::slice::from_ref(&read)).unwrap();
        let (text, second) = create(&text, "second", Some("2999-01-01"), &[read]).unwrap();
        assert!(!text.contains(&first) && !text.contains(&second), "the key is in its file");
        let keys = keys_of(&text);
        assert_eq!(&*keys.caller(first.as_bytes()).unwrap().name, "first");
        assert!(keys.caller(second.as_bytes()).unwrap().has(Right::Read, "x", "app", "y"));
        assert!(!keys.caller(second.as_bytes()).unwrap().has(Right::Read, "x", "other", "y"));
        assert!(create(&text, "first", None, &[]).is_err());
        let text = revoke(&text, "first").unwrap();
        assert!(text.starts_with(HEAD));
        let keys = keys_of(&text);
        assert!(keys.caller(first.as_bytes()).is_none());
        assert!(keys.caller(second.as_bytes()).is_some());
        assert!(revoke(&text, "first").is_err());
        assert_eq!(list(&text).unwrap().len(), 1);
    }

    #[test]
    fn an_expired_key_is_invalid() {
        let (text, key) = create("", "old", Some("2020-01-01T00:00:00Z"), &[Permission::all()]).unwrap();
        assert!(keys_of(&text).caller(key.as_bytes()).is_none());
        assert!(list(&text).unwrap()[0].expired);
    }

    #[test]
    fn an_entry_with_values_of_other_types_is_rejected() {
        let read = Permission::parse("*/app/*", vec![Right::Read]).unwrap();
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
    fn invalid_files_are_rejected_without_quoting_their_content() {
        let (text, _) = create("", "k", None, &[Permission::all()]).unwrap();
        let text = text.strip_prefix(HEAD).unwrap();
        for (from, to) in [("salt", "sald"), ("hash = \"", "hash = \"hunter2"), ("read", "raed"), ("name", "nome")] {
            let error = ApiKeys::parse(&text.replacen(from, to, 1)).map(drop).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
