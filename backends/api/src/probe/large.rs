//! Tests a large object.

use bytes::Bytes;

use super::ground::{Ground, Stop, Tried, ensure};
use crate::Operation;

/// Stores an incompressible object, and reads it.
pub(super) async fn run(ground: &Ground<'_>) -> Tried<String> {
    let key = ground.key("large")?;
    let most = usize::try_from(ground.backend.capabilities().max_object_size).unwrap_or(usize::MAX);
    let size = ground.depth.large.min(most);
    let body = noise(ground.environment.random(), size);
    let put = Operation::put(key.clone(), body.clone()).absent().fresh();
    ground.store(put, "a large object").await?;
    let Some(object) = ground.get(&key).await? else {
        return Err(Stop::Broken("It did not find a large object that was written".to_owned()));
    };
    ensure!(
        object.bytes.len() == size && object.meta.size == size as u64,
        "It gave back {} bytes of a large object of {size}",
        object.bytes.len()
    );
    ensure!(object.bytes == body, "It gave back other bytes of a large object than were written");
    Ok(format!("{size} bytes came back"))
}

/// Numbers of a linear congruential generator: cheap, and without a pattern that compression would find.
fn noise(seed: u64, size: usize) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 32).to_le_bytes()[..4]);
    }
    bytes.truncate(size);
    bytes.into()
}
