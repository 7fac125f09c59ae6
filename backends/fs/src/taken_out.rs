//! A copy that was taken out of its place: it stays in `staging/` for a while, because an editor may have it
//! open and write to it.
//!
//! **Rule:** a file that a person may edit is removed only by the next checkpoint or `close` after the one
//! that took it out, and only if it still holds what it held then. If it changed it goes to `quarantine/`.
//! What is written to it after that last look is lost; nothing tells who has a file open.
//!
//! Its name says what it held, so that any process can look again: `out.<epoch>.<sha-256>.<number>.<key>`.
//! Where it held what may be the work of a person, there is `part` in place of the hash: no file holds that,
//! so the next look moves it to `quarantine/`, whichever process has it.

use pflow_backend::{Key, Result, Version};

use crate::{
    files::{copy, hash_open},
    folder::Folder,
    journal::QUARANTINE,
};

const MARK: &str = "out";
/// In place of a hash; no hash is so short.
const PART: &str = "part";
/// How much of a key is in a name: with everything else it stays below the 255 bytes that file systems take.
const LONGEST_KEY: usize = 100;

/// The name of a file that was taken out of the place of `key` and holds `version`, or without one what may
/// be the work of a person.
pub(crate) fn name(epoch: u64, version: Option<&Version>, number: &str, key: &Key) -> String {
    let held = version.map_or(PART, Version::as_str);
    format!("{MARK}.{epoch}.{held}.{number}.{}", flat(key))
}

/// A key as a part of one name: its end, if it is long.
fn flat(key: &Key) -> String {
    let flat = key.as_str().replace('/', "-");
    flat.get(flat.len().saturating_sub(LONGEST_KEY)..).unwrap_or(&flat).to_owned()
}

/// What a file of this name held when it was taken out; none if the name is another one.
pub(crate) fn held(name: &str) -> Option<&str> {
    let mut parts = name.splitn(5, '.');
    let is_mark = parts.next() == Some(MARK);
    let version = parts.nth(1)?;
    (is_mark && parts.next().is_some()).then_some(version)
}

/// Whether the file still holds what its name says.
pub(crate) fn is_unchanged(staging: &Folder, name: &str) -> Result<bool> {
    let Some((file, status)) = staging.open_file(name)? else { return Ok(true) };
    Ok(held(name) == Some(hash_open(&file, &status)?.0.as_str()))
}

/// Moves a file or folder of `.journal` to `quarantine/`, durably with its bytes, where people find it.
///
/// # Errors
/// It is where it was, and may not be durable there.
pub(crate) fn keep(journal: &Folder, from: &Folder, name: &str, kept: &str) -> Result<()> {
    if let Some((file, status)) = from.open_file(name)?
        && let Err(error) = file.sync_data()
    {
        tracing::debug!(%error, name, "kept as a copy: the file may have lost what can be read");
        let again = format!("{name}.again");
        from.remove_file(&again)?;
        let copied = from.create_file(&again, Some(status.mode))?;
        copy(&file, &copied)?;
        copied.sync_data()?;
        from.rename(&again, (from, name))?;
    }
    move_to_quarantine(journal, from, (name, kept)).or_else(|error| {
        tracing::debug!(%error, name, "moved to the quarantine once more");
        move_to_quarantine(journal, from, (name, kept))
    })
}

fn move_to_quarantine(journal: &Folder, from: &Folder, (name, kept): (&str, &str)) -> Result<()> {
    let quarantine = journal.step_or_create(QUARANTINE)?.0;
    from.rename(name, (&quarantine, kept))?;
    if let Err(error) = quarantine.sync().and_then(|()| journal.sync()) {
        // IMPORTANT: its name may be lost, and a second sync would succeed without it. It must be given again
        // before that.
        quarantine.rename(kept, (from, name))?;
        if let Err(error) = journal.remove_folder(QUARANTINE) {
            tracing::debug!(%error, "the quarantine holds more and stays");
        }
        return Err(error);
    }
    tracing::warn!(path = %quarantine.path_of(kept).display(), "kept what a person may have written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_file_held() {
        let version = Version::of_content(b"x");
        let key = Key::parse("workflows/a.b/workflow.json").unwrap();
        let name = name(7, Some(&version), "01abc-2", &key);
        assert_eq!(held(&name), Some(version.as_str()));
        assert!(name.ends_with(".workflows-a.b-workflow.json"), "{name}");
        let long = Key::parse(vec!["k".repeat(200); 2].join("/")).unwrap();
        assert!(
            super::name(u64::MAX, Some(&version), &format!("{}-99999", "0".repeat(26)), &long).len() < 255
        );
        assert_eq!(held(&super::name(7, None, "01abc-2", &key)), Some(PART));
        for other in ["01abc-2", "out", "out.7", "out.7.abc", "journal", ""] {
            assert_eq!(held(other), None, "{other}");
        }
    }
}
