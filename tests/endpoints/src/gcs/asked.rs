//! Parses a request from its path, query and headers.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;
use s3s::dto::Range;

use super::fault::Fault;
use crate::store::{Content, Query, When};

/// The maximum page size of GCS.
const LONGEST_PAGE: usize = 1_000;
const USER_METADATA: &str = "x-goog-meta-";
/// These headers change what is stored, read or listed, and are not supported here.
const UNKNOWN_HEADERS: [&str; 8] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "if-modified-since",
    "if-unmodified-since",
    "x-goog-if-metageneration-match",
    "x-goog-storage-class",
];

/// The head of one request, decoded.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) bucket: String,
    /// Empty for a request about the bucket.
    pub(super) key: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
}

/// The conditions and the range of a read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) range: Option<Range>,
    pub(super) generation: Option<u64>,
    pub(super) when: When,
    /// ETags without quotes, or `*`.
    pub(super) if_match: Option<Vec<String>>,
    /// ETags without quotes, or `*`.
    pub(super) if_none_match: Option<Vec<String>>,
}

impl Asked {
    pub(super) fn read(head: &Parts) -> Result<Self, Fault> {
        if UNKNOWN_HEADERS.iter().any(|name| head.headers.contains_key(*name)) {
            return Err(Fault::Unknown);
        }
        let path = head.uri.path().trim_start_matches('/');
        let (bucket, key) = named(path)?;
        let query = head.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { method: head.method.clone(), bucket, key, query, headers: head.headers.clone() })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Returns the condition of a write. Generation 0 means "only if absent".
    pub(super) fn condition(&self) -> Result<When, Fault> {
        Ok(match self.header("x-goog-if-generation-match")? {
            None => When::Always,
            Some(generation) => match generation.parse().map_err(|_| Fault::Bad)? {
                0 => When::Absent,
                generation => When::Generation(generation),
            },
        })
    }

    pub(super) fn content(&self, bytes: Bytes) -> Result<Content, Fault> {
        let mut metadata = HashMap::new();
        for name in self.headers.keys() {
            if let Some(short) = name.as_str().strip_prefix(USER_METADATA) {
                metadata.insert(short.to_owned(), self.header(name.as_str())?.unwrap_or_default().to_owned());
            }
        }
        let content_type = self.header(header::CONTENT_TYPE.as_str())?.map(str::to_owned);
        Ok(Content { bytes, content_type, metadata })
    }

    /// Returns the bucket and key of the object to copy, if there is one.
    pub(super) fn copy_source(&self) -> Result<Option<(String, String)>, Fault> {
        let source = self.header("x-goog-copy-source")?;
        source.map(|source| named(source.trim_start_matches('/'))).transpose()
    }

    pub(super) fn reading(&self) -> Result<Reading, Fault> {
        let range = self.header(header::RANGE.as_str())?;
        let generation = self.query("generation").map(str::parse).transpose();
        Ok(Reading {
            range: range.map(Range::parse).transpose().map_err(|_| Fault::Bad)?,
            generation: generation.map_err(|_| Fault::Bad)?,
            when: self.condition()?,
            if_match: self.etags(header::IF_MATCH.as_str())?,
            if_none_match: self.etags(header::IF_NONE_MATCH.as_str())?,
        })
    }

    pub(super) fn listing(&self) -> Result<Query, Fault> {
        if self.query("list-type") != Some("2") {
            return Err(Fault::Unknown);
        }
        let limit = self.query("max-keys").map_or(Ok(LONGEST_PAGE), str::parse).map_err(|_| Fault::Bad)?;
        Ok(Query {
            prefix: self.query("prefix").unwrap_or_default().to_owned(),
            delimiter: self.query("delimiter").map(str::to_owned),
            // The token of a page is the last name on it, which is never before the name at which the first
            // page started.
            after: self.query("continuation-token").max(self.query("start-after")).map(str::to_owned),
            limit: limit.min(LONGEST_PAGE),
        })
    }

    fn etags(&self, name: &str) -> Result<Option<Vec<String>>, Fault> {
        let bare = |etag: &str| etag.trim().trim_matches('"').to_owned();
        Ok(self.header(name)?.map(|value| value.split(',').map(bare).collect()))
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Fault> {
        self.headers.get(name).map(|value| value.to_str().map_err(|_| Fault::Bad)).transpose()
    }
}

/// Returns the bucket and key in `bucket/key`; slashes of the key may be encoded too.
fn named(path: &str) -> Result<(String, String), Fault> {
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| Fault::Bad)
    };
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    Ok((decoded(bucket)?, decoded(key)?))
}
