use futures::{StreamExt, TryStreamExt};
use pflow_store::backend::{Key, Prefix, Version};

use super::{
    BODIES, VERSIONS,
    run::Run,
    world::{Body, Name},
};
use pflow_testkit::Kind;

pub(super) fn key(name: Name) -> Key {
    Key::parse(name).unwrap()
}

/// Returns the body with these bytes, or the number of bytes if it is no known body.
fn body(is: impl Fn(&[u8]) -> bool, size: usize) -> Result<Option<Body>, usize> {
    BODIES.iter().position(|body| is(body)).map(|at| Some(at as Body)).ok_or(size)
}

impl Run {
    /// Returns whether the storage derives versions from the bytes.
    pub(super) fn names_by_content(&self) -> bool {
        self.site.kind != Kind::Bucket
    }

    /// Checks that different bytes have different versions, and that on a disk and in memory the version is
    /// the hash of the bytes.
    pub(super) fn is_named(&mut self, version: &Version, body: Body) {
        if self.names_by_content() {
            assert_eq!(*version, VERSIONS[usize::from(body)]);
        }
        let before = self.versions.insert(version.clone(), body);
        assert!(before.is_none_or(|before| before == body), "{version} is {before:?} and {body}");
    }

    pub(super) async fn get(&mut self, handle: usize, name: Name) {
        let object = self.handles[handle].get(&key(name)).await.unwrap();
        let found =
            object.as_ref().map_or(Ok(None), |object| body(|it| object.bytes == it, object.bytes.len()));
        if let (Some(object), Ok(Some(body))) = (&object, found) {
            assert_eq!((object.meta.key.as_str(), object.meta.size), (name, object.bytes.len() as u64));
            self.is_named(&object.meta.version, body);
        }
        assert!(self.model.read(handle, name, found), "{name} is {found:?}\n{}", self.model);
    }

    pub(super) async fn stat(&mut self, handle: usize, name: Name) {
        let meta = self.handles[handle].stat(&key(name)).await.unwrap();
        let size = meta.as_ref().map_or(0, |meta| meta.size as usize);
        let found = meta.as_ref().map_or(Ok(None), |_| body(|it| it.len() == size, size));
        if let (Some(meta), Ok(Some(body))) = (&meta, found) {
            assert_eq!(meta.key.as_str(), name);
            self.is_named(&meta.version, body);
        }
        assert!(self.model.read(handle, name, found), "{name} is {found:?}\n{}", self.model);
    }

    pub(super) async fn list(&mut self, handle: usize, below: Option<&str>, after: Option<Name>) {
        let prefix = below.map_or_else(Prefix::root, |below| Prefix::parse(below).unwrap());
        // A listing with more entries than keys would never end.
        let listing = self.handles[handle].list(&prefix, after.map(key).as_ref()).take(100);
        let listed: Vec<_> = listing.try_collect().await.unwrap();
        let name = |key: &Key| *self.names.iter().find(|name| **name == key.as_str()).unwrap();
        let found: Vec<(Name, u64)> = listed.iter().map(|listed| (name(&listed.key), listed.size)).collect();
        let asked = |name: Name| prefix.contains(&key(name)) && after.is_none_or(|after| name > after);
        let explained = self.model.listed(handle, asked, &found);
        assert!(explained, "below {below:?} behind {after:?} there is {found:?}\n{}", self.model);
    }
}
