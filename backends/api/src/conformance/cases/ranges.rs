//! A read of a range gives the bytes of the range that exist, and the size of the whole object.

use std::ops::Range;

use crate::conformance::{
    check::{Checked, Rule, ensure, numbered_body},
    ground::Ground,
    handle::Handle,
};

/// Bytes of which no part repeats soon.
fn body(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes()).take(length).collect()
}

/// Checks several ranges of an object with these bytes.
async fn check(store: &Handle, name: &str, body: &[u8], ranges: &[Range<u64>]) -> Checked {
    for range in ranges {
        store.expect_range(name, range.clone(), body).await?;
    }
    Ok(())
}

/// A range within the object gives exactly these bytes, in objects of every size.
pub(super) async fn a_range_gives_these_bytes(ground: &Ground) -> Checked {
    let store = &ground.store;
    for length in [4, 10, store.at_most(4_096), store.at_most(1_500_001)] {
        let body = body(length);
        store.put("a/b", body.clone()).await?;
        let end = length as u64;
        let (quarter, half) = (end / 4, end / 2);
        let ranges = [0..1, 0..end, 0..half, quarter..half, half..end, end - 1..end];
        check(store, "a/b", &body, &ranges).await?;
    }
    Ok(())
}

/// A range that ends after the end gives the bytes up to the end.
pub(super) async fn a_range_past_the_end_gives_what_is_there(ground: &Ground) -> Checked {
    let body = body(10);
    ground.store.put("a", body.clone()).await?;
    let ranges = [0..11, 9..11, 3..1_000_000, 0..u64::MAX, 9..u64::MAX];
    let found = check(&ground.store, "a", &body, &ranges).await;
    found.rule("a range that ends after the end gives the bytes up to the end")
}

/// A range that begins at or after the end gives no bytes, and the size.
pub(super) async fn a_range_behind_the_end_gives_no_bytes(ground: &Ground) -> Checked {
    let body = body(10);
    ground.store.put("a", body.clone()).await?;
    let ranges = [10..11, 10..1_000, 11..12, 1_000..2_000, u64::MAX - 1..u64::MAX];
    let found = check(&ground.store, "a", &body, &ranges).await;
    found.rule("a range that begins at or after the end gives no bytes")
}

/// An empty range gives no bytes, wherever it is.
#[allow(clippy::reversed_empty_ranges, reason = "a caller may compute one")]
pub(super) async fn an_empty_range_gives_no_bytes(ground: &Ground) -> Checked {
    let body = body(10);
    ground.store.put("a", body.clone()).await?;
    let ranges = [0..0, 5..5, 10..10, 11..11, 7..3, u64::MAX..u64::MAX];
    check(&ground.store, "a", &body, &ranges).await.rule("an empty range gives no bytes")
}

/// Every range of an object without bytes gives no bytes. The object exists.
pub(super) async fn an_object_without_bytes_has_empty_ranges(ground: &Ground) -> Checked {
    ground.store.put("empty", "").await?;
    let found = check(&ground.store, "empty", b"", &[0..0, 0..1, 0..u64::MAX, 5..9]).await;
    found.rule("an object without bytes is an object")
}

/// No range of a missing key has an answer.
pub(super) async fn a_missing_key_has_no_range(ground: &Ground) -> Checked {
    let store = &ground.store;
    store.put("a/x/y", "x").await?;
    store.put("gone", "x").await?;
    store.delete("gone").await?;
    for name in ["a", "a/x", "a/x/z", "b", "gone"] {
        for range in [0..0, 0..1, 5..9] {
            let found = store.get_range(name, range).await?;
            ensure!(found.is_none(), "get_range finds {name}, which is not there");
        }
    }
    Ok(())
}

/// A range is read from what was committed last, through every handle, whether the object grew or shrank.
pub(super) async fn a_range_reads_what_was_committed_last(ground: &Ground) -> Checked {
    const RULE: &str = "a commit that was answered is visible to every later read of a range";
    let [writes, reads] = ground.both().await?;
    let most = writes.at_most(300_000);
    for number in 0..12 {
        let body = match number % 3 {
            2 => format!("{number} short").into_bytes(),
            _ => numbered_body(number, most),
        };
        writes.put("a/b", body.clone()).await?;
        for store in [&writes, &reads] {
            for range in [0..4, 3..2_000, 2_000..2_100, 0..u64::MAX] {
                store.expect_range("a/b", range, &body).await.rule(RULE)?;
            }
        }
        if number % 5 == 4 {
            writes.delete("a/b").await?;
            let found = reads.get_range("a/b", 0..4).await?;
            ensure!(found.is_none(), "{RULE}: a/b was deleted, and get_range finds it");
        }
    }
    Ok(())
}
