//! The loop that makes all writes.
//!
//! # The result of a conditional write is never wrong
//! object_store's own retries are disabled, so every request is sent by this loop. Let `b` be the bytes and
//! `c` the condition of the write; every request of it is the same PUT of `b` under `c`.
//!
//! 1. **Committed is true.** It is returned after a success, or when `b` is read back. A client that swaps
//!    puts a unique value into `b`, and a name that is written once is used for one attempt, so no other
//!    client wrote `b`. A request that is still in flight can only write `b` once more, and only if `c` holds
//!    again.
//! 2. **A refusal is not trusted.** 412, 409 and 404 may be the answer to a request that a proxy repeated,
//!    and servers answer 500 to some lost races. So every answer that is not a success is settled by reading
//!    the key. But after an answer that the server is busy or failing, the same PUT is first sent once more:
//!    most such faults are transient, and a read for each of them would double the load of a failing server.
//!    - If the key holds `b`: see 1.
//!    - If it holds the state that `c` names, the write is not applied *yet*. The same PUT is sent again;
//!      sending it twice has the effect of sending it once.
//!    - If it holds anything else, and the write is `Absent` for an object that is written once
//!      ([`WriteKind::Fresh`], [`WriteKind::Immutable`]), another client wrote that. An object that is written
//!      once is not replaced, so ours was never stored: **conflict**. Of an object that is rewritten, ours may
//!      have been stored in between: **overtaken**.
//!
//!    In both cases no request of this write can be applied any more. Under `Is` the version does not occur
//!    again, because it names unique bytes. Under `Absent` the present object would have to be removed first,
//!    and a key that is created under a condition and contended for is never removed.
//! 3. **Not applied is certain.** It is returned only while every request so far certainly did not reach the
//!    object (no connection, or a refusal of the caller, the bucket or the form). After any other request it
//!    is never returned: `doubt` stays set, and a write that cannot be settled by the deadline is
//!    **unknown**.
//! 4. **An immutable object needs no owner.** Every writer of a [`WriteKind::Immutable`] key puts `b`, so it
//!    does not matter whose `b` is read back: the key holds what the write promises, and the version that was
//!    read is the one to answer. The refusal of our own repeated request is settled in the same way. Other
//!    bytes are damage, or were put by a client that breaks the rule of the kind. They are a conflict and never
//!    overtaken, because no client may replace ours. If such an object is removed, as garbage may be, a
//!    request of this write that is still in flight may store it once more, with the right bytes.
//! 5. **Refusals are bounded.** A server that answers 412 `MOST_REFUSALS` times while the state that `c`
//!    names is stored does not keep conditions: the write ends with [`ErrorKind::Unsafe`], unknown as in 3. A
//!    correct server gives such an answer only if a copy of the request was applied first (then `b` is
//!    stored), or if the key was changed and changed back (which does not occur here, because bytes are
//!    unique).
//!
//! Dropping the future leaves a request that may be applied at any time: an unknown outcome, as the contract
//! says.
//!
//! # An unconditional write is repeated until it succeeds
//! A copy of a request that seemed lost may be applied late and restore old bytes. So unconditional writes
//! are only used for derived objects, whose readers check them by hash, and for deletes of unreachable
//! objects.

use pflow_backend::{
    Bytes, Error, ErrorKind, Key, Object, Outcome, Precondition, Result, Version, WriteKind,
};

use crate::{
    attempts::Attempts,
    client::{Client, Unread},
    doing::Doing,
    fault::{Fault, OfAWrite},
    place::Place,
    version::Form,
};

/// How often a write may be refused although its condition holds. Two of these may be because of the form of
/// the ETag.
const MOST_REFUSALS: u32 = 8;

/// The result of a conditional or unconditional put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is stored, with this version.
    Stored(Version),
    /// The condition did not hold.
    Refused {
        /// The version that is stored instead.
        current: Option<Version>,
        /// Whether ours may have been stored in between.
        overtaken: bool,
    },
}

/// Writes under the condition, and returns the result.
pub(crate) async fn put(
    client: &Client,
    key: &Key,
    bytes: &Bytes,
    when: &Precondition,
    kind: WriteKind,
) -> Result<Written> {
    let _turn = client.turn().await?;
    match when {
        Precondition::Always => always(client, key, bytes).await,
        _ => conditionally(client, key, bytes, when, kind).await,
    }
}

/// Sends a put once and trusts the answer, which [`put()`] never does: only a probe needs the answer to a
/// single request.
pub(crate) async fn once(client: &Client, key: &Key, bytes: &Bytes, when: &Precondition) -> Result<Written> {
    let _turn = client.turn().await?;
    let mut attempts = client.attempts();
    let fault = match attempts.one(client.put(key, bytes, when, client.tokens.form())).await {
        Ok(version) => return named(client, &mut attempts, key, bytes, version).await,
        Err(fault) => fault,
    };
    let doing = Doing::Write(key);
    match (fault.status(), fault.of_a_write()) {
        (Some(404 | 409 | 412), OfAWrite::Doubtful) => {
            Ok(Written::Refused { current: None, overtaken: false })
        }
        (Some(501), _) => Err(unknown_condition(client, doing)),
        (_, of_a_write) => Err(failed(client, doing, &fault, of_a_write == OfAWrite::Doubtful)),
    }
}

/// Removes the key, whether it exists or not.
pub(crate) async fn delete(client: &Client, key: &Key) -> Result<()> {
    let _turn = client.turn().await?;
    delete_in_turn(client, key).await
}

/// The same for a caller that already has a turn.
pub(crate) async fn delete_in_turn(client: &Client, key: &Key) -> Result<()> {
    let mut attempts = client.attempts();
    let doing = Doing::Delete(key);
    repeat(client, &mut attempts, doing, || client.delete(key)).await
}

async fn always(client: &Client, key: &Key, bytes: &Bytes) -> Result<Written> {
    let mut attempts = client.attempts();
    let doing = Doing::Write(key);
    let put = || client.put(key, bytes, &Precondition::Always, client.tokens.form());
    let version = repeat(client, &mut attempts, doing, put).await?;
    named(client, &mut attempts, key, bytes, version).await
}

/// Repeats an unconditional write until it succeeds.
async fn repeat<T, F>(
    client: &Client,
    attempts: &mut Attempts<'_>,
    doing: Doing<'_>,
    one: impl Fn() -> F,
) -> Result<T>
where
    F: Future<Output = std::result::Result<T, Fault>>,
{
    let mut doubt = false;
    loop {
        let fault = match attempts.one(one()).await {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        doubt |= fault.of_a_write() == OfAWrite::Doubtful;
        if !attempts.again(&fault).await {
            return Err(failed(client, doing, &fault, doubt));
        }
    }
}

async fn conditionally(
    client: &Client,
    key: &Key,
    bytes: &Bytes,
    when: &Precondition,
    kind: WriteKind,
) -> Result<Written> {
    let doing = Doing::Write(key);
    let mut attempts = client.attempts();
    // Whether some request may have been applied, or may still be.
    let mut doubt = false;
    let mut turned = false;
    let mut refusals = 0;
    // Whether the previous request was repeated without a read.
    let mut repeated = false;
    loop {
        let form = client.tokens.form();
        let fault = match attempts.one(client.put(key, bytes, when, form)).await {
            // Without a version, an immutable object is settled by reading it like after any other answer in
            // doubt: the kind knows no overtaken write, and an object that is gone is put again.
            Ok(None) if kind == WriteKind::Immutable => Fault::Garbled,
            Ok(version) => {
                return named(client, &mut attempts, key, bytes, version).await;
            }
            Err(fault) => fault,
        };
        let goes_on = match fault.of_a_write() {
            OfAWrite::Hopeless => false,
            // If a request is in doubt, the write is retried until the deadline.
            OfAWrite::NotSent if doubt => attempts.pause_after(&fault).await,
            OfAWrite::NotSent => attempts.again(&fault).await,
            OfAWrite::Doubtful => {
                // IMPORTANT: it stays set. From here on no result of a later request can prove that this one
                // is not applied.
                doubt = true;
                repeated = !repeated && fault.is_trouble();
                if repeated && attempts.pause().await {
                    continue;
                }
                let found = match read_back(client, &mut attempts, key).await {
                    Ok(found) => found,
                    Err(unread) => {
                        return Err(unknown(unread.error(&client.place, Doing::ReadBack(key))));
                    }
                };
                refusals += u32::from(fault.status() == Some(412));
                match settle(found, bytes, when, kind) {
                    Some(written) => return Ok(written),
                    None if refusals >= MOST_REFUSALS => return Err(unknown(unkept(client, when, doing))),
                    None => may_go_on(client, &mut attempts, &fault, when, form, &mut turned).await,
                }
            }
        };
        if !goes_on {
            let error = match fault.status() {
                Some(501) => unknown_condition(client, doing),
                _ => fault.error(&client.place, doing),
            };
            return Err(if doubt { unknown(error) } else { error });
        }
    }
}

/// What the present state of the key implies for the write; none if it may still be applied.
fn settle(found: Option<Object>, bytes: &Bytes, when: &Precondition, kind: WriteKind) -> Option<Written> {
    match found {
        Some(object) if object.bytes == *bytes => Some(Written::Stored(object.meta.version)),
        found => {
            let current = found.map(|object| object.meta.version);
            if when.holds(current.as_ref()) {
                return None;
            }
            let is_written_once = matches!(kind, WriteKind::Fresh | WriteKind::Immutable);
            let written_once = is_written_once && *when == Precondition::Absent;
            Some(Written::Refused { current, overtaken: !written_once })
        }
    }
}

/// Decides whether to retry a write that is not applied although its condition holds. If a swap was refused,
/// the server may need the version in another form, which is tried at once the first time in an operation.
async fn may_go_on(
    client: &Client,
    attempts: &mut Attempts<'_>,
    fault: &Fault,
    when: &Precondition,
    form: Form,
    turned: &mut bool,
) -> bool {
    if fault.status() == Some(412)
        && matches!(when, Precondition::Is(_))
        && client.tokens.turn_from(form)
        && !*turned
    {
        *turned = true;
        return true;
    }
    attempts.pause().await
}

/// Reads until there is an answer or no time is left: nothing else can settle a write in doubt.
async fn read_back(
    client: &Client,
    attempts: &mut Attempts<'_>,
    key: &Key,
) -> std::result::Result<Option<Object>, Unread> {
    loop {
        match client.get(attempts, key).await {
            // A web page was already retried several times.
            Err(Unread::Fault(fault)) if fault.is_passing() && fault != Fault::WebPage => {
                if !attempts.pause_after(&fault).await {
                    return Err(Unread::Fault(fault));
                }
            }
            answer => return answer,
        }
    }
}

/// The version in the answer or, if the answer has none (Ceph's answer to a multipart upload has none), the
/// present version of the object.
///
/// IMPORTANT: only if our bytes are still stored. With the version of another client's bytes a caller could
/// swap away a state that it has never read; that case is overtaken, although ours was stored.
async fn named(
    client: &Client,
    attempts: &mut Attempts<'_>,
    key: &Key,
    bytes: &Bytes,
    version: Option<Version>,
) -> Result<Written> {
    if let Some(version) = version {
        return Ok(Written::Stored(version));
    }
    match read_back(client, attempts, key).await {
        Ok(Some(object)) if object.bytes == *bytes => Ok(Written::Stored(object.meta.version)),
        Ok(found) => {
            Ok(Written::Refused { current: found.map(|object| object.meta.version), overtaken: true })
        }
        Err(unread) => Err(unknown(unread.error(&client.place, Doing::ReadBack(key)))),
    }
}

/// The error for a server that refuses a write although its condition holds.
fn unkept(client: &Client, when: &Precondition, doing: Doing<'_>) -> Error {
    let Place { endpoint, url, .. } = &client.place;
    let cause = match when {
        Precondition::Is(_) if client.tokens.are_weak() => {
            ": its ETags are weak (W/), which never match; a proxy that compresses answers makes them weak"
        }
        _ => "",
    };
    let sentence = format!(
        "The endpoint {endpoint} answered 412 {MOST_REFUSALS} times while the condition held{cause} (to {doing} in {url})"
    );
    Error::not_applied(ErrorKind::Unsafe, sentence)
}

/// The error for a server that does not support the header of the condition.
fn unknown_condition(client: &Client, doing: Doing<'_>) -> Error {
    let Place { endpoint, url, .. } = &client.place;
    let sentence =
        format!("The endpoint {endpoint} knows no conditional writes: it answers 501 (to {doing} in {url})");
    Error::not_applied(ErrorKind::Unsafe, sentence)
}

fn failed(client: &Client, doing: Doing<'_>, fault: &Fault, doubt: bool) -> Error {
    let error = fault.error(&client.place, doing);
    if doubt { unknown(error) } else { error }
}

fn unknown(error: Error) -> Error {
    error.with_outcome(Outcome::Unknown)
}
