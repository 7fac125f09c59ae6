//! Translates results of the store into S3 replies.

use s3s::dto::*;
use s3s::{S3Error, S3Result, s3_error};

use crate::store::{Page, Query, Refusal, Stored, hex};

/// The maximum page size.
const PAGE: usize = 1000;

pub(crate) fn refused(refusal: Refusal) -> S3Error {
    match refusal {
        Refusal::NoBucket => s3_error!(NoSuchBucket),
        Refusal::NoKey => s3_error!(NoSuchKey),
        Refusal::NoUpload => s3_error!(NoSuchUpload),
        Refusal::BadPart => s3_error!(InvalidPart),
        Refusal::Condition => s3_error!(PreconditionFailed),
    }
}

pub(crate) fn etag(stored: &Stored) -> ETag {
    ETag::Strong(stored.etag.clone())
}

fn readable(
    stored: &Stored,
    if_match: Option<&IfMatch>,
    if_none_match: Option<&IfNoneMatch>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| condition.as_etag().is_none_or(|etag| etag.value() == stored.etag);
    if if_match.is_some_and(|condition| !is(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(is) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn length(length: usize) -> S3Result<i64> {
    i64::try_from(length).map_err(S3Error::internal_error)
}

pub(crate) fn got(
    stored: Stored,
    range: Option<Range>,
    if_match: Option<&IfMatch>,
    if_none_match: Option<&IfNoneMatch>,
) -> S3Result<GetObjectOutput> {
    readable(&stored, if_match, if_none_match)?;
    let e_tag = Some(etag(&stored));
    let whole = stored.content.bytes;
    let (bytes, content_range) = match range {
        None => (whole, None),
        Some(range) => {
            let total = whole.len();
            let found = range.check(total as u64).map_err(|_| s3_error!(InvalidRange))?;
            let start = usize::try_from(found.start).map_err(S3Error::internal_error)?;
            let end = usize::try_from(found.end).map_err(S3Error::internal_error)?;
            let named = format!("bytes {start}-{}/{total}", end.saturating_sub(1));
            (whole.slice(start..end), Some(named))
        }
    };
    Ok(GetObjectOutput {
        content_length: Some(length(bytes.len())?),
        body: Some(StreamingBlob::from(s3s::Body::from(bytes))),
        content_range,
        e_tag,
        accept_ranges: Some("bytes".to_owned()),
        last_modified: Some(stored.modified.into()),
        content_type: stored.content.content_type,
        metadata: Some(stored.content.metadata),
        ..Default::default()
    })
}

pub(crate) fn headed(
    stored: Stored,
    if_match: Option<&IfMatch>,
    if_none_match: Option<&IfNoneMatch>,
) -> S3Result<HeadObjectOutput> {
    readable(&stored, if_match, if_none_match)?;
    Ok(HeadObjectOutput {
        content_length: Some(length(stored.content.bytes.len())?),
        e_tag: Some(etag(&stored)),
        accept_ranges: Some("bytes".to_owned()),
        last_modified: Some(stored.modified.into()),
        content_type: stored.content.content_type,
        metadata: Some(stored.content.metadata),
        ..Default::default()
    })
}

pub(crate) fn page_query(input: &ListObjectsV2Input) -> S3Result<Query> {
    if input.encoding_type.is_some() {
        return Err(s3_error!(NotImplemented, "a list whose keys are encoded"));
    }
    let after = match &input.continuation_token {
        Some(token) => {
            Some(read_token(token).ok_or_else(|| s3_error!(InvalidArgument, "no such continuation token"))?)
        }
        None => input.start_after.clone(),
    };
    let limit = match input.max_keys {
        None => PAGE,
        Some(limit) => {
            usize::try_from(limit).map_err(|_| s3_error!(InvalidArgument, "max-keys below zero"))?.min(PAGE)
        }
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    Ok(Query { prefix, delimiter: input.delimiter.clone(), after, limit })
}

pub(crate) fn listed(input: ListObjectsV2Input, query: &Query, page: Page) -> ListObjectsV2Output {
    let contents: Vec<_> = page
        .objects
        .into_iter()
        .map(|(key, stored)| Object {
            e_tag: Some(etag(&stored)),
            size: i64::try_from(stored.content.bytes.len()).ok(),
            last_modified: Some(stored.modified.into()),
            key: Some(key),
            ..Default::default()
        })
        .collect();
    let prefixes: Vec<_> =
        page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect();
    ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(query.prefix.clone()),
        delimiter: query.delimiter.clone(),
        start_after: input.start_after,
        continuation_token: input.continuation_token,
        max_keys: i32::try_from(query.limit).ok(),
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(write_token),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        ..Default::default()
    }
}

/// Encoded so that it is not a valid key: a client that uses it as one is detected.
fn write_token(after: &str) -> String {
    format!("~{}", hex(after.as_bytes()))
}

fn read_token(token: &str) -> Option<String> {
    let digits = token.strip_prefix('~')?.as_bytes();
    let bytes = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}
