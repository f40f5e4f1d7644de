//! What restores the ways of MongoDB's own Data API where the gateway's differ.

use serde::Deserialize;

/// Whose ways the gateway has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compatibility {
    /// Its own: nothing is ignored or left out in silence.
    #[default]
    Gateway,
    /// Those of MongoDB's Data API.
    Atlas,
}

impl Compatibility {
    /// The `limit` of a `find` that has none.
    pub(super) fn default_limit(self) -> Option<u32> {
        (self == Self::Atlas).then_some(1000)
    }

    /// The largest `limit` of a `find`.
    pub(super) fn max_limit(self) -> Option<u64> {
        (self == Self::Atlas).then_some(50_000)
    }

    /// Whether arguments that an action does not have are ignored.
    pub(super) fn ignores_unknown_arguments(self) -> bool {
        self == Self::Atlas
    }

    /// Whether a body may have the `Content-Type` that `curl -d` sends.
    pub(super) fn accepts_form_content_type(self) -> bool {
        self == Self::Atlas
    }
}
