//! The laws: what must hold in every world. They state the promises of the lock in terms of the model.

use super::{
    rules::{Look, Rules, Verdict},
    world::{CLOCKS, Doing, Held, Register, Role, Swap, World},
};

fn ensure(holds: bool, law: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(law()) }
}

/// Checks a swap. `own`: its sender is still waiting for the outcome.
pub(super) fn of_swaps(world: &World, by: Role, swap: &Swap, own: bool) -> Result<(), String> {
    let (before, after) = (&world.register, &swap.next);
    if let Doing::SaveUnder(name) = swap.doing {
        let fence = world.actor(by).has.filter(|(has, _)| *has == name).map(|(_, fence)| fence);
        ensure(fence.is_none_or(|fence| fence == world.highest), || {
            format!(
                "a write under {name:?} (fence {fence:?}) lands after its successor's, whose fence is {}",
                world.highest
            )
        })?;
    }
    ensure(after.fence >= before.fence, || {
        format!("the fence falls from {} to {}", before.fence, after.fence)
    })?;
    let saved = after.generation.wrapping_sub(before.generation);
    ensure(saved == u8::from(swap.doing.saves()), || format!("{saved} generations more"))?;
    let kept = after.chain().starts_with(before.chain());
    ensure(kept, || format!("a version is lost: {:?} becomes {:?}", before.chain(), after.chain()))?;
    let twice = own && swap.doing.saves() && world.actor(by).landed;
    ensure(!twice, || "one save lands twice".to_owned())?;
    of_leases(world, swap, before, after)
}

fn of_leases(world: &World, swap: &Swap, before: &Register, after: &Register) -> Result<(), String> {
    let raised = after.fence > before.fence;
    let named = |held: Option<Held>| held.map(|held| (held.name, held.fence));
    let (had, has) = (named(before.held), named(after.held));
    match swap.doing {
        Doing::Acquire(name) => {
            ensure(has.is_some_and(|(granted, _)| granted == name), || "it is not granted".to_owned())?;
            ensure(has.is_some_and(|(_, fence)| fence > world.highest), || {
                format!("{name:?} is granted under a fence that was there before: {has:?}")
            })?;
            ensure(!world.was_told(name), || {
                format!("{name:?}, of which its holder was told, is granted again")
            })
        }
        Doing::SaveUnder(name) => {
            ensure(had == has && had.is_some_and(|(held, _)| held == name) && !raised, || {
                format!("a save under {name:?} lands while the head has {had:?}")
            })
        }
        Doing::Renew(name) => {
            ensure(had == has && had.is_some_and(|(held, _)| held == name) && !raised, || {
                format!("{name:?} is renewed while the head has {had:?}")
            })
        }
        Doing::Release(name) => ensure(had.is_some_and(|(held, _)| held == name) && has.is_none(), || {
            format!("{name:?} is given back while the head has {had:?}")
        }),
        Doing::Break(name) => {
            ensure(had.is_some_and(|(held, _)| held == name) && has.is_none() && raised, || {
                format!("{name:?} is to be broken, and {had:?} becomes {has:?}")
            })
        }
        Doing::Save => ensure(has.is_none() && (had.is_none() || raised), || {
            format!("a save without a lease lands over {had:?}, whose holder does not lose it")
        }),
        Doing::Settle => {
            let same =
                (after.fence, after.held, after.chain()) == (before.fence, before.held, before.chain());
            ensure(same, || "settling changes more than the nonce".to_owned())
        }
    }
}

/// Checks an answer that an actor gets without a swap.
pub(super) fn of_answers(world: &World, by: Role, doing: Doing, verdict: Verdict) -> Result<(), String> {
    let actor = world.actor(by);
    let may_land = actor.doubts.iter().flatten().any(|doubt| doubt.named_is_present);
    let name = world.register.held.map(|held| held.name);
    match (verdict, doing) {
        (Verdict::Done, Doing::Acquire(wished)) => {
            ensure(name == Some(wished), || format!("{wished:?} is told, and {name:?} is there"))
        }
        (Verdict::Done, Doing::Release(gone) | Doing::Break(gone)) => {
            ensure(name != Some(gone), || format!("{gone:?} is told to be gone, and is there"))
        }
        (Verdict::Done, Doing::Save | Doing::SaveUnder(_)) => {
            ensure(actor.landed, || "a save is acknowledged that did not happen".to_owned())
        }
        (Verdict::Locked | Verdict::Lost, Doing::Save | Doing::SaveUnder(_)) => {
            ensure(!actor.landed, || "a save is refused that did happen".to_owned())?;
            ensure(!may_land, || "a save is refused that may happen yet".to_owned())
        }
        (Verdict::Locked, Doing::Acquire(wished)) => {
            ensure(!may_land, || format!("{wished:?} is refused, and may be granted yet"))
        }
        _ => Ok(()),
    }
}

/// Availability: if no other actor does anything, a client that wants the lock acquires it after waiting for
/// the duration of a lease, even if the holder has died, and whatever the client's own clock says.
pub(super) fn of_availability(register: Register, rules: &mut Rules) -> Result<(), String> {
    for by in Role::ALL.into_iter().filter(|role| role.is_holder()) {
        for clock in CLOCKS {
            let doing = Doing::Acquire(super::world::Name { holder: by, wish: 3 });
            let mut look = Look { by, doing, register, doubts: Default::default(), clock, unchanged: 0 };
            if matches!(rules.judge(look), Verdict::Swap(..)) {
                continue;
            }
            look.unchanged = 1;
            look.register.held.iter_mut().for_each(|held| held.refreshed = (held.refreshed - 1).max(-2));
            ensure(matches!(rules.judge(look), Verdict::Swap(..)), || {
                format!("{by:?}, whose clock is {clock:+}, waits for ever: {register:?}")
            })?;
        }
    }
    Ok(())
}
