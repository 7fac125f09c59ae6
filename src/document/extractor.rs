//! What an embedder knows of the JSON of another tool.

use std::fmt;

use super::metadata::{Labels, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_VERSION_BYTES, Metadata, label};

/// Names the title, the tags and the node types of another tool's JSON.
///
/// A store that [has one](crate::StoreBuilder::extractor) asks it for every JSON document that is saved
/// without a named format. A document that the extractor knows is stored as
/// [`OtherJson`](super::DocumentFormat::OtherJson): it keeps every byte, and no rule of pflow applies to it.
/// Any other document is taken for a workflow of pflow.
///
/// ```
/// use pflow_store::document::{Extracted, Extractor};
///
/// #[derive(Debug)]
/// struct Chains;
///
/// impl Extractor for Chains {
///     fn extract(&self, json: &str) -> Option<Extracted> {
///         #[derive(serde::Deserialize)]
///         struct Chain {
///             chain: String,
///             links: Vec<String>,
///         }
///         let Chain { chain, links } = serde_json::from_str(json).ok()?;
///         Some(Extracted { name: Some(chain), nodes: links, ..Extracted::default() })
///     }
/// }
/// # let chain = Chains.extract(r#"{ "chain": "c", "links": ["a", "b"] }"#).unwrap();
/// # assert_eq!((chain.name.as_deref(), chain.nodes.len()), (Some("c"), 2));
/// ```
pub trait Extractor: fmt::Debug + Send + Sync {
    /// Returns what is known of a document; none if it is not one of this tool.
    ///
    /// `json` is valid JSON with an object at its root, without duplicate keys and within the limits of the
    /// store. The function should only look at the text: it is called on a thread of the async runtime if the
    /// document is small.
    fn extract(&self, json: &str) -> Option<Extracted>;
}

/// What an [`Extractor`] found. The texts are trimmed and cut to the bounds of [`Metadata`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The title.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The tags. Blank and repeated ones are left out.
    pub tags: Vec<String>,
    /// The types of the nodes in document order. Each may occur several times.
    pub nodes: Vec<String>,
    /// The version that the document itself states.
    pub version: Option<String>,
}

impl Extracted {
    pub(super) fn into_metadata(self) -> Metadata {
        let text = |text: Option<String>, max| label(text.as_deref()?, max).map(|text| text.into_owned());
        let labels = |mut labels: Labels, texts: Vec<String>| {
            texts.iter().for_each(|text| labels.add(text));
            labels.take().unwrap_or_default()
        };
        Metadata {
            name: text(self.name, MAX_NAME_BYTES),
            description: text(self.description, MAX_DESCRIPTION_BYTES),
            tags: labels(Labels::tags(), self.tags),
            nodes: labels(Labels::node_types(), self.nodes),
            version: text(self.version, MAX_VERSION_BYTES),
        }
    }
}
