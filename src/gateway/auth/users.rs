//! Users: their entries in the key file, and the lookup of a user's caller.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use serde::Deserialize;
use toml_edit::{Datetime, Item, Table, value};

use super::keys::{
    KeyFile, has_name, listed, now, parse_document, time, version, with_entry, with_salt, without_entry,
};
use super::logins::Provider;
use super::passwords::{self, VerifiedPasswords};
use super::permission::{Caller, Permission};
use crate::error::Result;
use crate::gateway::config_error::config_error;
use crate::secret::Secret;

/// The maximum length of a name, in bytes: that of an email address.
const MAX_NAME_BYTES: usize = 254;
/// The length of a password, in characters.
const PASSWORD_CHARACTERS: std::ops::RangeInclusive<usize> = 8..=128;
/// How toml_edit's deserializer presents a date.
const DATE_FIELD: &str = "$__toml_private_datetime";

/// A `[[user]]` of a key file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    name: String,
    id: String,
    hash: String,
    created: Option<Datetime>,
    #[serde(default)]
    disabled: bool,
    permissions: Vec<Permission>,
    #[serde(default)]
    data: Document,
}

/// A user of a key file, without the hash.
#[derive(Debug, Clone)]
pub struct UserInfo {
    /// The name of the user.
    pub name: String,
    /// The user's ID, which `%%user.id` stands for.
    pub id: String,
    /// When the user was created.
    pub created: Option<String>,
    /// Whether the user cannot log in.
    pub disabled: bool,
    /// The permissions of the user.
    pub permissions: Vec<Permission>,
}

/// A user who can log in with a password.
pub(super) struct User {
    pub(super) hash: PasswordHash,
    /// Changes with the password.
    pub(super) version: String,
    pub(super) disabled: bool,
    pub(super) caller: Caller,
}

/// The users of a key file.
#[derive(Default)]
pub(super) struct Users {
    by_name: HashMap<String, Arc<User>>,
    by_id: HashMap<String, Arc<User>>,
    /// The passwords of these users that were verified.
    pub(super) verified: VerifiedPasswords,
}

impl Users {
    /// The users of a file's entries.
    ///
    /// # Errors
    /// `Configuration`, with the name of the invalid user.
    pub(super) fn from_entries(entries: &[UserEntry]) -> Result<Self> {
        let mut users = Self::default();
        for entry in entries {
            let name = &entry.name;
            let Some(hash) = passwords::parse(&entry.hash) else {
                return config_error(format!(
                    "the hash of the user {name} must be that of Argon2id, as connect-mongodb user writes it"
                ));
            };
            if ObjectId::parse_str(&entry.id).is_err() {
                return config_error(format!("the id of the user {name} must have 24 hexadecimal digits"));
            }
            let user = doc! {
                "id": &entry.id,
                "type": Provider::LocalUserpass.name(),
                "data": { "email": name },
                "custom_data": without_dates(entry.data.clone()),
            };
            let user = Arc::new(User {
                hash,
                version: version(entry.hash.as_bytes()),
                disabled: entry.disabled,
                caller: Caller {
                    name: format!("user:{name}").into(),
                    permissions: entry.permissions.clone().into(),
                    user: Arc::new(user),
                },
            });
            if users.by_name.insert(name.clone(), Arc::clone(&user)).is_some() {
                return config_error(format!("the key file has two users named {name}"));
            }
            if users.by_id.insert(entry.id.clone(), user).is_some() {
                return config_error(format!("the key file has two users with the id of {name}"));
            }
        }
        Ok(users)
    }

    /// The user of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user of an ID, if the user may log in and still has the password of this version.
    pub(super) fn of_version(&self, id: &str, wanted: &str) -> Option<&Arc<User>> {
        self.by_id.get(id).filter(|user| !user.disabled && user.version == wanted)
    }
}

/// The ID of a caller.
pub(super) fn id_of(caller: &Caller) -> String {
    caller.user.get_str("id").unwrap_or_default().to_owned()
}

/// Replaces dates, which rules cannot compare, by their texts.
fn without_dates(document: Document) -> Document {
    fn plain(value: Bson) -> Bson {
        match value {
            Bson::Document(mut inner) => match inner.remove(DATE_FIELD) {
                Some(date) => date,
                None => Bson::Document(without_dates(inner)),
            },
            Bson::Array(values) => Bson::Array(values.into_iter().map(plain).collect()),
            other => other,
        }
    }
    document.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

pub(super) fn validate_user_name(name: &str) -> Result<()> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) && name.trim() == name {
        return Ok(());
    }
    config_error(format!(
        "a user's name must have 1 to {MAX_NAME_BYTES} bytes, without control characters and spaces around it"
    ))
}

fn validate_password(password: &str) -> Result<()> {
    if PASSWORD_CHARACTERS.contains(&password.chars().count()) {
        return Ok(());
    }
    let (least, most) = (PASSWORD_CHARACTERS.start(), PASSWORD_CHARACTERS.end());
    config_error(format!("a password must have {least} to {most} characters"))
}

/// Adds a user to the text of a key file, which may be empty. Returns the new text.
///
/// # Errors
/// `Configuration` if the name or the password is invalid, the text is not a key file, or the name is taken.
pub fn add(
    text: &str,
    name: &str,
    password: &Secret,
    permissions: &[Permission],
    data: &[(String, String)],
) -> Result<String> {
    validate_user_name(name)?;
    validate_password(password.expose())?;
    let text = with_salt(text)?;
    if KeyFile::parse(&text)?.users.iter().any(|user| user.name == name) {
        return config_error(format!("a user named {name} already exists: remove it or choose another name"));
    }
    let mut entry = Table::new();
    entry["name"] = value(name);
    entry["id"] = value(ObjectId::new().to_hex());
    entry["hash"] = value(passwords::hash(password.expose())?);
    entry["created"] = value(time(&now())?);
    entry["permissions"] = listed(permissions);
    if !data.is_empty() {
        let pairs = data.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        entry["data"] = value(pairs.collect::<toml_edit::InlineTable>());
    }
    let text = with_entry(&text, "user", entry)?;
    // Never return a file that the gateway would reject.
    Users::from_entries(&KeyFile::parse(&text)?.users)?;
    Ok(text)
}

/// Lists the users of a key file's text.
///
/// # Errors
/// `Configuration` if the text is not a key file.
pub fn list(text: &str) -> Result<Vec<UserInfo>> {
    let info = |entry: UserEntry| UserInfo {
        created: entry.created.map(|at| at.to_string()),
        disabled: entry.disabled,
        name: entry.name,
        id: entry.id,
        permissions: entry.permissions,
    };
    Ok(KeyFile::parse(text)?.users.into_iter().map(info).collect())
}

/// Removes a user from the text of a key file. Returns the new text.
///
/// # Errors
/// `Configuration` if the text is not a key file or has no user of this name.
pub fn remove(text: &str, name: &str) -> Result<String> {
    KeyFile::parse(text)?;
    without_entry(text, "user", name)
}

/// Gives a user of a key file's text another password. Returns the new text.
///
/// # Errors
/// `Configuration` if the password is invalid, the text is not a key file or has no user of this name.
pub fn set_password(text: &str, name: &str, password: &Secret) -> Result<String> {
    KeyFile::parse(text)?;
    validate_password(password.expose())?;
    let mut document = parse_document(text)?;
    let users = document.get_mut("user").and_then(Item::as_array_of_tables_mut);
    match users.and_then(|users| users.iter_mut().find(|entry| has_name(entry, name))) {
        Some(entry) => entry["hash"] = value(passwords::hash(password.expose())?),
        None => return config_error(format!("no user is named {name}")),
    }
    Ok(document.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gateway::auth::permission::Right;

    fn users(text: &str) -> Users {
        Users::from_entries(&KeyFile::parse(text).unwrap().users).unwrap()
    }

    #[test]
    fn a_user_keeps_its_id_and_changes_its_version_with_the_password() {
        let read = Permission::parse("*/app/*", vec![Right::Read]).unwrap();
        let data = [("team".to_owned(), "north".to_owned())];
        let text = add("", "ann@example.com", &Secret::new("correct horse"), &[read], &data).unwrap();
        assert!(!text.contains("correct horse"));
        let before = users(&text);
        let ann = before.named("ann@example.com").unwrap();
        assert_eq!(&*ann.caller.name, "user:ann@example.com");
        assert_eq!(ann.caller.user.get_document("custom_data").unwrap(), &doc! { "team": "north" });
        let id = id_of(&ann.caller);
        assert!(before.of_version(&id, &ann.version).is_some());
        let after = users(&set_password(&text, "ann@example.com", &Secret::new("battery staple")).unwrap());
        assert_eq!(id_of(&after.named("ann@example.com").unwrap().caller), id);
        assert!(after.of_version(&id, &ann.version).is_none());
        let disabled = users(&text.replace("permissions =", "disabled = true\npermissions ="));
        assert!(disabled.of_version(&id, &ann.version).is_none());
        let none = remove(&text, "ann@example.com").unwrap();
        assert!(users(&none).named("ann@example.com").is_none() && remove(&none, "ann@example.com").is_err());
    }

    #[test]
    fn a_date_in_a_users_data_is_its_text() {
        let text = add("", "ann", &Secret::new("correct horse"), &[], &[]).unwrap();
        let text = format!("{text}data = {{ since = 2026-01-31, seats = 5, tags = [{{ at = 07:32:00 }}] }}\n");
        let data = users(&text).named("ann").unwrap().caller.user.get_document("custom_data").unwrap().clone();
        assert_eq!((data.get_str("since").unwrap(), data.get_i64("seats").unwrap()), ("2026-01-31", 5));
        assert_eq!(data.get_array("tags").unwrap()[0], Bson::Document(doc! { "at": "07:32:00" }));
    }

    #[test]
    fn invalid_users_are_rejected_without_quoting_a_secret() {
        let (name, password) = ("ann", Secret::new("correct horse"));
        for password in ["", "short", &"x".repeat(129)] {
            assert!(add("", name, &Secret::new(password), &[], &[]).is_err(), "{password}");
        }
        for name in ["", " ann", "a\nb", &"x".repeat(255)] {
            assert!(add("", name, &password, &[], &[]).is_err(), "{name}");
        }
        let text = add("", name, &password, &[], &[]).unwrap();
        assert!(add(&text, name, &password, &[], &[]).is_err());
        assert!(set_password(&text, "bob", &password).is_err());
        for (from, to) in
            [("hash = \"$argon2id", "hash = \"$hunter2"), ("id = \"", "id = \"hunter2"), ("name = \"ann\"", "nome = 1")]
        {
            let changed = text.replacen(from, to, 1);
            let error =
                KeyFile::parse(&changed).and_then(|file| Users::from_entries(&file.users).map(drop)).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
