//! A simple model of what a storage may hold and reply.

mod batch;
mod judge;
mod looks;
mod model;
mod run;
mod steps;
mod world;

use std::sync::LazyLock;

use pflow_store::backend::{Bytes, Version};

pub(crate) use run::Run;
pub(crate) use steps::{Step, steps};
use world::{Body, Name};

/// Names with common prefixes, and names that are below other names.
const NESTED: [Name; 8] = ["a", "a/b", "a/b/c", "a/c", "a-b", "a0", "b/c", "b/c/d"];
/// Names of which none is below another one.
const FLAT: [Name; 8] = ["a/a", "a/b", "a/b-c", "a/c/d", "a-b", "a0", "b/c", "b/d/e"];

/// The bytes of each body: none, a few, and more than fit into one write.
static BODIES: LazyLock<[Bytes; 5]> =
    LazyLock::new(|| [0, 10, 20, 30, 300_000].map(|size| vec![b'0' + (size % 7) as u8; size].into()));
/// The versions of the bodies on storages that derive versions from the content.
static VERSIONS: LazyLock<[Version; 5]> =
    LazyLock::new(|| BODIES.each_ref().map(|body| Version::of_content(body)));

fn bytes(body: Body) -> Bytes {
    BODIES[usize::from(body)].clone()
}
