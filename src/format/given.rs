use serde::{Deserialize, Serialize};

use crate::document::Metadata;

/// What a person gave beside a document: it takes precedence over what the document says. None: the document
/// decides.
///
/// An empty text, or an empty list of tags, says that there is none, whatever the document says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Given {
    /// Whether the document decides about everything.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What is given beside the next document of a workflow: what a person gives now; else what a person gave
    /// `before`, unless the document now mentions the field itself. What an earlier document said is never
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

/// One field. To take away what is not there says nothing, so it is not recorded.
fn decide<T>(now: Option<T>, is_mentioned: bool, before: Option<T>, is_empty: fn(&T) -> bool) -> Option<T> {
    now.or(before.filter(|_| !is_mentioned)).filter(|given| is_mentioned || !is_empty(given))
}
