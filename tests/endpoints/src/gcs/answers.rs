//! Replies: objects, documents and errors.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::Response;
use serde::Serialize;

use super::asked::Reading;
use super::documents::Refused;
use super::fault::Fault;
use crate::store::{Refusal, Stored, When};

/// Returns status and code as listed in <https://cloud.google.com/storage/docs/xml-api/reference-status>.
pub(super) fn answer_fault(fault: Fault) -> Response<Full<Bytes>> {
    let (status, code) = match fault {
        Fault::NotModified => return empty(304, &[]),
        Fault::Refused(Refusal::NoBucket) => (404, "NoSuchBucket"),
        Fault::Refused(Refusal::NoKey) => (404, "NoSuchKey"),
        Fault::Refused(Refusal::NoUpload) => (404, "NoSuchUpload"),
        Fault::Refused(Refusal::BadPart) => (400, "InvalidPart"),
        Fault::Refused(Refusal::Condition) => (412, "PreconditionFailed"),
        Fault::Range => (416, "InvalidRange"),
        Fault::Bad => (400, "InvalidArgument"),
        Fault::Unknown => (501, "NotImplemented"),
    };
    let text = quick_xml::se::to_string(&Refused { code, message: code }).expect("two words are XML");
    response(status, &[("content-type", "application/xml".to_owned())], text.into())
}

/// Returns a reply with headers and no body.
pub(super) fn empty(status: u16, headers: &[(&str, String)]) -> Response<Full<Bytes>> {
    response(status, headers, Bytes::new())
}

/// Returns a document, with headers that identify the state of the object.
pub(super) fn answer_xml(
    document: &impl Serialize,
    about: Option<&Stored>,
) -> Result<Response<Full<Bytes>>, Fault> {
    let text = quick_xml::se::to_string(document).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as XML");
        Fault::Unknown
    })?;
    let mut headers = about.map(names).unwrap_or_default();
    headers.push(("content-type", "application/xml".to_owned()));
    Ok(response(200, &headers, text.into()))
}

/// Returns an object or a range of it, if the conditions hold.
pub(super) fn answer_object(stored: &Stored, asked: &Reading) -> Result<Response<Full<Bytes>>, Fault> {
    // Earlier generations are not kept.
    if asked.generation.is_some_and(|generation| generation != stored.generation) {
        return Err(Fault::Refused(Refusal::NoKey));
    }
    let is = |etag: &String| etag == "*" || *etag == stored.etag;
    let other_generation = match asked.when {
        When::Generation(expected) => expected != stored.generation,
        When::Absent => true,
        _ => false,
    };
    if other_generation || asked.if_match.as_ref().is_some_and(|etags| !etags.iter().any(is)) {
        return Err(Fault::Refused(Refusal::Condition));
    }
    if asked.if_none_match.as_ref().is_some_and(|etags| etags.iter().any(is)) {
        return Err(Fault::NotModified);
    }
    let whole = &stored.content.bytes;
    let mut headers = names(stored);
    headers.push(("last-modified", http_date(stored)));
    headers.extend(stored.content.content_type.clone().map(|value| ("content-type", value)));
    let metadata: Vec<(String, String)> = (stored.content.metadata.iter())
        .map(|(name, value)| (format!("x-goog-meta-{name}"), value.clone()))
        .collect();
    headers.extend(metadata.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let (status, bytes) = match &asked.range {
        None => (200, whole.clone()),
        Some(range) => {
            let found = range.check(whole.len() as u64).map_err(|_| Fault::Range)?;
            let (start, end) = (found.start as usize, found.end as usize);
            headers.push(("content-range", format!("bytes {start}-{}/{}", end - 1, whole.len())));
            (206, whole.slice(start..end))
        }
    };
    headers.push(("content-length", bytes.len().to_string()));
    Ok(response(status, &headers, bytes))
}

/// Returns the headers that identify this state of an object.
pub(super) fn names(stored: &Stored) -> Vec<(&'static str, String)> {
    vec![
        ("etag", format!("\"{}\"", stored.etag)),
        ("x-goog-generation", stored.generation.to_string()),
        ("x-goog-metageneration", "1".to_owned()),
    ]
}

fn http_date(stored: &Stored) -> String {
    DateTime::<Utc>::from(stored.modified).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// IMPORTANT: every value here is a number, a hash, or was received in a header.
fn response(status: u16, headers: &[(&str, String)], body: Bytes) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    builder.body(Full::new(body)).expect("headers that came or that we wrote")
}
