//! Two storages beside each other.

use crate::conformance::{
    check::{Checked, Stop, ensure},
    ground::Ground,
    handle::Handle,
};

/// All handles of a place name the same instance, also after a close, and no other place has that name.
pub(super) async fn an_instance_is_one_place_and_stays(ground: &Ground) -> Checked {
    ground.store.put("a", "a").await?;
    let Some(first) = instance(&ground.store).await? else {
        return Err(Stop::Skipped("the backend names no instance".to_owned()));
    };
    ground.store.put("a", "b").await?;
    expect(&ground.store, &first, "after a commit").await?;
    let elsewhere = ground.elsewhere()?;
    elsewhere.put("a", "a").await?;
    ensure!(instance(elsewhere).await? != Some(first.clone()), "two places have the same instance, {first}");
    let another = ground.another().await?;
    expect(&another, &first, "by another handle").await?;
    another.put("b", "b").await?;
    expect(&ground.store, &first, "after a commit of another handle").await?;
    for store in [&another, &ground.store] {
        store.backend().close().await.map_err(|error| Stop::error("A close", &error))?;
    }
    expect(&ground.another().await?, &first, "after a close").await
}

async fn expect(store: &Handle, first: &str, when: &str) -> Checked {
    let now = instance(store).await?;
    ensure!(
        now.as_deref() == Some(first),
        "a place keeps its instance: it was {first}, and is {now:?} {when}"
    );
    Ok(())
}

async fn instance(store: &Handle) -> Checked<Option<String>> {
    store.backend().instance().await.map_err(|error| Stop::read("instance", &error))
}
