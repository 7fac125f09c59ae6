//! Reads what the caller gives: ids and documents.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, IsTerminal, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use pflow_store::{
    Error, WorkflowId,
    document::{DocumentError, DocumentFormat, Limits},
};

use rustix::fs::OFlags;

use super::{
    failure::{Failure, Result},
    session::{Session, shown},
};

/// Parses an id. An argument that is not UTF-8 is refused like any other invalid id, and is shown with
/// replacement characters.
pub(super) fn id(text: &OsStr) -> Result<WorkflowId> {
    Ok(WorkflowId::parse(text.to_string_lossy()).map_err(Error::from)?)
}

/// Parses the name of a format. The help lists all names.
pub(super) fn formats() -> impl TypedValueParser<Value = DocumentFormat> {
    PossibleValuesParser::new(DocumentFormat::ALL.map(DocumentFormat::name))
        .try_map(|name| name.parse::<DocumentFormat>())
}

/// The format that the name of a file tells; none if it is to be detected.
pub(super) fn format_of(path: &Path) -> Option<DocumentFormat> {
    DocumentFormat::of_file_name(&path.file_name()?.to_string_lossy())
}

/// The maximum size of a document in bytes.
fn max_bytes() -> usize {
    Limits::new().max_bytes
}

/// Reads the document for `id` from the file, or from stdin if there is none or it is `-`. The first signal
/// ends the wait for it.
pub(super) async fn document(session: &Session<'_>, id: &WorkflowId, file: Option<&Path>) -> Result<Vec<u8>> {
    let file = file.filter(|file| *file != Path::new("-")).map(Path::to_owned);
    if file.is_none() && io::stdin().is_terminal() {
        return Err(Failure::usage("no FILE is given, and stdin is a terminal")
            .with_hint("name a file, or pipe the document in"));
    }
    let id = id.clone();
    // Both reads may block until another process writes: a file may be a pipe.
    let reading = tokio::task::spawn_blocking(move || match &file {
        Some(path) => read_file(&id, path),
        None => read_all(&id, io::stdin().lock(), |error| Failure::file("read", "stdin", &error)),
    });
    let read = session.signals.unless(reading).await?;
    read.unwrap_or_else(|error| Err(Failure::failed(format!("Failed to read: {error}"))))
}

/// Reads a file, unless it is larger than the limit for documents. If it is a pipe, this waits for its
/// writer.
pub(super) fn read_file(id: &WorkflowId, path: &Path) -> Result<Vec<u8>> {
    read_opened(id, path, File::open(path))
}

/// The same for a regular file. Opening it never waits for another process, even if a pipe has replaced the
/// file since it was examined.
pub(super) fn read_regular_file(id: &WorkflowId, path: &Path) -> Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = File::options().read(true).custom_flags(flags).open(path).and_then(|file| {
        let is_regular = file.metadata()?.is_file();
        if is_regular { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    });
    read_opened(id, path, opened)
}

fn read_opened(id: &WorkflowId, path: &Path, opened: io::Result<File>) -> Result<Vec<u8>> {
    let failed = |error| Failure::file("read", shown(path), &error);
    let file = opened.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let limit = max_bytes();
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if metadata.is_file() && size > limit {
        return Err(
            Error::Document { id: id.clone(), source: DocumentError::TooLarge { size, limit } }.into()
        );
    }
    read_all(id, file, failed)
}

/// Reads to the end, but at most one byte more than the limit, so that an endless input does not fill the
/// memory.
fn read_all(id: &WorkflowId, source: impl Read, failed: impl Fn(io::Error) -> Failure) -> Result<Vec<u8>> {
    let limit = max_bytes();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    source.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        let message = format!("the document for {id} is refused: it has more than {limit} bytes");
        return Err(Failure::refused(message));
    }
    Ok(bytes)
}
