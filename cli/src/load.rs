use std::{
    ffi::{OsStr, OsString},
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Args;
use pflow_store::{LiveCopy, LiveState, Loaded, WorkflowId, format::VersionRecord};

use super::{
    documents::LoadedContent,
    failure::{Failure, Result},
    input,
    session::{Session, shown},
};

const MORE: &str = "\
Examples:
  pflow-store load greet | jq .nodes
  pflow-store load greet --generation 2      as it was
  pflow-store load greet --live              the file in the store's folder, saved or not
  pflow-store load greet -o greet.json       replaces the file in one step";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Load {
    /// The workflow
    id: OsString,

    /// Load this generation instead of the current one
    #[arg(long, value_name = "N")]
    generation: Option<u64>,

    /// Load the working copy as it is now, with what people and programs changed in it
    #[arg(long, conflicts_with = "generation")]
    live: bool,

    /// Write into a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Load {
    /// Prints the content, or writes it into a file.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let loaded = session
            .reading(async {
                match self.generation {
                    Some(generation) => store.load_generation(&id, generation).await.map(Content::saved),
                    None if self.live => store.load_live(&id).await.map(Content::live),
                    None => store.load(&id).await.map(Content::saved),
                }
            })
            .await?;
        let file = self.output.filter(|file| file != Path::new("-"));
        if let Some(path) = &file {
            write(path, &loaded.content, &session.environment.new_id())
                .map_err(|error| Failure::file("write", shown(path), &error))?;
            if session.output.is_json() {
                return session.answer("", &loaded.document(Some(shown(path))));
            }
            let what = loaded.in_words();
            session.output.note(&format!("{id}: {what} written to {}", shown(path)));
            Ok(())
        } else if session.output.is_json() {
            session.answer("", &loaded.document(None))
        } else {
            session.bytes(&loaded.content)
        }
    }
}

/// What was loaded.
struct Content {
    id: WorkflowId,
    record: VersionRecord,
    content: Bytes,
    /// None for a version.
    live: Option<LiveState>,
}

impl Content {
    fn saved(Loaded { id, record, content, .. }: Loaded) -> Self {
        Self { id, record, content, live: None }
    }

    fn live(LiveCopy { id, record, content, state, .. }: LiveCopy) -> Self {
        Self { id, record, content, live: Some(state) }
    }

    fn in_words(&self) -> String {
        let generation = self.record.generation;
        match self.live {
            None | Some(LiveState::Saved) => format!("generation {generation}"),
            Some(_) => format!("the working copy, which is not generation {generation},"),
        }
    }

    /// The content as JSON, or the name of the file that it was written to.
    fn document(&self, file: Option<String>) -> LoadedContent<'_> {
        let live = self.live.map(|state| state != LiveState::Saved);
        LoadedContent::new(&self.id, &self.record, &self.content, file).differing(live)
    }
}

/// Writes the content into a new file beside `path` and renames it, so readers see the old content or the new
/// one, never a part. Links are followed. What is not a regular file (`/dev/stdout`, a pipe) is written
/// directly.
fn write(path: &Path, content: &[u8], nonce: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        other => other?,
    };
    let there = fs::metadata(&path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(content);
    }
    let mut beside = OsString::from(".");
    beside.push(path.file_name().unwrap_or(OsStr::new("load")));
    beside.push(format!(".{nonce}"));
    let beside = path.with_file_name(beside);
    let written = (|| {
        let mut file = fs::File::create_new(&beside)?;
        file.write_all(content)?;
        if let Some(there) = there {
            file.set_permissions(there.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        // The incomplete file is removed. The error that is returned is that of the write.
        drop(fs::remove_file(&beside));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_in_one_step_through_links_with_its_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.json"), folder.path().join("link"));
        write(&file, b"1", "n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write(&link, b"2", "n").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
        assert!(write(folder.path(), b"3", "n").is_err());
    }
}
