//! Runs the program as a user with few rights, even if the tests run as root.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
};

use super::{Place, Ran, document};

/// A user and a group that need not exist on this machine.
pub(crate) const USER: u32 = 61_001;
pub(crate) const OTHER: u32 = 61_002;
pub(crate) const GROUP: u32 = 62_000;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the program as a user of the group where this process may, else as itself.
pub(crate) fn run_as<'a>(place: &Place, user: u32, args: impl IntoIterator<Item = &'a str>) -> Ran {
    let mut command = place.command(args);
    if is_root() {
        command.uid(user).gid(GROUP);
    }
    Ran::of(&mut command)
}

pub(crate) fn run<'a>(place: &Place, args: impl IntoIterator<Item = &'a str>) -> Ran {
    run_as(place, USER, args)
}

/// A folder of that user with a document in it.
pub(crate) fn place_of_user() -> Place {
    let place = Place::empty();
    for number in 1..4 {
        let file = place.file(&format!("v{number}.json"), document(&format!("version {number}")));
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        chown(place.path(), Some(USER), Some(GROUP)).unwrap();
    }
    place
}
