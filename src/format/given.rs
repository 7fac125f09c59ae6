use serde::{Deserialize, Serialize};

use crate::document::Metadata;

/// Metadata that a person gave beside a document. It takes precedence over the document's own metadata. None:
/// the document decides.
///
/// An empty text or an empty list of tags means that there is none, whatever the document says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Given {
    /// The title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The description of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The tags of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Given {
    /// Whether the document decides every field.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The metadata given beside the next document of a workflow: the values given now; else the values given
    /// `before`, unless the document now mentions the field itself. Values from an earlier document are never
    /// carried over.
    pub(crate) fn carried(&self, document: &Metadata, before: Option<&Self>) -> Self {
        let before = before.cloned().unwrap_or_default();
        let mentions = document.mentions;
        Self {
            name: decide(self.name.clone(), mentions.name, before.name, String::is_empty),
            description: decide(
                self.description.clone(),
                mentions.description,
                before.description,
                String::is_empty,
            ),
            tags: decide(self.tags.clone(), mentions.tags, before.tags, Vec::is_empty),
        }
    }
}

/// Decides one field. An empty value for a field that the document does not mention has no effect, so it is
/// not recorded.
fn decide<T>(now: Option<T>, is_mentioned: bool, before: Option<T>, is_empty: fn(&T) -> bool) -> Option<T> {
    now.or(before.filter(|_| !is_mentioned)).filter(|given| is_mentioned || !is_empty(given))
}
