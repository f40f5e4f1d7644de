//! MongoDB's naming restrictions.

/// Checks that MongoDB allows `name` as a database name.
///
/// # Errors
/// The problem, to follow the name of the argument or variable in a message.
pub fn database_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.len() > 63 {
        return Err("is longer than the 63 bytes that a database's name may have".into());
    }
    // https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    match name.chars().find(|c| matches!(c, ' ' | '.' | '$' | '/' | '\\' | '\0' | '"')) {
        Some(c) => Err(format!("has {c:?}, which a database's name may not have")),
        None => Ok(()),
    }
}

/// Checks that MongoDB allows `name` as a collection name.
///
/// # Errors
/// The problem, to follow the name of the argument or variable in a message.
pub fn collection_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.contains('\0') {
        return Err("has a NUL, which a collection's name may not have".into());
    }
    if name.contains('$') && !name.starts_with("oplog.$main") {
        return Err("has '$', which a collection's name may not have".into());
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err("starts or ends with '.', or has '..'".into());
    }
    Ok(())
}
