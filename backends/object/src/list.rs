//! Listings, page by page.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream};
use object_store::{ObjectMeta, list::PaginatedListOptions};
use pflow_backend::{BoxStream, Error, ErrorKind, Key, Listed, Prefix, Result};

use crate::{client::Client, doing::Doing};

/// The state of a listing.
struct Listing {
    client: Arc<Client>,
    /// The common beginning of all names of the place.
    root: String,
    /// The common beginning of the listed names.
    below: String,
    /// The full name after which the listing begins.
    offset: Option<String>,
    lines: VecDeque<ObjectMeta>,
    next_page: NextPage,
    /// The last name in the server's order.
    last: Option<String>,
}

enum NextPage {
    First,
    Behind(String),
    None,
}

/// Lists the objects below `prefix` after `after`: one request for each page, sent as the stream is polled.
pub(crate) fn lazily(
    client: Arc<Client>,
    prefix: &Prefix,
    after: Option<&Key>,
) -> BoxStream<'static, Result<Listed>> {
    let root = client.root();
    let below = prefix.key().map_or_else(|| root.clone(), |key| format!("{root}{key}/"));
    // A server lists names after the offset and below the prefix. If the offset is not below the prefix, only
    // the prefix is needed, or nothing is listed.
    let after = after.map(|key| format!("{root}{key}"));
    let next_page = match &after {
        Some(after) if !after.starts_with(&below) && *after > below => NextPage::None,
        _ => NextPage::First,
    };
    let offset = after.filter(|after| after.starts_with(&below));
    let listing = Listing { client, root, below, offset, lines: VecDeque::new(), next_page, last: None };
    let lines = stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match listing.next().await {
            Ok(line) => line.map(|line| (Ok(line), Some(listing))),
            // After an error the listing ends.
            Err(error) => Some((Err(error), None)),
        }
    });
    lines.boxed()
}

impl Listing {
    /// Returns the next object with a valid key; none at the end.
    async fn next(&mut self) -> Result<Option<Listed>> {
        loop {
            self.fill(1).await?;
            let Some(line) = self.lines.pop_front() else { return Ok(None) };
            let name = line.location.to_string();
            if !self.is_in_order(&name, line.size)? {
                continue;
            }
            let is_behind = self.offset.as_ref().is_none_or(|offset| name > *offset);
            let key = name.strip_prefix(&self.root).filter(|_| is_behind && name.starts_with(&self.below));
            let Some(key) = key else { continue };
            let Ok(key) = Key::parse(key) else {
                // Another program created it.
                self.client.foreign.add(&name);
                continue;
            };
            if line.size == 0 && self.is_a_folder(&name).await? {
                continue;
            }
            return Ok(Some(Listed::new(key, line.size, line.last_modified)));
        }
    }

    /// Checks that the entry is in order, so that none was missed.
    ///
    /// Consoles create empty objects named `a/` for folders. object_store shows them without the slash, so
    /// that they come after `a-b`: those are skipped. Any other entry out of order means that "after the last
    /// key" has no meaning on this server.
    fn is_in_order(&mut self, name: &str, size: u64) -> Result<bool> {
        let folder = format!("{name}/");
        let (own, is_object) = match &self.last {
            Some(last) if last.as_str() >= name && size == 0 && *last < folder => (folder, false),
            Some(last) if last.as_str() >= name => {
                let place = &self.client.place;
                let sentence = format!(
                    "The endpoint {} lists {name} behind {last}: listings of {} are not in the order of their names",
                    place.endpoint, place.url
                );
                return Err(Error::not_applied(ErrorKind::Unsafe, sentence));
            }
            _ => (name.to_owned(), true),
        };
        self.last = Some(own);
        Ok(is_object)
    }

    /// Whether the empty object `name` that was just read is a folder's `name/`: then the next entry is below
    /// it. No entry is below an object.
    async fn is_a_folder(&mut self, name: &str) -> Result<bool> {
        self.fill(1).await?;
        let next = self.lines.front().map(|line| line.location.as_ref());
        Ok(next.and_then(|next| next.strip_prefix(name)).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Requests pages until there are that many entries, or no more pages.
    async fn fill(&mut self, lines: usize) -> Result<()> {
        while self.lines.len() < lines {
            let page_token = match &self.next_page {
                NextPage::First => None,
                NextPage::Behind(token) => Some(token.clone()),
                NextPage::None => return Ok(()),
            };
            let options = || PaginatedListOptions {
                offset: self.offset.clone(),
                page_token: page_token.clone(),
                ..PaginatedListOptions::default()
            };
            // A failed page is requested again with the same token, so that a failure in the middle misses
            // nothing.
            let _turn = self.client.turn().await?;
            let mut attempts = self.client.attempts();
            let page = self.client.repeat(&mut attempts, || self.client.page(&self.below, options())).await;
            let page = page.map_err(|fault| fault.error(&self.client.place, Doing::List))?;
            self.lines.extend(page.result.objects);
            self.next_page =
                page.page_token.filter(|it| !it.is_empty()).map_or(NextPage::None, NextPage::Behind);
        }
        Ok(())
    }
}
