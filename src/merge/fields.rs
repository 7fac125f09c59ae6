//! Metadata of a workflow outside of its document.

use serde_json::{Map, Value as Json};

use super::Overlap;
use super::combine::Merger;
use super::merged::View;
use super::three::{Side, Three};
use super::value::Value;

/// The metadata in a version's record, which may override the document's or be stored beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields {
    /// The title.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The tags: a set, in an order that people chose.
    pub tags: Vec<String>,
}

/// Merges fields by the same rules as documents: name and description as wholes, tags as a set. Without a
/// base every difference is an overlap. Exchanging the sides does not change the result.
///
/// # Errors
///
/// The overlaps, under the paths `name`, `description` and `tags[…]`; at least one.
pub fn merge_fields(base: Option<&Fields>, ours: &Fields, theirs: &Fields) -> Result<Fields, Vec<Overlap>> {
    // The fields are written as a document, so that one merge serves both.
    let texts =
        Three { base, ours: Some(ours), theirs: Some(theirs) }.map(|fields| fields.map(Fields::as_document));
    let roots = texts.as_ref().map(|text| text.as_deref().map(Value::read));
    let leader = if texts.ours <= texts.theirs { Side::Ours } else { Side::Theirs };
    let mut merger = Merger { leader, overlaps: Vec::new() };
    let merged = merger.root(roots.as_ref().map(Option::as_ref));
    if !merger.overlaps.is_empty() {
        return Err(merger.overlaps);
    }
    let root = View::Merged(&merged);
    let text = |key| root.get(key).and_then(View::string).map(String::from);
    let tags = root.get("tags").map(View::elements).unwrap_or_default();
    let tags = tags.into_iter().filter_map(View::string).map(String::from).collect();
    Ok(Fields { name: text("name"), description: text("description"), tags })
}

impl Fields {
    fn as_document(&self) -> String {
        let mut fields = Map::new();
        for (key, text) in [("name", &self.name), ("description", &self.description)] {
            fields.extend(text.as_ref().map(|text| (key.to_owned(), Json::from(text.as_str()))));
        }
        fields.insert("tags".to_owned(), self.tags.iter().map(String::as_str).collect());
        Json::Object(fields).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, description: &str, tags: &[&str]) -> Fields {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Fields { name: text(name), description: text(description), tags }
    }

    fn paths(merged: Result<Fields, Vec<Overlap>>) -> String {
        merged.unwrap_err().iter().map(|overlap| overlap.path.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn fields_are_merged_one_by_one_and_tags_as_a_set() {
        let base = fields("A \"name\"", "", &["a", "b", "c"]);
        let ours = fields("Another \\ name", "", &["a", "x", "c"]);
        let theirs = fields("A \"name\"", "new", &["a", "b", "c", "y"]);
        let merged = fields("Another \\ name", "new", &["a", "x", "c", "y"]);
        assert_eq!(merge_fields(Some(&base), &ours, &theirs), Ok(merged.clone()));
        assert_eq!(merge_fields(Some(&base), &theirs, &ours), Ok(merged));
        assert_eq!(merge_fields(Some(&base), &base, &theirs), Ok(theirs));
        assert_eq!(merge_fields(None, &ours, &ours), Ok(ours));
    }

    #[test]
    fn fields_that_both_sides_changed_overlap() {
        let base = fields("name", "about", &["a"]);
        let theirs = fields("theirs", "about", &["b"]);
        assert_eq!(paths(merge_fields(Some(&base), &fields("ours", "", &["b"]), &theirs)), "name");
        assert_eq!(paths(merge_fields(Some(&base), &fields("", "", &[]), &theirs)), "name");
        assert_eq!(paths(merge_fields(None, &base, &theirs)), "name tags[a] tags[b]");
    }
}
