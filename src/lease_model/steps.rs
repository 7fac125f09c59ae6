//! The possible events, and their effect on the world.

use super::{
    Flaw, laws,
    rules::{Look, Rules, Verdict, next_number},
    world::{Actor, Attempt, CLOCKS, Doing, Doubt, Name, OPEN, Role, Step, Swap, World},
};

/// An event. Between any two events an actor may be stopped for as long as the others need to do everything
/// else: a suspended process is one that takes no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The breaker chooses the current lease, and will break it.
    Mean(Role, Doing),
    /// The actor starts, reads the head, and decides as in `Look`.
    Begin(Role, Doing, i8),
    /// The actor reads the head and decides, with a wall clock that is off by this much. The clock may have
    /// been right before, because clocks jump.
    Look(Role, i8),
    /// The actor swaps and gets the reply.
    Swap(Role),
    /// The actor sends the swap, which may land now, later or never, and gets no reply.
    LoseReply(Role),
    /// A swap whose reply was lost lands after all.
    Land(Role, usize),
    /// The actor dies, but the swaps that it sent do not. It returns as another process without memory.
    Die(Role),
    /// More time passes than the duration of a lease plus the clock skew.
    TimePasses,
}

/// Returns the possible events.
pub(super) fn events(world: &World) -> Vec<Event> {
    let mut events = Vec::new();
    for role in Role::ALL {
        let actor = world.actor(role);
        match actor.step {
            Step::Rests => {
                for doing in begins(world, role) {
                    match doing {
                        Doing::Break(_) => events.push(Event::Mean(role, doing)),
                        _ => events.extend(CLOCKS.map(|clock| Event::Begin(role, doing, clock))),
                    }
                }
            }
            Step::Looks(_) => events.extend(CLOCKS.map(|clock| Event::Look(role, clock))),
            Step::Swaps(_) => {
                events.push(Event::Swap(role));
                if actor.left.lost_replies > 0 {
                    events.push(Event::LoseReply(role));
                }
            }
        }
        let flying = (0..OPEN).filter(|at| actor.flying[*at].is_some());
        events.extend(flying.map(|at| Event::Land(role, at)));
        if actor.left.deaths > 0 && (actor.step != Step::Rests || actor.has.is_some()) {
            events.push(Event::Die(role));
        }
    }
    if world.register.held.is_some_and(|held| held.refreshed > -2) {
        events.push(Event::TimePasses);
    }
    events
}

/// Returns what an idle actor may start.
fn begins(world: &World, role: Role) -> Vec<Doing> {
    let Actor { left, has, wishes, .. } = *world.actor(role);
    let mut begins = Vec::new();
    match (role, has) {
        (Role::Holder1 | Role::Holder2, Some((name, _))) => {
            begins.push(Doing::Release(name));
            begins.extend((left.saves > 0).then_some(Doing::SaveUnder(name)));
            begins.extend((left.renewals > 0).then_some(Doing::Renew(name)));
        }
        (Role::Holder1 | Role::Holder2, None) => {
            let name = Name { holder: role, wish: wishes };
            begins.extend((left.wishes > 0).then_some(Doing::Acquire(name)));
        }
        (Role::Saver, _) => begins.extend((left.saves > 0).then_some(Doing::Save)),
        (Role::Breaker, _) if left.others > 0 => {
            begins.extend(world.register.held.map(|held| Doing::Break(held.name)));
        }
        (Role::Folder, _) => begins.extend((left.others > 0).then_some(Doing::Settle)),
        (Role::Breaker, _) => {}
    }
    begins
}

/// Returns the world after an event, or the law that the event violates.
pub(super) fn after(world: &World, event: Event, rules: &mut Rules) -> Result<World, String> {
    let mut next = *world;
    match event {
        Event::Mean(role, doing) => begin(next.actor_mut(role), doing),
        Event::Begin(role, doing, clock) => {
            begin(next.actor_mut(role), doing);
            look(&mut next, role, clock, rules)?;
        }
        Event::Look(role, clock) => look(&mut next, role, clock, rules)?,
        Event::Swap(role) => swap(&mut next, role, rules)?,
        Event::LoseReply(role) => lose_reply(next.actor_mut(role)),
        Event::Land(role, at) => {
            if let Some(swap) = next.actor_mut(role).flying[at].take() {
                let own = next.actor(role).doubts.iter().flatten().any(|doubt| is_of(doubt, &swap));
                land(&mut next, role, swap, own, rules)?;
            }
        }
        Event::Die(role) => {
            let Actor { wishes, flying, left, .. } = *next.actor(role);
            let fresh = *World::new(|_| left).actor(role);
            *next.actor_mut(role) = Actor { wishes, flying, ..fresh };
            next.actor_mut(role).left.deaths -= 1;
            next.forget_attempts(role);
        }
        Event::TimePasses => {
            let older = |held: &mut super::world::Held| held.refreshed = (held.refreshed - 1).max(-2);
            next.register.held.iter_mut().for_each(older);
            for actor in &mut next.actors {
                if let Step::Swaps(swap) = &mut actor.step {
                    swap.next.held.iter_mut().for_each(older);
                }
                actor.flying.iter_mut().flatten().filter_map(|swap| swap.next.held.as_mut()).for_each(older);
            }
        }
    }
    Ok(next)
}

fn begin(actor: &mut Actor, doing: Doing) {
    actor.step = Step::Looks(doing);
    match doing {
        Doing::Acquire(_) => (actor.wishes, actor.left.wishes) = (actor.wishes + 1, actor.left.wishes - 1),
        Doing::Save | Doing::SaveUnder(_) => actor.left.saves -= 1,
        Doing::Renew(_) => actor.left.renewals -= 1,
        Doing::Break(_) | Doing::Settle => actor.left.others -= 1,
        Doing::Release(_) => {}
    }
}

fn look(world: &mut World, by: Role, clock: i8, rules: &mut Rules) -> Result<(), String> {
    let actor = *world.actor(by);
    let Step::Looks(doing) = actor.step else { return Ok(()) };
    let register = world.register;
    let look = Look { by, doing, register, doubts: actor.doubts, clock, unchanged: 0 };
    let verdict = rules.judge(look);
    laws::of_answers(world, by, doing, verdict)?;
    match verdict {
        Verdict::Swap(next, doubts) => {
            let swap = Swap { doing, next, named_is_present: true };
            let actor = world.actor_mut(by);
            (actor.step, actor.doubts) = (Step::Swaps(swap), doubts);
        }
        Verdict::Done => done(world, by, doing),
        Verdict::Lost => ended(world, by, None),
        Verdict::Locked | Verdict::Unknown => ended(world, by, actor.has),
    }
    Ok(())
}

/// Compares and swaps, and delivers the reply.
fn swap(world: &mut World, by: Role, rules: &Rules) -> Result<(), String> {
    let Step::Swaps(swap) = world.actor(by).step else { return Ok(()) };
    if lands(&swap, world, rules) {
        land(world, by, swap, true, rules)?;
        done(world, by, swap.doing);
    } else {
        world.actor_mut(by).step = Step::Looks(swap.doing);
    }
    Ok(())
}

fn lose_reply(actor: &mut Actor) {
    let Step::Swaps(swap) = actor.step else { return };
    actor.left.lost_replies -= 1;
    // A settling actor does not wait for the outcome.
    actor.step = if swap.doing == Doing::Settle { Step::Rests } else { Step::Looks(swap.doing) };
    if let Some(free) = actor.flying.iter_mut().find(|flying| flying.is_none()) {
        *free = swap.named_is_present.then_some(swap);
    }
    let number = next_number(actor.doubts);
    if let Some(free) = actor.doubts.iter_mut().find(|doubt| doubt.is_none())
        && swap.doing != Doing::Settle
    {
        let (generation, named_is_present) = (swap.next.generation, swap.named_is_present);
        let newest = swap.next.chain().last().copied().filter(|_| swap.doing.saves());
        let attempt = newest.unwrap_or(Attempt::Of(Role::Folder, number));
        *free = Some(Doubt { attempt, generation, named_is_present });
    }
}

/// Whether the attempt in doubt is this swap.
fn is_of(doubt: &Doubt, swap: &Swap) -> bool {
    swap.doing.saves() && swap.next.chain().last() == Some(&doubt.attempt)
}

fn lands(swap: &Swap, world: &World, rules: &Rules) -> bool {
    match rules.flaw {
        Some(Flaw::SwapsWithoutComparing) => true,
        Some(Flaw::ComparesTheGeneration) => {
            swap.named_is_present || swap.next.generation == world.register.generation + 1
        }
        _ => swap.named_is_present,
    }
}

/// Lands a swap. Swaps that named the previous version cannot land any more.
fn land(world: &mut World, by: Role, swap: Swap, own: bool, rules: &Rules) -> Result<(), String> {
    laws::of_swaps(world, by, &swap, own)?;
    world.register = swap.next;
    world.highest = world.highest.max(swap.next.fence);
    world.actor_mut(by).landed |= own && swap.doing.saves();
    let compares = !matches!(rules.flaw, Some(Flaw::SwapsWithoutComparing | Flaw::ComparesTheGeneration));
    for actor in &mut world.actors {
        actor.doubts.iter_mut().flatten().for_each(|doubt| doubt.named_is_present = false);
        if let Step::Swaps(swap) = &mut actor.step {
            swap.named_is_present = false;
            if compares {
                swap.next = super::world::Register { generation: swap.next.generation, ..forgotten(swap) };
            }
        }
        for flying in &mut actor.flying {
            *flying = flying.filter(|_| !compares).map(|swap| Swap { named_is_present: false, ..swap });
        }
    }
    Ok(())
}

/// Returns the remains of a swap that cannot land: what stays in doubt for its sender if the reply is lost.
fn forgotten(swap: &Swap) -> super::world::Register {
    super::world::Register { chain: swap.next.chain, ..super::world::Register::new() }
}

/// Reports success to the actor.
fn done(world: &mut World, by: Role, doing: Doing) {
    let has = match doing {
        Doing::Acquire(name) => {
            world.told |= name.bit();
            Some((name, world.register.fence))
        }
        Doing::Release(_) => None,
        _ => world.actor(by).has,
    };
    ended(world, by, has);
}

/// Reports the outcome to the actor. From now on it believes that it holds `has`.
fn ended(world: &mut World, by: Role, has: Option<(Name, u8)>) {
    let actor = world.actor_mut(by);
    *actor = Actor { step: Step::Rests, has, doubts: [None; OPEN], landed: false, ..*actor };
    world.forget_attempts(by);
}
