use crate::{
    conflict::Obstacle,
    document::{Document, Limits},
    format::SourcedFields,
    merge::{self, Merge, merge_fields, tags_fit},
};

/// A document and the fields beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) document: &'a Document,
    pub(super) fields: &'a SourcedFields,
}

/// Merges two documents and the fields beside them, with those of their common ancestor as the base.
///
/// # Errors
/// Why they cannot be merged. All places that both sides changed are reported together.
pub(super) fn merge_sides(
    base: Option<Side<'_>>,
    ours: Side<'_>,
    theirs: Side<'_>,
    limits: &Limits,
) -> Result<(Document, SourcedFields), Obstacle> {
    let fields = merge_fields(base.map(|base| base.fields), ours.fields, theirs.fields);
    let document = merge::merge(base.map(|base| base.document), ours.document, theirs.document, limits);
    match (document, fields) {
        (Merge::Clean(_), Ok(fields)) if !tags_fit(&fields) => Err(Obstacle::TooManyTags),
        (Merge::Clean(document), Ok(fields)) => Ok((document, fields)),
        (Merge::TooMuch(source), _) => Err(Obstacle::TooMuch { source }),
        (Merge::Refused(source), Ok(_)) => Err(Obstacle::Unmergeable { source }),
        (Merge::Overlapping(overlaps), Ok(_)) => Err(Obstacle::Overlaps(overlaps)),
        (document, Err(more)) => {
            let mut overlaps = match document {
                Merge::Overlapping(overlaps) => overlaps,
                _ => Vec::new(),
            };
            // An overlap in a title inside the document is already reported by the document merge.
            let known: Vec<_> = overlaps.iter().map(|overlap| overlap.path.clone()).collect();
            overlaps.extend(more.into_iter().filter(|overlap| !known.contains(&overlap.path)));
            Err(Obstacle::Overlaps(overlaps))
        }
    }
}
