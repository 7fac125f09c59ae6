//! Reads return what was put.

use crate::{
    Batch, Position,
    conformance::{
        check::{Checked, Rule, delete, ensure, numbered_body, put, same_bytes},
        ground::Ground,
    },
};

/// A key that was never put is none and not an error, even below a prefix without objects.
pub(super) async fn an_absent_key_is_none(ground: &Ground) -> Checked {
    for name in ["a", "a/b", "a/b/c/d"] {
        ground.store.expect_absent(name).await?;
    }
    ground.store.put("a/x", "x").await?;
    for name in ["a", "a/b", "a/b/c/d", "a/x-"] {
        ground.store.expect_absent(name).await.rule("a name with keys below it is no object")?;
    }
    Ok(())
}

/// Bytes are returned unchanged: none, zeros, all byte values, and invalid UTF-8.
pub(super) async fn what_was_put_comes_back(ground: &Ground) -> Checked {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let bodies: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"{\"a\": 1}\n"),
        ("crlf", b"a\r\nb\r\n\x1a"),
        ("zeros", &[0; 4_096]),
        ("every", &every_byte),
        ("no-text", b"\xff\xfe\xc3\x28"),
    ];
    for (name, body) in bodies {
        ground.store.put(name, body.to_vec()).await?;
    }
    for (name, body) in bodies {
        let rule = match body {
            [] => "an object without bytes is an object",
            _ => "bytes are returned unchanged, also if they are no text",
        };
        ground.store.expect(name, body).await.rule(rule)?;
    }
    Ok(())
}

/// An object of over a mebibyte (or as much as the backend accepts) is returned completely, and so is a small
/// one that replaces it.
pub(super) async fn a_large_object_comes_back_whole(ground: &Ground) -> Checked {
    let large: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(ground.store.at_most(1_500_001)).collect();
    ground.store.put("large", large.clone()).await?;
    ground.store.expect("large", &large).await?;
    ground.store.put("large", "small").await?;
    ground.store.expect("large", "small").await?;
    Ok(())
}

/// Commit, get and stat return the same version for the same bytes, and list returns their size.
pub(super) async fn get_stat_list_and_commit_agree(ground: &Ground) -> Checked {
    for number in 0..4 {
        let body = numbered_body(number, ground.store.at_most(4_096));
        let committed = ground.store.put("a/b", body.clone()).await?;
        let found = ground.store.expect("a/b", &body).await?;
        ensure!(found == committed, "commit calls a/b {committed}, get and stat {found}");
        let sizes: Vec<u64> = ground.store.list("a", None).await?.iter().map(|line| line.size).collect();
        ensure!(sizes == [body.len() as u64], "a/b has {} bytes; list says {sizes:?}", body.len());
    }
    Ok(())
}

/// Different bodies of one key always have different versions.
pub(super) async fn versions_differ_where_bytes_differ(ground: &Ground) -> Checked {
    let mut bodies: Vec<Vec<u8>> =
        ["", "a", "b", "aa", "ab", "ba", "\0", "a\0", "\0a", "a\n"].map(Vec::from).into();
    let long = vec![b'x'; ground.store.at_most(100_000)];
    for flipped in [0, long.len() / 2, long.len().saturating_sub(1)] {
        let mut body = long.clone();
        body.iter_mut().skip(flipped).take(1).for_each(|byte| *byte ^= 1);
        bodies.push(body);
    }
    bodies.push(long);
    let mut versions = Vec::new();
    for body in &bodies {
        let version = ground.store.put("a", body.clone()).await?;
        let twin = versions.iter().position(|earlier| *earlier == version);
        ensure!(
            twin.is_none(),
            "bodies {} and {} differ, and both have the version {version}",
            twin.unwrap_or_default(),
            versions.len()
        );
        versions.push(version);
    }
    Ok(())
}

const VISIBLE: &str = "a commit that was answered is visible to every later read";

/// A read after the answer of a commit sees what it put or removed.
pub(super) async fn a_write_is_read_by_every_later_read(ground: &Ground) -> Checked {
    for number in 0..20 {
        let body = number.to_string();
        let batch = Batch::new().stage([put("a", body.clone())?, put("b/c", body.clone())?]);
        let versions = ground.store.commit(batch).await?;
        let object = ground.store.read("a").await.rule(VISIBLE)?;
        same_bytes("a", &object.bytes, body.as_bytes()).rule(VISIBLE)?;
        let committed = versions.get(Position { stage: 0, operation: 0 });
        let found = &object.meta.version;
        ensure!(committed == Some(found), "commit calls a {committed:?}, get {found}");
        let names = ground.store.names("", None).await?;
        ensure!(names == ["a", "b/c"], "a and b/c were put; list finds {names:?}");
        ground.store.commit(Batch::new().stage([delete("b/c")?])).await?;
        ground.store.expect_absent("b/c").await.rule("b/c was deleted")?;
        let names = ground.store.names("", None).await?;
        ensure!(names == ["a"], "b/c was deleted; list finds {names:?}");
    }
    Ok(())
}
