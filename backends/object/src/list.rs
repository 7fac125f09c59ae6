//! Listings, page by page.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream};
use object_store::{ObjectMeta, list::PaginatedListOptions};
use pflow_backend::{BoxStream, Error, ErrorKind, Key, Listed, Prefix, Result};

use crate::{client::Client, doing::Doing};

/// Where a listing stands.
struct Listing {
    client: Arc<Client>,
    /// What the names of the whole place begin with.
    root: String,
    /// What the names listed begin with.
    below: String,
    /// The whole name behind which the listing begins.
    offset: Option<String>,
    lines: VecDeque<ObjectMeta>,
    next_page: NextPage,
    /// The last name as the server orders it.
    last: Option<String>,
}

enum NextPage {
    First,
    Behind(String),
    None,
}

/// The objects below `prefix` behind `after`: one request for each page, asked for as the listing is polled.
pub(crate) fn lazily(
    client: Arc<Client>,
    prefix: &Prefix,
    after: Option<&Key>,
) -> BoxStream<'static, Result<Listed>> {
    let root = client.root();
    let below = prefix.key().map_or_else(|| root.clone(), |key| format!("{root}{key}/"));
    // A server looks for names behind the offset and below the prefix; where the two do not meet it needs
    // only one of them.
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
    /// The next object of the contract; none at the end.
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
                // Another program put it there.
                self.client.foreign.add(&name);
                continue;
            };
            if line.size == 0 && self.is_a_folder(&name).await? {
                continue;
            }
            return Ok(Some(Listed { key, size: line.size, modified: line.last_modified }));
        }
    }

    /// Whether the line is where it belongs, so that nothing was missed.
    ///
    /// Consoles keep empty objects named `a/` for folders. object_store shows them without the slash, where
    /// they stand behind `a-b`: those are passed over. Anything else out of order means that "behind the last
    /// key" has no sense on this server.
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
                return Err(Error::new(ErrorKind::Unsafe, sentence));
            }
            _ => (name.to_owned(), true),
        };
        self.last = Some(own);
        Ok(is_object)
    }

    /// Whether the empty object `name`, just taken off, is a folder's `name/`: the next line stands below it,
    /// which none does below an object.
    async fn is_a_folder(&mut self, name: &str) -> Result<bool> {
        self.fill(1).await?;
        let next = self.lines.front().map(|line| line.location.as_ref());
        Ok(next.and_then(|next| next.strip_prefix(name)).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Asks for pages until there are that many lines, or no more pages.
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
            // A page is asked for again under the same token, so that a failure in the middle repeats and
            // misses nothing.
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
