//! The S3 operations on the store, with the enabled quirks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::quirks::Quirks;
use crate::s3_answers::{etag, got, headed, listed, page_query, refused};
use crate::store::{Content, Refusal, Store, Stored, When};

/// How long a conditional write lets other writes come in between, if a quirk needs a race.
const TURN: Duration = Duration::from_millis(5);

/// How many turns a racy server waits for a second writer of the key, so that races also happen on a busy
/// machine.
const TURNS: u32 = 40;

/// The store behind the S3 operations.
#[derive(Debug, Clone)]
pub(crate) struct S3Store {
    pub(crate) store: Arc<Store>,
    pub(crate) quirks: Arc<Mutex<Quirks>>,
    /// The number of conditional writes per key that are between their check and their write.
    pub(crate) between: Arc<Mutex<HashMap<(String, String), usize>>>,
}

/// A conditional write between its check and its write, until it is dropped.
struct Between<'a> {
    writes: &'a Mutex<HashMap<(String, String), usize>>,
    key: (String, String),
}

impl<'a> Between<'a> {
    fn enter(writes: &'a Mutex<HashMap<(String, String), usize>>, bucket: &str, key: &str) -> Self {
        let entered = Self { writes, key: (bucket.to_owned(), key.to_owned()) };
        *entered.lock().entry(entered.key.clone()).or_default() += 1;
        entered
    }

    fn is_alone(&self) -> bool {
        self.lock().get(&self.key).is_none_or(|writes| *writes < 2)
    }

    fn lock(&self) -> MutexGuard<'a, HashMap<(String, String), usize>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Between<'_> {
    fn drop(&mut self) {
        if let Some(writes) = self.lock().get_mut(&self.key) {
            *writes -= 1;
        }
    }
}

impl S3Store {
    fn quirks(&self) -> Quirks {
        *self.quirks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes a conditional write, with the quirks of this server.
    async fn conditional(
        &self,
        bucket: &str,
        key: &str,
        when: When,
        write: impl FnOnce(&When) -> Result<Stored, Refusal>,
    ) -> S3Result<Stored> {
        let quirks = self.quirks();
        if when == When::Always || !quirks.lets_others_in() {
            return write(&when).map_err(refused);
        }
        let before = self.store.changed(bucket, key);
        let checked = if quirks.racy { Some(self.store.check(bucket, key, &when)) } else { None };
        let entered = Between::enter(&self.between, bucket, key);
        for _ in 0..if matches!(checked, Some(Ok(()))) { TURNS } else { 0 } {
            if !entered.is_alone() {
                break;
            }
            tokio::time::sleep(TURN).await;
        }
        // A writer that waited for this one must notice it before it writes and leaves.
        tokio::time::sleep(TURN * 2).await;
        drop(entered);
        let result = match checked {
            // The write relies on an outdated check: exactly what a server must not do.
            Some(Ok(())) => write(&When::Always),
            Some(Err(refusal)) => Err(refusal),
            None => write(&when),
        };
        match result {
            Err(Refusal::Condition | Refusal::NoKey) if self.store.changed(bucket, key) != before => {
                if quirks.error_500_on_lost_race {
                    Err(s3_error!(InternalError, "another write came in between"))
                } else if quirks.conflict_409_on_race {
                    Err(s3_error!(ConditionalRequestConflict, "another write came in between"))
                } else {
                    result.map_err(refused)
                }
            }
            result => result.map_err(refused),
        }
    }

    /// Returns the condition of a write, as this server understands it.
    fn when<T>(
        &self,
        request: &S3Request<T>,
        if_match: Option<&IfMatch>,
        if_none_match: Option<&IfNoneMatch>,
    ) -> S3Result<When> {
        let quirks = self.quirks();
        match (if_match, if_none_match) {
            (Some(_), Some(_)) => Err(s3_error!(NotImplemented, "If-Match and If-None-Match at once")),
            (Some(_), None) if quirks.ignores_if_match => Ok(When::Always),
            (Some(ETagCondition::Any), None) => Ok(When::Present),
            (Some(ETagCondition::ETag(expected)), None) => {
                let quoted =
                    request.headers.get("if-match").is_some_and(|raw| raw.as_bytes().starts_with(b"\""));
                // No content has this ETag.
                let wrong = quirks.if_match_unquoted_only && quoted;
                Ok(When::Etag(if wrong { String::new() } else { expected.value().to_owned() }))
            }
            (None, Some(_)) if quirks.ignores_if_none_match => Ok(When::Always),
            (None, Some(ETagCondition::Any)) => Ok(When::Absent),
            (None, Some(ETagCondition::ETag(_))) => {
                Err(s3_error!(NotImplemented, "a write knows If-None-Match: * alone"))
            }
            (None, None) => Ok(When::Always),
        }
    }
}

/// Returns the complete body, or an error: a partly received body is never stored.
async fn body(stream: Option<StreamingBlob>, length: Option<i64>) -> S3Result<bytes::Bytes> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.map_err(|error| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
            bytes.extend_from_slice(&chunk);
        }
    }
    match length {
        Some(length) if usize::try_from(length) != Ok(bytes.len()) => {
            Err(s3_error!(IncompleteBody, "{} bytes came, {length} were announced", bytes.len()))
        }
        _ => Ok(bytes.into()),
    }
}

fn part_number(number: Option<i32>) -> S3Result<u32> {
    number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| s3_error!(InvalidArgument, "parts are numbered from 1 to 10000"))
}

#[async_trait::async_trait]
impl S3 for S3Store {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let when =
            self.when(&request, request.input.if_match.as_ref(), request.input.if_none_match.as_ref())?;
        let bytes = body(request.input.body.take(), request.input.content_length).await?;
        let PutObjectInput { bucket, key, metadata, content_type, .. } = request.input;
        let content = Content { bytes, content_type, metadata: metadata.unwrap_or_default() };
        let stored = self
            .conditional(&bucket, &key, when, |when| self.store.put(&bucket, &key, content, when))
            .await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag(&stored)), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let stored = self.store.get(&input.bucket, &input.key).map_err(refused)?;
        got(stored, input.range, input.if_match.as_ref(), input.if_none_match.as_ref()).map(S3Response::new)
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let stored = self.store.get(&input.bucket, &input.key).map_err(refused)?;
        headed(stored, input.if_match.as_ref(), input.if_none_match.as_ref()).map(S3Response::new)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let when = self.when(&request, request.input.if_match.as_ref(), None)?;
        self.store.delete(&request.input.bucket, &request.input.key, &when).map_err(refused)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let mut deleted = Vec::new();
        for object in delete.objects {
            self.store.delete(&bucket, &object.key, &When::Always).map_err(refused)?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        let deleted = (delete.quiet != Some(true)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let query = page_query(&request.input)?;
        let page = self.store.list(&request.input.bucket, &query).map_err(refused)?;
        Ok(S3Response::new(listed(request.input, &query, page)))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "a copy is of an object's newest version in a bucket"));
        };
        if input.copy_source_if_match.is_some() || input.copy_source_if_none_match.is_some() {
            return Err(s3_error!(NotImplemented, "a copy under a condition"));
        }
        let replaces =
            input.metadata_directive.as_ref().is_some_and(|how| how.as_str() == MetadataDirective::REPLACE);
        let metadata = replaces.then(|| input.metadata.unwrap_or_default());
        let to = (input.bucket.as_str(), input.key.as_str());
        let stored = self.store.copy((bucket, key), to, metadata, &When::Always).map_err(refused)?;
        let result = CopyObjectResult {
            e_tag: Some(etag(&stored)),
            last_modified: Some(stored.modified.into()),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, metadata, content_type, .. } = request.input;
        let content = Content { content_type, metadata: metadata.unwrap_or_default(), ..Content::default() };
        let id = self.store.begin_upload(&bucket, &key, content).map_err(refused)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = request.input;
        let number = part_number(Some(input.part_number))?;
        let bytes = body(input.body.take(), input.content_length).await?;
        let at = (input.bucket.as_str(), input.key.as_str());
        let etag = self.store.upload_part(at, &input.upload_id, number, bytes).map_err(refused)?;
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let when =
            self.when(&request, request.input.if_match.as_ref(), request.input.if_none_match.as_ref())?;
        let CompleteMultipartUploadInput { bucket, key, upload_id, multipart_upload, .. } = request.input;
        let mut parts = Vec::new();
        for part in multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            let number = part_number(part.part_number)?;
            let etag = part.e_tag.ok_or_else(|| s3_error!(InvalidPart, "a part is named by its ETag"))?;
            parts.push((number, etag.into_value()));
        }
        let write = |when: &When| self.store.complete_upload((&bucket, &key), &upload_id, &parts, when);
        let stored = self.conditional(&bucket, &key, when, write).await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            e_tag: Some(etag(&stored)),
            bucket: Some(bucket),
            key: Some(key),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.store.abort_upload((&input.bucket, &input.key), &input.upload_id).map_err(refused)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
