//! Reading: whole objects, from which ranges are cut.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use object_store::{
    Attributes, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result,
    path::Path,
};
use pflow_backend::{Meta, Object, StorageBackend};

use super::{
    error::{failed, generic, not_found},
    escape,
};

pub(super) async fn get(
    backend: &dyn StorageBackend,
    location: &Path,
    options: GetOptions,
) -> Result<GetResult> {
    if options.version.is_some() {
        return Err(Error::NotSupported { source: "It keeps no object's earlier versions".into() });
    }
    let (meta, range, bytes) = if options.head {
        let meta = described(location, head(backend, location).await?);
        check_conditions(&options, &meta)?;
        (meta, 0..0, Bytes::new())
    } else {
        let object = object(backend, location).await?;
        let meta = described(location, object.meta);
        check_conditions(&options, &meta)?;
        let (range, bytes) = match &options.range {
            Some(range) => cut(&object.bytes, range)?,
            None => (0..object.bytes.len() as u64, object.bytes),
        };
        (meta, range, bytes)
    };
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::once(future::ready(Ok(bytes))).boxed()),
        meta,
        range,
        attributes: Attributes::new(),
        extensions: Extensions::new(),
    })
}

/// Reads the object once, and cuts all ranges from that state.
pub(super) async fn ranges(
    backend: &dyn StorageBackend,
    location: &Path,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>> {
    let object = object(backend, location).await?;
    ranges
        .iter()
        .map(|range| cut(&object.bytes, &GetRange::Bounded(range.clone())).map(|(_, bytes)| bytes))
        .collect()
}

/// Reads the whole object.
pub(super) async fn object(backend: &dyn StorageBackend, location: &Path) -> Result<Object> {
    let key = escape::key(location).map_err(|why| not_found(location, why))?;
    let found = backend.get(&key).await.map_err(|error| failed(location, error))?;
    found.ok_or_else(|| not_found(location, "There is none"))
}

/// Reads the metadata without the bytes.
pub(super) async fn head(backend: &dyn StorageBackend, location: &Path) -> Result<Meta> {
    let key = escape::key(location).map_err(|why| not_found(location, why))?;
    let found = backend.stat(&key).await.map_err(|error| failed(location, error))?;
    found.ok_or_else(|| not_found(location, "There is none"))
}

fn described(location: &Path, meta: Meta) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        last_modified: meta.modified,
        size: meta.size,
        e_tag: Some(meta.version.as_str().to_owned()),
        version: None,
    }
}

/// Checks the conditions of a read. object_store parses the `e_tag` of a condition as a comma-separated list;
/// our version may contain a comma, so the whole text is compared first.
fn check_conditions(options: &GetOptions, meta: &ObjectMeta) -> Result<()> {
    let mut options = options.clone();
    for tag in [&mut options.if_match, &mut options.if_none_match] {
        if tag.is_some() && *tag == meta.e_tag {
            *tag = Some("*".to_owned());
        }
    }
    options.check_preconditions(meta)
}

fn cut(bytes: &Bytes, range: &GetRange) -> Result<(Range<u64>, Bytes)> {
    let range = range.as_range(bytes.len() as u64).map_err(generic)?;
    let start = usize::try_from(range.start).map_err(generic)?;
    let end = usize::try_from(range.end).map_err(generic)?;
    Ok((range, bytes.slice(start..end)))
}
