//! Which file system a folder is on, and what is known of its kind.

use std::io;

use rustix::{fd::AsFd, fs::fstatfs};

/// What a kind of file system does to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On a device of this machine.
    Local,
    /// In memory: it is gone when the machine restarts.
    Memory,
    /// Somewhere else. Its locks may exclude nobody on another machine.
    Remote,
    /// What stands behind it is not known.
    Unknown,
}

/// The name and the kind of the file system below `folder`.
#[cfg(target_os = "linux")]
pub(crate) fn of(folder: impl AsFd) -> io::Result<(String, Kind)> {
    let magic = u32::try_from(fstatfs(folder)?.f_type).unwrap_or_default();
    let known = KNOWN.iter().find(|(number, ..)| *number == magic);
    Ok(match known {
        Some((_, name, kind)) => ((*name).to_owned(), *kind),
        None => (format!("type {magic:#x}"), Kind::Unknown),
    })
}

/// What the numbers of a file system are worth: the number of the volume among its snapshots, if it has some
/// and keeps such a number; and whether a file has the same inode number at each mount.
///
/// In btrfs and ZFS a snapshot repeats the inode numbers and birth times of its origin, and the id of the file
/// system is one of the subvolume or data set, which is kept on the medium. Elsewhere that id is often the
/// device number, so it says nothing. FAT has no inodes: Linux numbers its files as they are looked up.
#[cfg(target_os = "linux")]
pub(super) fn numbers(node: impl AsFd + Copy) -> io::Result<(Option<u64>, bool)> {
    let (name, _) = of(node)?;
    let volume = match name.as_str() {
        "btrfs" | "zfs" => Some(rustix::fs::fstatvfs(node)?.f_fsid),
        _ => None,
    };
    Ok((volume, !matches!(name.as_str(), "vfat" | "exfat")))
}

/// The name and the kind of the file system below `folder`.
#[cfg(target_os = "macos")]
pub(crate) fn of(folder: impl AsFd) -> io::Result<(String, Kind)> {
    /// `MNT_LOCAL` of `sys/mount.h`.
    const LOCAL: u32 = 0x1000;
    let stat = fstatfs(folder)?;
    let name = stat.f_fstypename.iter().take_while(|letter| **letter != 0);
    let name: String = name.flat_map(|letter| letter.to_ne_bytes()).map(char::from).collect();
    let kind = if stat.f_flags & LOCAL == 0 { Kind::Remote } else { Kind::Local };
    Ok((name, kind))
}

/// Numbers of `linux/magic.h` and of the file systems' own headers.
#[cfg(target_os = "linux")]
const KNOWN: &[(u32, &str, Kind)] = &[
    (0x0000_ef53, "ext4", Kind::Local),
    (0x5846_5342, "xfs", Kind::Local),
    (0x9123_683e, "btrfs", Kind::Local),
    (0x2fc1_2fc1, "zfs", Kind::Local),
    (0xf2f5_2010, "f2fs", Kind::Local),
    (0xca45_1a4e, "bcachefs", Kind::Local),
    (0x794c_7630, "overlayfs", Kind::Local),
    (0x0000_f15f, "ecryptfs", Kind::Local),
    (0x0000_4d44, "vfat", Kind::Local),
    (0x2011_bab0, "exfat", Kind::Local),
    (0x7366_746e, "ntfs3", Kind::Local),
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
    (0x0000_6969, "nfs", Kind::Remote),
    (0x0000_517b, "smb", Kind::Remote),
    (0xff53_4d42, "cifs", Kind::Remote),
    (0xfe53_4d42, "smb2", Kind::Remote),
    (0x0102_1997, "9p", Kind::Remote),
    (0x00c3_6400, "ceph", Kind::Remote),
    (0x5346_414f, "afs", Kind::Remote),
    (0x0bd0_0bd0, "lustre", Kind::Remote),
    (0x4750_4653, "gpfs", Kind::Remote),
    (0x1983_0326, "beegfs", Kind::Remote),
    (0x7375_7245, "coda", Kind::Remote),
    (0x786f_4256, "vboxsf", Kind::Remote),
    (0x7461_636f, "ocfs2", Kind::Remote),
    (0x0116_1970, "gfs2", Kind::Remote),
    // A program serves it, perhaps from another machine (sshfs, s3fs).
    (0x6573_5546, "fuse", Kind::Remote),
];
