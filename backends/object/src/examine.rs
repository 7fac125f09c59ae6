//! The checks of a probe below the level of the contract.

use std::{borrow::Cow, time::Duration};

use object_store::{Attribute, AttributeValue, Attributes, GetOptions, GetRange, PutOptions, PutPayload};
use pflow_backend::{
    Bytes, Error, ErrorKind, Key, Prefix, Result,
    probe::{Check, Verdict},
};

use crate::{
    client::{Client, fault},
    doing::Doing,
    fault::Fault,
    put,
};

/// User metadata that is stored and read back.
const NAME: &str = "pflowprobe";
const WORDS: &str = "kept beside the object";
/// The part of an object that is requested.
const RANGE: std::ops::Range<u64> = 100..1_100;

/// The pause between two writes of one object on a storage that accepts one a second.
const REST: Duration = Duration::from_millis(1_100);

/// Checks whether a part of an object can be read alone, and whether user metadata is stored. The store needs
/// neither today.
pub(crate) async fn examine(client: &Client, ground: &Prefix) -> Result<Vec<Check>> {
    let name = ground.key().map_or_else(|| "examined".to_owned(), |below| format!("{below}/examined"));
    let key =
        Key::parse(name).map_err(|long| Error::not_applied(ErrorKind::InvalidInput, long.to_string()))?;
    let _turn = client.turn().await?;
    let body: Bytes = (0..4_096_u32).map(|byte| u8::try_from(byte % 251).unwrap_or_default()).collect();
    let path = client.path(&key);
    let attributes: Attributes =
        [(Attribute::Metadata(Cow::Borrowed(NAME)), AttributeValue::from(WORDS))].into_iter().collect();
    let failed = |doing: Doing<'_>, fault: Fault| fault.error(&client.place, doing);
    let write = || async {
        let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
        client.service.put_opts(&path, PutPayload::from_bytes(body.clone()), options).await.map_err(fault)
    };
    client.repeat(&mut client.attempts(), write).await.map_err(|it| failed(Doing::WriteWithMetadata, it))?;
    let read = || async {
        let options = GetOptions { range: Some(GetRange::Bounded(RANGE)), ..GetOptions::default() };
        let answer = client.service.get_opts(&path, options).await.map_err(fault)?;
        let kept = answer.attributes.get(&Attribute::Metadata(Cow::Borrowed(NAME))).cloned();
        Ok((kept, answer.bytes().await.map_err(fault)?))
    };
    let found = client.repeat(&mut client.attempts(), read).await;
    delete(client, &key).await?;
    let (kept, part) = found.map_err(|it| failed(Doing::ReadRange, it))?;
    let wanted = body.get(100..1_100).unwrap_or_default();
    let range = if part == wanted {
        Verdict::Kept(format!("{} bytes from the middle", part.len()))
    } else {
        Verdict::Broken(format!(
            "Asked for {} bytes from the middle it gave {} others",
            wanted.len(),
            part.len()
        ))
    };
    let metadata = match kept {
        Some(words) if words.as_ref() == WORDS => Verdict::Kept("comes back as it was".to_owned()),
        Some(_) => Verdict::Broken("What was said of an object came back changed".to_owned()),
        None => Verdict::Broken("What was said of an object was not kept".to_owned()),
    };
    let check = |name, promise, verdict| Check::new(name, promise, false, verdict);
    Ok(vec![
        check("range", "A part of an object can be read alone", range),
        check("metadata", "What is said of an object is kept with it", metadata),
    ])
}

/// Deletes the object that was written a moment ago. A storage that accepts one write of an object a second
/// refuses the delete at first; it is repeated after a fixed pause, instead of ever longer ones.
async fn delete(client: &Client, key: &Key) -> Result<()> {
    match client.attempts().one(client.delete(key)).await {
        Ok(()) => return Ok(()),
        Err(fault) if fault.is_trouble() => client.environment.sleep(REST).await,
        // The loop below reports the fault, and retries if it is transient.
        Err(_) => {}
    }
    put::delete_in_turn(client, key).await
}
