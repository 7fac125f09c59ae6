//! The one loop that writes.
//!
//! # A conditional write is never told wrongly
//! object_store's own retries are off, so every request is one of ours. Let `b` be the bytes and `c` the
//! condition of the write; every request of it is the same PUT of `b` under `c`.
//!
//! 1. **Committed is true.** It is answered for a success, or when `b` is read back. Whoever swaps puts
//!    something fresh into `b`, and a name that is written once is used for one attempt, so nobody else wrote
//!    `b`. A request that is still under way can only write `b` once more, and only where `c` holds again.
//! 2. **A refusal is not believed.** 412, 409 and 404 may be the answer to a request that a proxy repeated,
//!    and servers answer 500 to some lost races. So whatever is no success is settled by reading the key. But
//!    after an answer that says that the server is busy or broken, the same PUT is sent once more first: most
//!    such faults pass, and a read for each of them would double the load of a server in trouble.
//!    - `b` is there: see 1.
//!    - the state that `c` names is there: the write is not in place *yet*. The same PUT is sent again;
//!      sending it twice is sending it once.
//!    - anything else is there. Under `Absent`, of an object that is written once ([`WriteKind::Fresh`]):
//!      others wrote that, and nobody replaced ours, so it never was there: **conflict**. Of an object that
//!      is rewritten ours may have been there in between: **overtaken**.
//!
//!    In both cases no request of this write can land any more. Under `Is` a version does not come back, for
//!    it names fresh bytes. Under `Absent` what is there would have to be removed first, and a key that is
//!    created under a condition and contended for is never removed.
//! 3. **Not applied is certain.** It is answered only while every request so far surely did not reach the
//!    object (no connection, or a refusal of the caller, the bucket or the form). After any other request it
//!    is answered never: `doubt` stays set, and what cannot be settled by the deadline is **unknown**.
//! 4. **A refusal ends.** A server that answers 412 while the state that `c` names is there, `MOST_REFUSALS`
//!    times, does not keep conditions: the write ends with [`ErrorKind::Unsafe`], unknown as in 3. A sound
//!    server gives such an answer at most when a copy of the request came first (then `b` is there), or when
//!    the key was changed and changed back (no bytes come back here).
//!
//! Dropping the future leaves a request that may land at any time: an unknown outcome, as the contract says.
//!
//! # An unconditional write is repeated until it succeeds
//! A copy of a request that was thought lost may land late and bring old bytes back. That is for derived
//! objects alone, whose readers check them by hash, and for deletes of what nobody reaches any more.

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

/// How often a write may be refused whose condition holds. Two of these may be for the form of the ETag.
const MOST_REFUSALS: u32 = 8;

/// What a conditional or unconditional put came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// In place, by this version.
    Stored(Version),
    /// The condition did not hold.
    Refused {
        /// What is there instead.
        current: Option<Version>,
        /// Whether ours may have been there in between.
        overtaken: bool,
    },
}

/// Writes under the condition, and says what became of it.
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

/// Sends a put once and believes the answer, which [`put()`] never does: only a probe wants to know what
/// one request is answered.
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

/// Removes the key, whether it is there or not.
pub(crate) async fn delete(client: &Client, key: &Key) -> Result<()> {
    let _turn = client.turn().await?;
    delete_in_turn(client, key).await
}

/// The same for whoever has a turn already.
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
    // Whether some request may have been applied, or may yet be.
    let mut doubt = false;
    let mut turned = false;
    let mut refusals = 0;
    // Whether the request before was sent again without a look.
    let mut repeated = false;
    loop {
        let form = client.tokens.form();
        let fault = match attempts.one(client.put(key, bytes, when, form)).await {
            Ok(version) => {
                return named(client, &mut attempts, key, bytes, version).await;
            }
            Err(fault) => fault,
        };
        let goes_on = match fault.of_a_write() {
            OfAWrite::Hopeless => false,
            // With a request in doubt its answer is worth waiting for as long as anything is.
            OfAWrite::NotSent if doubt => attempts.pause_after(&fault).await,
            OfAWrite::NotSent => attempts.again(&fault).await,
            OfAWrite::Doubtful => {
                // IMPORTANT: stays set. From here on nothing that a later request meets can prove that this
                // one does not land.
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

/// What the present state of the key says about the write; none if it may still get into place.
fn settle(found: Option<Object>, bytes: &Bytes, when: &Precondition, kind: WriteKind) -> Option<Written> {
    match found {
        Some(object) if object.bytes == *bytes => Some(Written::Stored(object.meta.version)),
        found => {
            let current = found.map(|object| object.meta.version);
            if when.holds(current.as_ref()) {
                return None;
            }
            let written_once = kind == WriteKind::Fresh && *when == Precondition::Absent;
            Some(Written::Refused { current, overtaken: !written_once })
        }
    }
}

/// The condition holds and the write is not in place. Where a swap was refused all the same, the server may
/// want the version in another form, which is tried at once when the first one of an operation is refused.
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
            // A web server was asked several times already.
            Err(Unread::Fault(fault)) if fault.is_passing() && fault != Fault::WebPage => {
                if !attempts.pause_after(&fault).await {
                    return Err(Unread::Fault(fault));
                }
            }
            answer => return answer,
        }
    }
}

/// The version that the answer named, or, where it named none (Ceph's to a multipart upload is empty), what
/// the object is called now.
///
/// IMPORTANT: only where our bytes are still there. The name of what somebody else put in their place would
/// let a caller swap away what it has never seen; so that is overtaken, although ours was there.
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

/// The server refuses a write under a condition that holds.
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
    Error::new(ErrorKind::Unsafe, sentence)
}

/// The server says that it does not know the header of the condition.
fn unknown_condition(client: &Client, doing: Doing<'_>) -> Error {
    let Place { endpoint, url, .. } = &client.place;
    let sentence =
        format!("The endpoint {endpoint} knows no conditional writes: it answers 501 (to {doing} in {url})");
    Error::new(ErrorKind::Unsafe, sentence)
}

fn failed(client: &Client, doing: Doing<'_>, fault: &Fault, doubt: bool) -> Error {
    let error = fault.error(&client.place, doing);
    if doubt { unknown(error) } else { error }
}

fn unknown(error: Error) -> Error {
    error.with_outcome(Outcome::Unknown)
}
