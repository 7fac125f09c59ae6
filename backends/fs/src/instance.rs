//! Which place this folder is, so that a copy of it is told from the original.
//!
//! A copy of a folder has the same objects, the same journal and the same store id. `.journal/instance` has
//! what a copy cannot take along:
//!
//! ```text
//! pflow-instance/1
//! id 01hm6n2c3q8d5b7x9w4v0z1y2t
//! folder inode=1311 birth=1705314600.250000000 device=2049
//! file inode=1324 birth=1705314600.251000000 device=2049
//! check 9f86d081…                 SHA-256 of what comes before this line
//! ```
//!
//! `folder` is the storage's folder, `file` this file. **Where they are what the file says, the id is that of
//! this place. Otherwise the folder is a copy**, whatever made it: `cp`, a backup that was restored, a
//! snapshot, a file that a tool for synchronization brought. A new id takes its place, under the lock and
//! durably, before anything else is written ([`writer`](crate::writer)).
//!
//! # What counts
//! These facts are compared for equality and never ordered: nothing here asks which is newer.
//! - The **inode number**, unless the file system makes it up at each mount (FAT, exFAT).
//! - The **birth time**. No program can set it on Linux, and an inode number that is used again is told by it.
//! - The **volume**, where snapshots of one file system repeat both (btrfs, ZFS).
//! - The **device number** only where no birth time is told: it may change whenever the machine starts.
//!
//! A fact that either side cannot tell is left out. Both the folder and the file count: files of two folders
//! may be the same file (hard links), and a backup that is written back into the same folder brings another
//! file.
//!
//! # Where this is wrong
//! - **A copy that is taken for the original**: a clone of the whole medium, by a hypervisor or `dd`, has the
//!   same facts. Nothing that is stored can tell these two apart.
//! - **An original that is taken for a copy** is harmless: nothing is removed, the values stay, and the place
//!   goes on under a new id. It happens when the folder was moved to another file system, which is a copy, and
//!   where a device number changes and no birth time is told.

use std::fmt::Write;

use pflow_backend::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::{
    folder::Folder,
    journal::{INSTANCE, NEW_INSTANCE},
    medium::{FileId, Origin},
    root::Root,
};

const FORMAT: &str = "pflow-instance/1";
/// More than any program writes.
const LONGEST: usize = 1024;

/// What the journal carries of an id: its random part, the last 16 letters.
pub(crate) type Mark = [u8; 16];

/// No id.
pub(crate) const UNMARKED: Mark = [0; 16];

/// An id of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    id: String,
}

/// What `.journal/instance` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The id of this place.
    Own(Instance, FileId),
    /// The id of another place, of which this folder is a copy.
    Copied(Instance),
    /// There is no such file, or none that can be read: whether this is a copy is not known.
    Nothing,
}

impl Instance {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn mark(&self) -> Mark {
        self.id.as_bytes().last_chunk().copied().unwrap_or(UNMARKED)
    }
}

/// Reads the id, and whether this is its place.
///
/// # Errors
/// It could not be read, or a newer program wrote it.
pub(crate) fn look(root: &Root, journal: &Folder) -> Result<Told> {
    let Some((file, status)) = journal.open_file(INSTANCE)? else { return Ok(Told::Nothing) };
    let mut bytes = vec![0; LONGEST];
    let read = file.read_at(&mut bytes, 0)?;
    let text = bytes.get(..read).and_then(checked);
    let Some((format, rest)) = text.as_deref().and_then(|text| text.split_once('\n')) else {
        return Ok(Told::Nothing);
    };
    if format != FORMAT {
        let what = format!(
            "{} is {format:?}, of a newer program; this one knows {FORMAT}",
            journal.path_of(INSTANCE).display()
        );
        return Err(Error::not_applied(ErrorKind::Incompatible, what));
    }
    let Some((instance, folder, itself)) = parse(rest) else { return Ok(Told::Nothing) };
    let is_here = folder.is(&root.folder().origin()?) && itself.is(&file.origin()?);
    Ok(if is_here { Told::Own(instance, status.id) } else { Told::Copied(instance) })
}

/// Gives this place an id. Its content is durable then; its name is once the caller has synced the folder.
/// The caller holds the lock.
pub(crate) fn make(root: &Root, journal: &Folder, id: String) -> Result<(Instance, FileId)> {
    // IMPORTANT: into a new file, never over the old one: what a failed sync has lost of that may stay lost.
    journal.remove_file(NEW_INSTANCE)?;
    let file = journal.create_file(NEW_INSTANCE, None)?;
    let (folder, itself) = (root.folder().origin()?, file.origin()?);
    let mut text = format!("{FORMAT}\nid {id}\nfolder {}\nfile {}\n", shown(&folder), shown(&itself));
    text += &format!("check {}\n", hash(&text));
    file.write_at(text.as_bytes(), 0)?;
    file.sync_data()?;
    journal.rename(NEW_INSTANCE, (journal, INSTANCE))?;
    Ok((Instance { id }, file.status()?.id))
}

fn hash(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text))
}

/// The text before its check, if that fits.
fn checked(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (body, check) = text.strip_suffix('\n')?.rsplit_once("\ncheck ")?;
    let body = format!("{body}\n");
    (hash(&body) == check).then_some(body)
}

fn parse(text: &str) -> Option<(Instance, Origin, Origin)> {
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let id = field("id").filter(|id| id.len() == 26 && id.bytes().all(|it| it.is_ascii_alphanumeric()))?;
    let (folder, itself) = (read(field("folder")?)?, read(field("file")?)?);
    Some((Instance { id: id.to_owned() }, folder, itself))
}

fn shown(origin: &Origin) -> String {
    let Origin { inode, birth, device, volume } = origin;
    let mut text = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            write!(text, "{}{name}={value}", if text.is_empty() { "" } else { " " }).unwrap_or_default();
        }
    };
    add("inode", inode.map(|it| it.to_string()));
    add("birth", birth.map(|(seconds, nanos)| format!("{seconds}.{nanos:09}")));
    add("device", Some(device.to_string()));
    add("volume", volume.map(|it| it.to_string()));
    text
}

fn read(text: &str) -> Option<Origin> {
    let (mut inode, mut birth, mut device, mut volume) = (None, None, None, None);
    for part in text.split(' ') {
        let (name, value) = part.split_once('=')?;
        match name {
            "inode" => inode = Some(value.parse().ok()?),
            "birth" => {
                let (seconds, nanos) = value.split_once('.')?;
                birth = Some((seconds.parse().ok()?, nanos.parse().ok()?));
            }
            "device" => device = Some(value.parse().ok()?),
            "volume" => volume = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(Origin { inode, birth, device: device?, volume })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { inode: Some(7), birth: Some((1_705_314_600, 5)), device: 3, volume: None }
    }

    #[test]
    fn place_is_told_by_what_both_sides_know() {
        let here = origin();
        assert!(here.is(&here));
        assert!(!here.is(&Origin { inode: Some(8), ..here }));
        assert!(!here.is(&Origin { birth: Some((1_705_314_600, 6)), ..here }), "an inode that is used again");
        assert!(here.is(&Origin { device: 4, ..here }), "a device number changes when the machine starts");
        assert!(here.is(&Origin { volume: Some(1), ..here }), "one side cannot tell the volume");
        let on = |volume| Origin { volume: Some(volume), ..here };
        assert!(on(1).is(&on(1)) && !on(1).is(&on(2)), "a snapshot repeats inode and birth");
        // Without a birth time on either side the device number counts.
        let bare = Origin { birth: None, ..here };
        for (one, other) in [(bare, here), (here, bare), (bare, bare)] {
            assert!(one.is(&other));
            assert!(!one.is(&Origin { device: 4, ..other }));
            assert!(!one.is(&Origin { inode: Some(8), ..other }));
        }
        // FAT: the inode number says nothing.
        let fat = Origin { inode: None, ..here };
        assert!(fat.is(&Origin { device: 4, ..fat }));
        assert!(!fat.is(&Origin { birth: None, ..fat }), "nothing is left that tells");
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let all = Origin { volume: Some(u64::MAX), ..origin() };
        let before_1970 = Origin { inode: None, birth: Some((-1, 999_999_999)), device: -1, volume: None };
        let none = Origin { birth: None, ..origin() };
        for facts in [all, before_1970, none] {
            assert_eq!(read(&shown(&facts)), Some(facts));
        }
        assert_eq!(shown(&origin()), "inode=7 birth=1705314600.000000005 device=3");
        assert_eq!(read("inode=7"), None);
    }

    #[test]
    fn no_flipped_bit_and_no_length_is_another_id() {
        let id = "01hm6n2c3q8d5b7x9w4v0z1y2t";
        let facts = shown(&origin());
        let mut text = format!("{FORMAT}\nid {id}\nfolder {facts}\nfile {facts}\n");
        text += &format!("check {}\n", hash(&text));
        let body = checked(text.as_bytes()).unwrap();
        let (instance, folder, itself) = parse(body.split_once('\n').unwrap().1).unwrap();
        assert_eq!((instance.id(), folder, itself), (id, origin(), origin()));
        assert_eq!(&instance.mark(), b"3q8d5b7x9w4v0z1y2t".last_chunk::<16>().unwrap());
        for at in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(checked(&flipped), None, "bit {at}");
        }
        assert!((0..text.len()).all(|length| checked(&text.as_bytes()[..length]).is_none()));
    }
}
