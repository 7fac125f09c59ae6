//! The XML documents of requests and replies.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::store::{Page, Query, Stored};

#[derive(Debug, Serialize)]
#[serde(rename = "Error", rename_all = "PascalCase")]
pub(super) struct Refused<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Initiated<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) upload_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename = "CompleteMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Completed<'a> {
    bucket: &'a str,
    key: &'a str,
    #[serde(rename = "ETag")]
    etag: String,
}

#[derive(Debug, Serialize)]
#[serde(rename = "CopyObjectResult", rename_all = "PascalCase")]
pub(super) struct Copied {
    #[serde(rename = "ETag")]
    etag: String,
    last_modified: String,
}

#[derive(Debug, Serialize)]
#[serde(rename = "ListBucketResult", rename_all = "PascalCase")]
pub(super) struct Listing<'a> {
    name: &'a str,
    prefix: &'a str,
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_continuation_token: Option<&'a str>,
    contents: Vec<Listed<'a>>,
    common_prefixes: Vec<CommonPrefix<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    key: &'a str,
    generation: u64,
    meta_generation: u64,
    last_modified: String,
    #[serde(rename = "ETag")]
    etag: String,
    size: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommonPrefix<'a> {
    prefix: &'a str,
}

/// The list of parts of an object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompletedUpload {
    #[serde(default)]
    part: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

impl CompletedUpload {
    /// Returns numbers and ETags, without quotes, in the order of the document.
    pub(super) fn read(document: &[u8]) -> Result<Vec<(u32, String)>, Fault> {
        let read: Self = quick_xml::de::from_reader(document).map_err(|_| Fault::Bad)?;
        Ok(read
            .part
            .into_iter()
            .map(|part| (part.part_number, part.etag.trim_matches('"').to_owned()))
            .collect())
    }
}

impl<'a> Completed<'a> {
    pub(super) fn of(bucket: &'a str, key: &'a str, stored: &Stored) -> Self {
        Self { bucket, key, etag: quoted(stored) }
    }
}

impl Copied {
    pub(super) fn of(stored: &Stored) -> Self {
        Self { etag: quoted(stored), last_modified: timestamp(stored) }
    }
}

impl<'a> Listing<'a> {
    pub(super) fn of(bucket: &'a str, query: &'a Query, page: &'a Page) -> Self {
        let listed = |(key, stored): &'a (String, Stored)| Listed {
            key,
            generation: stored.generation,
            meta_generation: 1,
            last_modified: timestamp(stored),
            etag: quoted(stored),
            size: stored.content.bytes.len(),
        };
        Self {
            name: bucket,
            prefix: &query.prefix,
            is_truncated: page.next.is_some(),
            next_continuation_token: page.next.as_deref(),
            contents: page.objects.iter().map(listed).collect(),
            common_prefixes: page.prefixes.iter().map(|prefix| CommonPrefix { prefix }).collect(),
        }
    }
}

fn quoted(stored: &Stored) -> String {
    format!("\"{}\"", stored.etag)
}

fn timestamp(stored: &Stored) -> String {
    DateTime::<Utc>::from(stored.modified).to_rfc3339_opts(SecondsFormat::Millis, true)
}
