//! Read concern, write concern and read preference of a collection or a call.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use bson::{Bson, Document};
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReadPreference, ReadPreferenceOptions, SelectionCriteria, TagSet,
    WriteConcern,
};

use crate::error::{Error, ErrorKind, Result};

/// The concerns and the read preference that override those of the connection string. Two values
/// are equal if they were created from the same documents.
#[derive(Debug, Clone, Default)]
pub struct Concerns {
    key: String,
    /// The read concern.
    pub read_concern: Option<ReadConcern>,
    /// The write concern.
    pub write_concern: Option<WriteConcern>,
    /// The read preference.
    pub read_preference: Option<SelectionCriteria>,
}

impl PartialEq for Concerns {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Concerns {}

impl Hash for Concerns {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Concerns {
    /// Converts MongoDB's documents `{level}`, `{w, j, wtimeout}` and
    /// `{mode, tags, maxStalenessSeconds}`.
    ///
    /// # Errors
    /// `Configuration` if a value is invalid, or `w` and `j` contradict each other.
    pub fn new(
        read_concern: Option<&Document>,
        write_concern: Option<&Document>,
        read_preference: Option<&Document>,
    ) -> Result<Self> {
        let key = format!("{read_concern:?} {write_concern:?} {read_preference:?}");
        let level = read_concern.and_then(|concern| concern.get_str("level").ok());
        Ok(Self {
            key,
            read_concern: level.map(ReadConcern::custom),
            write_concern: write_concern.map(as_write_concern).transpose()?,
            read_preference: read_preference.map(as_read_preference).transpose()?,
        })
    }

    /// Returns the same concerns and read preference with the server's default write concern.
    pub(crate) fn with_default_write_concern(&self) -> Self {
        Self { key: format!("{} acknowledged", self.key), write_concern: Some(WriteConcern::default()), ..self.clone() }
    }

    /// Returns the write concern for the driver's own actions. The driver rejects an unacknowledged one.
    pub(crate) fn write_concern_of_actions(&self) -> Option<WriteConcern> {
        let concern = self.write_concern.as_ref()?;
        Some(if is_unacknowledged(concern) { WriteConcern::default() } else { concern.clone() })
    }

    /// Returns the driver's collection options.
    pub(crate) fn options(&self) -> CollectionOptions {
        CollectionOptions::builder()
            .read_concern(self.read_concern.clone())
            .write_concern(self.write_concern_of_actions())
            .selection_criteria(self.read_preference.clone())
            .build()
    }
}

fn number(value: Option<&Bson>) -> Option<i64> {
    match value {
        Some(Bson::Int32(number)) => Some(i64::from(*number)),
        Some(Bson::Int64(number)) => Some(*number),
        Some(Bson::Double(number)) => Some(*number as i64),
        _ => None,
    }
}

fn as_write_concern(document: &Document) -> Result<WriteConcern> {
    let mut concern = WriteConcern::default();
    concern.w = match document.get("w") {
        Some(Bson::String(tag)) if tag == "majority" => Some(Acknowledgment::Majority),
        Some(Bson::String(tag)) => Some(Acknowledgment::Custom(tag.clone())),
        other => {
            let invalid = |_| Error::new(ErrorKind::Configuration, "w must be from 0 to 2^32 - 1");
            let nodes = number(other).map(u32::try_from).transpose().map_err(invalid)?;
            nodes.map(Acknowledgment::Nodes)
        }
    };
    concern.journal = document.get_bool("j").ok();
    concern.w_timeout =
        number(document.get("wtimeout")).and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
    check_write_concern(&concern)?;
    Ok(concern)
}

/// Checks that the options of a write concern do not contradict each other.
///
/// # Errors
/// `Configuration`, with PyMongo's message.
pub(crate) fn check_write_concern(concern: &WriteConcern) -> Result<()> {
    if is_unacknowledged(concern) && concern.journal == Some(true) {
        return Err(Error::new(ErrorKind::Configuration, "Cannot set w to 0 and j to True"));
    }
    Ok(())
}

/// Returns whether writes with this write concern are unacknowledged.
pub(crate) fn is_unacknowledged(concern: &WriteConcern) -> bool {
    concern.w == Some(Acknowledgment::Nodes(0))
}

/// Formats an unacknowledged write concern as PyMongo's `repr` does.
pub(crate) fn unacknowledged_repr(concern: &WriteConcern) -> String {
    let timeout = concern.w_timeout.map_or(String::new(), |timeout| format!("wtimeout={}, ", timeout.as_millis()));
    let journal = if concern.journal == Some(false) { "j=False, " } else { "" };
    format!("WriteConcern({timeout}{journal}w=0)")
}

/// Returns the write concern as a field of a command.
pub(crate) fn write_concern_document(concern: &WriteConcern) -> Option<Document> {
    bson::serialize_to_document(concern).ok().filter(|document| !document.is_empty())
}

fn as_read_preference(document: &Document) -> Result<SelectionCriteria> {
    let invalid =
        |what: &str| Error::new(ErrorKind::Configuration, format!("the read preference's {what} is not valid"));
    let mut options = ReadPreferenceOptions::default();
    if let Ok(sets) = document.get_array("tags") {
        let sets = sets.iter().map(|set| {
            let set = set.as_document().ok_or_else(|| invalid("tag_sets"))?;
            set.iter()
                .map(|(tag, value)| Ok((tag.clone(), value.as_str().ok_or_else(|| invalid("tag_sets"))?.to_owned())))
                .collect::<Result<TagSet>>()
        });
        options.tag_sets = Some(sets.collect::<Result<_>>()?);
    }
    options.max_staleness = number(document.get("maxStalenessSeconds"))
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let options = Some(options);
    Ok(SelectionCriteria::ReadPreference(match document.get_str("mode").map_err(|_| invalid("mode"))? {
        "primary" => ReadPreference::Primary,
        "primaryPreferred" => ReadPreference::PrimaryPreferred { options },
        "secondary" => ReadPreference::Secondary { options },
        "secondaryPreferred" => ReadPreference::SecondaryPreferred { options },
        "nearest" => ReadPreference::Nearest { options },
        _ => return Err(invalid("mode")),
    }))
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn documents_are_converted() {
        let concerns = Concerns::new(
            Some(&doc! { "level": "majority" }),
            Some(&doc! { "w": 2, "j": true, "wtimeout": 50 }),
            Some(&doc! { "mode": "secondary", "tags": [{ "dc": "a" }], "maxStalenessSeconds": 90 }),
        )
        .expect("concerns");
        assert_eq!(concerns.read_concern, Some(ReadConcern::majority()));
        let written = concerns.write_concern.as_ref().and_then(write_concern_document).expect("a document");
        assert_eq!(number(written.get("w")), Some(2));
        assert_eq!(number(written.get("wtimeout")), Some(50));
        assert!(matches!(
            concerns.read_preference,
            Some(SelectionCriteria::ReadPreference(ReadPreference::Secondary { .. }))
        ));
        assert_ne!(concerns, Concerns::default());
        assert!(Concerns::new(None, None, Some(&doc! { "mode": "any" })).is_err());
        assert!(Concerns::new(None, Some(&doc! { "w": -1 }), None).is_err());
    }

    #[test]
    fn an_empty_write_concern_overrides_that_of_the_client() {
        let concerns = Concerns::new(None, Some(&Document::new()), None).expect("concerns");
        assert_eq!(concerns.write_concern.as_ref().map(write_concern_document), Some(None));
    }

    #[test]
    fn unacknowledged_writes_are_never_journaled() {
        let rejected = Concerns::new(None, Some(&doc! { "w": 0, "j": true }), None).expect_err("w=0 and j=True");
        assert_eq!(rejected.kind, ErrorKind::Configuration);
        let given = doc! { "w": 0, "j": false, "wtimeout": 5 };
        let concern = Concerns::new(None, Some(&given), None).expect("concerns").write_concern.expect("a concern");
        assert!(is_unacknowledged(&concern));
        assert_eq!(unacknowledged_repr(&concern), "WriteConcern(wtimeout=5, j=False, w=0)");
    }
}
