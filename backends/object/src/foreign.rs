//! Names that are not valid keys: other programs put such objects into the bucket.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use object_store::path::Path;

/// The maximum number of names that are kept.
const MOST: usize = 100;
/// The XML element of an object in a listing, and the element of its name: of S3 and GCS, and of Azure.
const ELEMENTS: [(&str, &str); 2] = [("Contents", "Key"), ("Blob", "Name")];

/// The names that listings have skipped.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<BTreeSet<String>>);

impl Foreign {
    pub(crate) fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST {
            names.insert(name.to_owned());
        }
    }

    /// Returns the names and clears the set.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the page of a listing without the objects whose names object_store refuses (`a//b`, `a/../b`)
    /// or changes (`/a`); object_store refuses the whole page for one such name. None if the page has no such
    /// object.
    ///
    /// Text in XML has no `<`, so an element ends at its end tag.
    #[cfg_attr(
        not(any(feature = "s3", feature = "gcs", feature = "azure")),
        allow(dead_code, reason = "without a cloud no request is ever sent")
    )]
    pub(crate) fn removed_from(&self, page: &str) -> Option<String> {
        let mut kept = String::with_capacity(page.len());
        let mut rest = page;
        let mut is_changed = false;
        for (object, name) in ELEMENTS {
            let (open, close) = (format!("<{object}>"), format!("</{object}>"));
            while let Some((before, behind)) = rest.split_once(&open) {
                // Without an end tag it is not a listing, and object_store reports that.
                let (element, after) = behind.split_once(&close)?;
                kept.push_str(before);
                let text = inner(element, name).map(unescaped);
                match text.filter(|name| !is_kept(name)) {
                    Some(name) => {
                        self.add(&name);
                        is_changed = true;
                    }
                    None => kept.extend([&open, element, &close]),
                }
                rest = after;
            }
        }
        kept.push_str(rest);
        is_changed.then_some(kept)
    }
}

/// Whether object_store keeps the name of the object, except for the trailing slash of a folder.
fn is_kept(name: &str) -> bool {
    Path::parse(name).is_ok_and(|path| path.as_ref() == name.strip_suffix('/').unwrap_or(name))
}

/// The text of the first element `name`.
fn inner<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// Decodes the five entities of XML. Numeric character references stay as they are: the characters that
/// matter here are not written that way.
fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_whose_names_are_not_paths_are_removed() {
        let foreign = Foreign::default();
        let s3 = |names: &[&str]| {
            let object = |name: &&str| format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>");
            let objects: String = names.iter().map(object).collect();
            format!("<ListBucketResult><Name>b</Name>{objects}<KeyCount>3</KeyCount></ListBucketResult>")
        };
        let page = s3(&["p//a", "p/a", "p/folder/", "p/../b", "/p/c", "p/d&amp;e//"]);
        assert_eq!(foreign.removed_from(&page), Some(s3(&["p/a", "p/folder/"])));
        assert!(foreign.take().iter().eq(["/p/c", "p/../b", "p//a", "p/d&e//"]));
        assert_eq!(foreign.removed_from(&s3(&["p/a", "p/ü &lt; b"])), None);
        let azure = "<Blobs><Blob><Name>p//a</Name></Blob><Blob><Name>p/a</Name></Blob></Blobs>";
        let kept = "<Blobs><Blob><Name>p/a</Name></Blob></Blobs>";
        assert_eq!(foreign.removed_from(azure).as_deref(), Some(kept));
        for page in ["", "<Contents>", "no XML", "<Contents></Contents>"] {
            assert_eq!(foreign.removed_from(page), None, "{page}");
        }
    }
}
