use std::fmt;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use crate::{Error, ErrorKind, Key, Listed, Prefix, Result};

/// The character after `/`: all keys below `a` come after `a/` and before `a0`.
const BEHIND_SLASH: char = '0';
/// Greater than every key.
const BEHIND_ALL: &str = "~";

/// A range of names: those after `after` and before `before`, both excluded, in the order of their bytes.
///
/// Both are always set and need no parsing, so a database asks one fixed question:
/// `WHERE name > ?1 AND name < ?2 ORDER BY name LIMIT 500`, with names compared by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The names come after this one. It need not exist and need not be a valid [`Key`].
    pub after: String,
    /// The names come before this one. It need not exist and is no valid [`Key`] at the end of all keys.
    pub before: String,
}

impl Span {
    /// The keys below `prefix` that come after `after`.
    pub fn new(prefix: &Prefix, after: Option<&Key>) -> Self {
        let (first, before) = match prefix.key() {
            Some(key) => (format!("{key}/"), format!("{key}{BEHIND_SLASH}")),
            None => (String::new(), BEHIND_ALL.to_owned()),
        };
        let after = after.map_or(first.clone(), |after| first.max(after.to_string()));
        Self { after, before }
    }

    /// Whether `name` is in it.
    pub fn contains(&self, name: &str) -> bool {
        *self.after < *name && *name < *self.before
    }

    /// Whether no name can be in it.
    pub fn is_empty(&self) -> bool {
        self.after >= self.before
    }
}

/// One stored object as a page of a listing has it: its name as it is stored, which [`paged`] parses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The name. [`paged`] skips the row if it is no valid [`Key`].
    pub name: String,
    /// The length in bytes.
    pub size: u64,
    /// When it was written, according to the storage; see [`Listed::modified`].
    pub modified: DateTime<Utc>,
}

impl Row {
    /// The row of one object.
    pub fn new(name: impl Into<String>, size: u64, modified: DateTime<Utc>) -> Self {
        Self { name: name.into(), size, modified }
    }
}

/// Makes the stream of [`StorageBackend::list`](crate::StorageBackend::list) from a function that reads one
/// page.
///
/// `page` returns the first rows of a [`Span`], in order, as many as may be held in memory.
/// **An empty page is the end**; a page that is shorter than others is not. The function returns what is
/// stored under these names, all of it: `paged` skips the names that are no keys, and asks for the next page
/// after the last name of the one before. So neither the prefix, nor the place to continue at, nor foreign
/// names are the author's concern.
///
/// The stream calls `page` only when it is polled and has no rows left, and holds one page. After an error it
/// ends. A page that is not in order, or outside of its span, is an error and not a listing with gaps.
///
/// ```
/// use std::{collections::BTreeMap, ops::Bound::Excluded, sync::Arc};
///
/// use pflow_backend::{BoxStream, DateTime, Key, Listed, Prefix, Result, Row, Span, paged};
///
/// fn list(
///     sizes: Arc<BTreeMap<String, u64>>,
///     prefix: &Prefix,
///     after: Option<&Key>,
/// ) -> BoxStream<'static, Result<Listed>> {
///     paged(prefix, after, move |Span { after, before, .. }| {
///         let sizes = sizes.clone();
///         async move {
///             let rows = sizes.range((Excluded(after), Excluded(before))).take(500);
///             Ok(rows.map(|(name, size)| Row::new(name, *size, DateTime::UNIX_EPOCH)).collect())
///         }
///     })
/// }
/// ```
pub fn paged<F, P>(prefix: &Prefix, after: Option<&Key>, page: F) -> BoxStream<'static, Result<Listed>>
where
    F: FnMut(Span) -> P + Send + 'static,
    P: Future<Output = Result<Vec<Row>>> + Send + 'static,
{
    let pages = stream::try_unfold((page, Span::new(prefix, after)), |(mut page, mut span)| async move {
        if span.is_empty() {
            return Ok(None);
        }
        let rows = page(span.clone()).await?;
        check_order(&span, &rows)?;
        let Some(last) = rows.last() else { return Ok(None) };
        span.after.clone_from(&last.name);
        Ok(Some((rows, (page, span))))
    });
    pages.map_ok(|rows| stream::iter(rows.into_iter().filter_map(listed))).try_flatten().boxed()
}

fn listed(row: Row) -> Option<Result<Listed>> {
    let key = Key::parse(row.name).ok()?;
    Some(Ok(Listed::new(key, row.size, row.modified)))
}

/// IMPORTANT: a name that is not after the one before would be listed twice, or without end; and a page that
/// is sorted differently leaves out what the next one begins behind.
fn check_order(span: &Span, rows: &[Row]) -> Result<()> {
    let mut last = &span.after;
    for row in rows {
        if row.name <= *last || row.name >= span.before {
            let name = &row.name;
            let what = format!("The storage lists {name:?} after {last:?} where names {span} were asked for");
            let hint = "Order and compare the names by their bytes, without a locale.";
            return Err(Error::not_applied(ErrorKind::Unsafe, what).with_hint(hint));
        }
        last = &row.name;
    }
    Ok(())
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?} and before {:?}", self.after, self.before)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    fn row(name: &str) -> Row {
        Row::new(name, 1, DateTime::UNIX_EPOCH)
    }

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn prefix(name: &str) -> Prefix {
        if name.is_empty() { Prefix::root() } else { Prefix::parse(name).unwrap() }
    }

    /// Lists these names in pages of two, and counts the pages.
    fn list(
        names: &[&str],
        below: &str,
        after: Option<&str>,
    ) -> (BoxStream<'static, Result<Listed>>, Arc<AtomicUsize>) {
        let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        let (names, pages) = (Arc::new(names), Arc::new(AtomicUsize::new(0)));
        let counter = pages.clone();
        let listing = paged(&prefix(below), after.map(key).as_ref(), move |span| {
            counter.fetch_add(1, Ordering::SeqCst);
            let names = names.clone();
            async move {
                let within = names.iter().filter(|name| span.contains(name));
                Ok(within.take(2).map(|name| row(name)).collect())
            }
        });
        (listing, pages)
    }

    async fn names(listing: BoxStream<'static, Result<Listed>>) -> Vec<String> {
        let listed: Vec<_> = listing.try_collect().await.unwrap();
        listed.into_iter().map(|it| it.key.to_string()).collect()
    }

    #[tokio::test]
    async fn each_key_below_the_prefix_is_listed_once_in_order() {
        let stored = ["a", "a-b/1", "a.b/1", "a/1", "a/1/2", "a/2", "a/z", "a0", "a_b/1", "axb/1", "b"];
        for (below, after, expected) in [
            ("", None, &stored[..]),
            ("", Some("a/2"), &["a/z", "a0", "a_b/1", "axb/1", "b"]),
            ("a", None, &["a/1", "a/1/2", "a/2", "a/z"]),
            ("a", Some("a/1"), &["a/1/2", "a/2", "a/z"]),
            ("a", Some("a/10"), &["a/2", "a/z"]),
            // Before the first of them, and behind the last.
            ("a", Some("A"), &["a/1", "a/1/2", "a/2", "a/z"]),
            ("a", Some("a/z"), &[]),
            ("a", Some("a0"), &[]),
            ("a_b", None, &["a_b/1"]),
            ("c", None, &[]),
        ] {
            let found = names(list(&stored, below, after).0).await;
            assert_eq!(found, expected, "below {below:?} after {after:?}");
        }
    }

    #[tokio::test]
    async fn page_without_valid_keys_is_not_the_end() {
        let stored = ["a/ 1", "a/ 2", "a/ 3", "a/1", "a/b c", "a/c d", "a/d e", "a/z"];
        assert_eq!(names(list(&stored, "a", None).0).await, ["a/1", "a/z"]);
    }

    #[tokio::test]
    async fn page_is_read_only_when_the_rows_before_are_taken() {
        let (mut listing, pages) = list(&["1", "2", "3", "4", "5"], "", None);
        let mut read = Vec::new();
        loop {
            read.push(pages.load(Ordering::SeqCst));
            if listing.try_next().await.unwrap().is_none() {
                break;
            }
        }
        assert_eq!(read, [0, 1, 1, 2, 2, 3]);
        assert_eq!(pages.load(Ordering::SeqCst), 4, "the empty page is the end");
        assert!(listing.next().await.is_none());
        assert_eq!(pages.load(Ordering::SeqCst), 4, "and no page comes after it");
    }

    #[tokio::test]
    async fn range_without_names_needs_no_page() {
        let (listing, pages) = list(&["a/1"], "a", Some("b"));
        assert!(names(listing).await.is_empty());
        assert_eq!(pages.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn listing_ends_after_an_error() {
        let mut pages = vec![
            Ok(vec![row("c")]),
            Err(Error::not_applied(ErrorKind::Unavailable, "The page could not be read")),
            Ok(vec![row("a"), row("b")]),
        ];
        let listing = paged(&Prefix::root(), None, move |_| std::future::ready(pages.pop().unwrap()));
        let listed: Vec<_> = listing.collect().await;
        assert_eq!(listed.len(), 3);
        assert_eq!(listed.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn page_out_of_order_is_an_error() {
        for page in [vec!["b/2", "b/1"], vec!["b/1", "b/1"], vec!["b/1", "B/2"], vec!["a"], vec!["b/1", "c"]]
        {
            let rows: Vec<_> = page.iter().map(|name| row(name)).collect();
            let listing = paged(&prefix("b"), None, move |_| std::future::ready(Ok(rows.clone())));
            let error = listing.take(9).try_collect::<Vec<_>>().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsafe, "{page:?}: {error}");
            assert!(!error.is_of_one_object(), "the whole listing is in doubt: {error}");
        }
        // The same page again and again would be a listing without end.
        let listing = paged(&prefix("b"), None, |_| std::future::ready(Ok(vec![row("b/1")])));
        assert!(listing.take(9).try_collect::<Vec<_>>().await.is_err());
    }
}
