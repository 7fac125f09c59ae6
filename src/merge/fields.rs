//! Metadata of a workflow outside of its document.

use serde_json::{Map, Value as Json};

use super::Overlap;
use super::json::{Merger, Source, Value, View};
use super::three::{Side, Three};
use crate::{
    document::{MAX_TAGS, MAX_TAGS_BYTES, written_bytes},
    format::{Sourced, SourcedFields},
};

/// Merges fields by the same rules as documents: name and description as wholes, tags as a set. The value and
/// where it comes from are one: a side that gave a value has changed the field. Of equal values the given one
/// counts. Without a base every difference is an overlap. Exchanging the sides does not change the result.
///
/// A field that is [`Sourced::Derived`] on both sides is derived in the result too: its value is that of the
/// merged document, whatever is here.
///
/// # Errors
///
/// The overlaps, under the paths `name`, `description` and `tags[…]`; at least one.
pub fn merge_fields(
    base: Option<&SourcedFields>,
    ours: &SourcedFields,
    theirs: &SourcedFields,
) -> Result<SourcedFields, Vec<Overlap>> {
    let sides = Three { base, ours: Some(ours), theirs: Some(theirs) };
    let name = decided(sides.as_ref().map(|it| it.map(|fields| &fields.name)));
    let description = decided(sides.as_ref().map(|it| it.map(|fields| &fields.description)));
    let tags = decided(sides.as_ref().map(|it| it.map(|fields| &fields.tags)));
    // The fields that both sides changed are written as a document, so that one merge serves both.
    let open = (name.is_none(), description.is_none(), tags.is_none());
    // A side that gave the value of the base has changed the field, so the base has no say in it.
    let is_kept = |of: fn(&SourcedFields) -> Option<&str>| {
        base.is_some_and(|base| of(ours) == of(base) || of(theirs) == of(base))
    };
    let of_base =
        (open.0 && !is_kept(|it| it.name.text()), open.1 && !is_kept(|it| it.description.text()), open.2);
    let texts = Three {
        base: base.map(|fields| as_document(fields, of_base)),
        ours: Some(as_document(ours, open)),
        theirs: Some(as_document(theirs, open)),
    };
    let sources = texts.as_ref().map(|text| text.as_deref().map(Source::new));
    let roots = sources.as_ref().map(|source| source.as_ref().map(Value::root));
    let leader = if texts.ours <= texts.theirs { Side::Ours } else { Side::Theirs };
    let mut merger = Merger::new(leader);
    let merged = merger.root(roots);
    if !merger.overlaps.is_empty() {
        return Err(merger.overlaps);
    }
    let root = View::Merged(&merged);
    let text = |key| Sourced::Given(root.get(key).and_then(View::string).map(String::from));
    let set = || {
        let tags = root.get("tags").map(View::elements).unwrap_or_default();
        Sourced::Given(tags.into_iter().filter_map(View::string).map(String::from).collect())
    };
    Ok(SourcedFields {
        name: name.unwrap_or_else(|| text("name")),
        description: description.unwrap_or_else(|| text("description")),
        tags: tags.unwrap_or_else(set),
    })
}

/// Whether a record has room for merged tags: both sides may have filled theirs.
pub(crate) fn tags_fit(fields: &SourcedFields) -> bool {
    let tags = fields.tags.value();
    tags.len() <= MAX_TAGS && tags.iter().map(|tag| written_bytes(tag) + 3).sum::<usize>() <= MAX_TAGS_BYTES
}

/// Returns the merged field where no values have to be merged; none if both sides changed it to different
/// values.
fn decided<T: Clone + PartialEq>(sides: Three<Option<&Sourced<T>>>) -> Option<Sourced<T>> {
    let Three { base, ours: Some(ours), theirs: Some(theirs) } = sides else { return None };
    if ours == theirs || base == Some(theirs) {
        return Some(ours.clone());
    }
    if base == Some(ours) {
        return Some(theirs.clone());
    }
    match (ours, theirs) {
        (Sourced::Derived(value), Sourced::Derived(_)) => Some(Sourced::Derived(value.clone())),
        _ if ours.value() == theirs.value() => Some(Sourced::Given(ours.value().clone())),
        _ => None,
    }
}

/// Writes the fields that are marked as a document.
fn as_document(fields: &SourcedFields, (name, description, tags): (bool, bool, bool)) -> String {
    let mut document = Map::new();
    for (key, is_open, text) in
        [("name", name, &fields.name), ("description", description, &fields.description)]
    {
        // That there is none is a value as well.
        document.extend(is_open.then(|| (key.to_owned(), Json::from(text.text()))));
    }
    if tags {
        document.insert("tags".to_owned(), fields.tags.value().iter().map(String::as_str).collect());
    }
    Json::Object(document).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Source<T> = fn(T) -> Sourced<T>;

    fn fields(name: &str, description: &str, tags: &[&str]) -> SourcedFields {
        from(Sourced::Given, Sourced::Given, name, description, tags)
    }

    fn from(
        texts: Source<Option<String>>,
        list: Source<Vec<String>>,
        name: &str,
        description: &str,
        tags: &[&str],
    ) -> SourcedFields {
        let text = |text: &str| texts(Some(text.to_owned()).filter(|text| !text.is_empty()));
        let tags = list(tags.iter().map(|tag| (*tag).to_owned()).collect());
        SourcedFields { name: text(name), description: text(description), tags }
    }

    fn derived(name: &str, description: &str, tags: &[&str]) -> SourcedFields {
        from(Sourced::Derived, Sourced::Derived, name, description, tags)
    }

    fn paths(merged: Result<SourcedFields, Vec<Overlap>>) -> String {
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

    #[test]
    fn value_and_its_source_are_merged_as_one() {
        let base = derived("name", "about", &["a"]);
        // Giving the same value is a change of the field.
        let given = fields("name", "about", &["a"]);
        assert_eq!(merge_fields(Some(&base), &given, &base), Ok(given.clone()));
        assert_eq!(merge_fields(Some(&base), &base, &given), Ok(given.clone()));
        let both = derived("other", "about", &["a", "b"]);
        assert_eq!(paths(merge_fields(Some(&base), &given, &both)), "name");
        assert_eq!(paths(merge_fields(Some(&base), &both, &given)), "name");
        let none = derived("", "", &[]);
        assert_eq!(paths(merge_fields(Some(&none), &fields("", "", &[]), &derived("b", "", &[]))), "name");
        // A value that only one document changed follows the document.
        assert_eq!(merge_fields(Some(&base), &both, &base), Ok(both.clone()));
        // Of equal values the given one counts.
        let same = fields("other", "about", &["a", "b"]);
        assert_eq!(merge_fields(Some(&base), &same, &both), Ok(same.clone()));
        assert_eq!(merge_fields(None, &both, &same), Ok(same));
        // Both documents changed it: the merge of the documents decides.
        let merged = merge_fields(Some(&base), &both, &derived("third", "", &[])).unwrap();
        assert!(matches!((&merged.name, &merged.tags), (Sourced::Derived(_), Sourced::Derived(_))));
    }
}
