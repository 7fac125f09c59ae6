//! The id of a store at one endpoint.

use pflow_backend::{Batch, Key, Operation};

use crate::{
    Result,
    format::{InstanceRecord, VersionId, keys},
    repo::{Objects, corrupt, unreadable},
};

/// Makes sure that the store has an id at this endpoint. An id that is there stays: one request, whether it is
/// there or not.
///
/// IMPORTANT: a writer calls it before it records the endpoint as safe. Then a recorded endpoint has an id, and
/// a crash in between costs another probe.
pub(crate) async fn ensure_instance(objects: &Objects, endpoint: &str) -> Result<()> {
    let key = keys::instance(endpoint);
    let encode = || {
        let id = VersionId::of_new(&objects.environment.new_id())?;
        InstanceRecord::new(id, endpoint.to_owned()).encode()
    };
    let record = encode().map_err(|source| unreadable(&key, source))?;
    let batch = Batch::new().stage([Operation::put(key.clone(), record).absent()]);
    // A conflict is with the id that is there, of whichever writer.
    objects.commit(batch, || format!("the creation of {key}")).await.map(drop)
}

/// Reads the id at this endpoint; none if no writer has come there yet.
pub(crate) async fn instance_at(objects: &Objects, endpoint: &str) -> Result<Option<String>> {
    let key = keys::instance(endpoint);
    let Some(record) = read_instance(objects, &key).await? else { return Ok(None) };
    if record.endpoint != endpoint {
        return Err(corrupt(&key, format!("it is of {}, not of {endpoint}", record.endpoint)));
    }
    Ok(Some(record.id.to_string()))
}

pub(crate) async fn read_instance(objects: &Objects, key: &Key) -> Result<Option<InstanceRecord>> {
    let Some(object) = objects.get(key).await? else { return Ok(None) };
    InstanceRecord::decode(&object.bytes).map(Some).map_err(|source| unreadable(key, source))
}
