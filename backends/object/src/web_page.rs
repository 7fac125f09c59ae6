//! Detects whether a success comes from a web server instead of an object server: a console, a load balancer,
//! a captive portal.
//!
//! Such servers answer 200 to every method and path, some with an `ETag` and a date. But their answers differ
//! from a real success:
//!
//! | request | an object server | a web server |
//! | --- | --- | --- |
//! | PUT, DELETE | answers without a body; some emulators describe the object in JSON or XML to a PUT | a body |
//! | a listing | XML | HTML |
//! | GET, HEAD | the type that the object was stored with, which is never HTML for ours | HTML |
//! | GET, DELETE of a missing key | 404 with a code, or with a header of the cloud | 404 without (see `wire.rs`) |
//!
//! An HTML object that another program stored is distinguished from a page by the headers that every answer
//! of the three clouds has. The content type alone is not enough: moto answers writes with `text/html` and no
//! body.

use object_store::client::{HttpError, HttpRequest, HttpResponse};
use pflow_backend::Bytes;

/// The purpose of a request, as far as it matters for its success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Listing,
    /// An object, or its metadata.
    Object,
    Put,
    Delete,
    Other,
}

impl Asked {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let is_listing =
            |query: &str| query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"));
        match request.method().as_str() {
            "GET" if request.uri().query().is_some_and(is_listing) => Self::Listing,
            "GET" | "HEAD" => Self::Object,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// Returns the answer if it may come from an object server; none if it is a web page. The bodies of writes
/// and of listings are read.
pub(crate) async fn ruled_out(asked: Asked, answer: HttpResponse) -> Result<Option<HttpResponse>, HttpError> {
    if asked == Asked::Other {
        return Ok(Some(answer));
    }
    if asked == Asked::Object {
        return Ok((!is_html(&answer) || is_of_a_cloud(&answer)).then_some(answer));
    }
    let describes_an_object = is_described(&answer) && answer.headers().contains_key("etag");
    let (head, body) = answer.into_parts();
    let body: Bytes = body.bytes().await?;
    let is_a_page = match asked {
        Asked::Listing => begins_as_html(&body),
        Asked::Put => !body.is_empty() && !describes_an_object,
        _ => !body.is_empty(),
    };
    Ok((!is_a_page).then(|| HttpResponse::from_parts(head, body.into())))
}

/// The media type, without its parameters.
fn content_type(answer: &HttpResponse) -> String {
    let value = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    value.and_then(|it| it.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_html(answer: &HttpResponse) -> bool {
    matches!(content_type(answer).as_str(), "text/html" | "application/xhtml+xml")
}

fn is_described(answer: &HttpResponse) -> bool {
    matches!(content_type(answer).as_str(), "application/json" | "application/xml" | "text/xml")
}

/// Whether it has a header that every answer of one of the three clouds has.
pub(crate) fn is_of_a_cloud(answer: &HttpResponse) -> bool {
    let beginnings = ["x-amz", "x-goog-", "x-guploader-", "x-ms-"];
    answer.headers().keys().any(|name| beginnings.iter().any(|it| name.as_str().starts_with(it)))
}

fn begins_as_html(body: &[u8]) -> bool {
    let beginning = body.trim_ascii_start().get(..14).unwrap_or(body.trim_ascii_start());
    let beginning = beginning.to_ascii_lowercase();
    beginning.starts_with(b"<html") || beginning.starts_with(b"<!doctype html")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
        let mut answer = HttpResponse::new(Bytes::from_static(body.as_bytes()).into());
        for (name, value) in headers {
            answer.headers_mut().insert(*name, value.parse().unwrap());
        }
        answer
    }

    async fn passes(asked: Asked, headers: &[(&'static str, &'static str)], body: &'static str) -> bool {
        ruled_out(asked, answer(headers, body)).await.unwrap().is_some()
    }

    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const ETAG: (&str, &str) = ("etag", "\"1\"");
    const JSON: (&str, &str) = ("content-type", "application/json");
    const PAGE: &str = "<!DOCTYPE html><html>sign in</html>";

    #[tokio::test]
    async fn successes_of_object_servers_pass() {
        for asked in [Asked::Put, Asked::Delete] {
            assert!(passes(asked, &[ETAG], "").await, "{asked:?}: AWS");
            assert!(passes(asked, &[HTML, ETAG], "").await, "{asked:?}: moto");
        }
        assert!(passes(Asked::Put, &[JSON, ETAG], r#"{"name":"a"}"#).await, "emulators of GCS");
        assert!(passes(Asked::Listing, &[], "<?xml version=\"1.0\"?><ListBucketResult/>").await);
        assert!(passes(Asked::Object, &[ETAG], PAGE).await, "bytes are not looked at");
        assert!(
            passes(Asked::Object, &[HTML, ETAG, ("x-amz-request-id", "1")], PAGE).await,
            "stored as HTML"
        );
        assert!(passes(Asked::Other, &[HTML], PAGE).await);
    }

    #[tokio::test]
    async fn web_pages_are_ruled_out() {
        for asked in [Asked::Put, Asked::Delete, Asked::Listing, Asked::Object] {
            assert!(!passes(asked, &[HTML, ETAG], PAGE).await, "{asked:?}");
        }
        for asked in [Asked::Put, Asked::Delete] {
            assert!(!passes(asked, &[ETAG, ("content-type", "text/plain")], "ok").await, "{asked:?}");
        }
        assert!(!passes(Asked::Delete, &[JSON, ETAG], r#"{"ok":true}"#).await);
        assert!(!passes(Asked::Put, &[JSON], r#"{"ok":true}"#).await);
        assert!(!passes(Asked::Listing, &[], "\n<HTML>").await);
    }
}
