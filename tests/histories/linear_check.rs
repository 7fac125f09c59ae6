//! The check of histories rejects wrong histories and accepts right ones.

use crate::linear_support::{Asked, Effect, Event, Found, Step, Told, Value, check, search};
use proptest::prelude::*;

const LATER: u64 = u64::MAX;

fn event(asked: Asked, told: Told, began: u64, ended: u64) -> Event {
    Event { key: "k".to_owned(), asked, told, began, ended }
}

fn read(value: Option<Value>, began: u64, ended: u64) -> Event {
    event(Asked::Read, Told::Read(value), began, ended)
}

fn swap(expected: Option<Value>, new: Option<Value>, told: Told, began: u64, ended: u64) -> Event {
    event(Asked::Swap { expected, new }, told, began, ended)
}

fn done(expected: Option<Value>, new: Option<Value>, began: u64, ended: u64) -> Event {
    swap(expected, new, Told::Done, began, ended)
}

fn unknown(expected: Option<Value>, new: Option<Value>, began: u64) -> Event {
    swap(expected, new, Told::Unknown, began, LATER)
}

fn refused(expected: Option<Value>, found: Option<Value>, began: u64, ended: u64) -> Event {
    swap(expected, Some(99), Told::Refused(Found::This(found)), began, ended)
}

fn overtaken(expected: Option<Value>, new: Value, found: Value, began: u64, ended: u64) -> Event {
    swap(expected, Some(new), Told::Overtaken(Found::This(Some(found))), began, ended)
}

/// A register that is created with 1 and then set to 2.
fn two() -> Vec<Event> {
    vec![done(None, Some(1), 0, 1), done(Some(1), Some(2), 10, 20)]
}

#[track_caller]
fn fits(more: impl IntoIterator<Item = Event>) {
    let events: Vec<Event> = two().into_iter().chain(more).collect();
    check(&events).unwrap();
}

#[track_caller]
fn fails(more: impl IntoIterator<Item = Event>) {
    let events: Vec<Event> = two().into_iter().chain(more).collect();
    let words = check(&events).unwrap_err();
    assert!(words.contains("k: no order") || words.contains("no reason"), "{words}");
}

#[test]
fn concurrent_operations_may_take_either_order() {
    fits([]);
    fits([read(Some(1), 2, 11), read(Some(2), 12, 13)]);
    fits([read(Some(2), 10, 11), read(Some(2), 12, 13)]);
    fits([read(Some(1), 19, 30), read(Some(2), 19, 30)]);
    fits([refused(Some(1), Some(2), 15, 16), refused(Some(2), Some(1), 9, 14)]);
    fits([done(Some(2), None, 15, 30), read(None, 18, 19), refused(Some(2), None, 18, 40)]);
}

#[test]
fn a_stale_read_is_found() {
    fails([read(Some(1), 21, 22)]);
    fails([read(None, 2, 3)]);
    // The new value is read, and then the old one again.
    fails([read(Some(2), 11, 12), read(Some(1), 13, 14)]);
    fails([refused(Some(2), Some(1), 21, 22)]);
    fails([refused(Some(1), Some(2), 2, 9)]);
}

#[test]
fn a_read_of_an_unwritten_value_is_found() {
    fails([read(Some(7), 2, 30)]);
    fails([refused(Some(1), Some(7), 2, 30)]);
    fails([read(None, 2, 30)]);
}

#[test]
fn a_lost_update_is_found() {
    fails([done(Some(1), Some(3), 10, 20)]);
    fails([done(None, Some(3), 0, 1)]);
    fails([done(Some(2), Some(3), 21, 22), read(Some(2), 23, 24)]);
    fails([done(Some(2), None, 21, 22), read(Some(2), 23, 24)]);
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    fails([refused(Some(2), Some(2), 21, 22)]);
    fails([swap(Some(2), Some(3), Told::Refused(Found::Other), 21, 22)]);
    fits([swap(Some(1), Some(3), Told::Refused(Found::Other), 21, 22)]);
}

#[test]
fn an_unknown_outcome_happens_once_later_or_never() {
    let three = || unknown(Some(2), Some(3), 30);
    fits([three()]);
    fits([three(), read(Some(2), 31, 32), read(Some(3), 33, 34)]);
    fits([three(), read(Some(2), 31, 32), done(Some(2), Some(4), 40, 41), read(Some(4), 42, 43)]);
    fits([three(), refused(Some(2), Some(3), 31, 32)]);
    fits([unknown(Some(2), None, 30), read(Some(2), 31, 32), read(None, 33, 34)]);
    fails([three(), read(Some(3), 28, 29)]);
    fails([three(), read(Some(3), 31, 32), read(Some(2), 33, 34)]);
    fails([three(), done(Some(3), Some(2), 31, 32), read(Some(3), 33, 34)]);
    fails([unknown(Some(1), Some(3), 30), read(Some(3), 31, 32)]);
}

#[test]
fn what_is_overtaken_happened_while_it_ran_or_never() {
    let four = || unknown(Some(2), Some(4), 22);
    fits([four(), overtaken(Some(2), 3, 4, 30, 40), read(Some(4), 41, 42)]);
    fits([overtaken(Some(2), 3, 4, 30, 40), done(Some(3), Some(4), 32, 33)]);
    // It is over.
    fails([overtaken(Some(2), 3, 4, 30, 40), done(Some(2), Some(4), 32, 33), read(Some(3), 41, 42)]);
    fails([four(), overtaken(Some(2), 3, 4, 30, 40), read(Some(2), 41, 42)]);
    fails([overtaken(Some(2), 3, 2, 30, 40)]);
}

/// A read that could be placed first, but would then make the write too late that explains the other reads.
#[test]
fn a_look_waits_for_what_may_have_ended_before_it() {
    let step = |effect, must, began, ended| Step { effect, must, began, ended };
    let remove = step(Effect::Swap { from: Some(1), to: None }, true, 0, 20);
    let look = step(Effect::See(None), true, 6, 7);
    let create = step(Effect::Swap { from: None, to: Some(1) }, false, 0, 5);
    search(&[remove, look, create]).unwrap();
    search(&[remove, look, Step { began: 6, ended: 9, ..create }]).unwrap();
    search(&[remove, look]).unwrap_err();
}

#[test]
fn registers_do_not_explain_each_other() {
    let mut other = read(Some(2), 21, 22);
    other.key = "other".to_owned();
    let events: Vec<Event> = two().into_iter().chain([other]).collect();
    assert!(check(&events).unwrap_err().starts_with("other: no order"));
}

/// A history of sixteen concurrent clients: `swaps` swaps, of which one in `rare` has an unknown outcome.
fn busy(swaps: u64, rare: u64) -> Vec<Event> {
    let mut events = vec![done(None, Some(0), 0, 1)];
    let mut now = 0;
    for n in 1..=swaps {
        // Each swap begins before the fifteen previous ones have ended.
        let (began, ended) = (10 * n, 10 * n + 150);
        events.push(match n % rare {
            0 => unknown(Some(now), Some(n), began),
            _ if n % 3 == 0 => refused(Some(now + 1_000_000), Some(now), began, ended),
            _ => done(Some(now), Some(n), began, ended),
        });
        if !matches!(events.last().unwrap().told, Told::Refused(_)) && (n % rare != 0 || n % 2 == 0) {
            now = n;
        }
    }
    events
}

#[test]
fn the_work_grows_with_the_history_and_not_faster() {
    for (swaps, rare) in [(4_000, 7), (4_000, 50)] {
        let events = busy(swaps, rare);
        let looked = check(&events).unwrap();
        assert!(looked < events.len() * 3, "{looked} positions for {} events", events.len());
        // The search is also fast if there is no order: the last read returns the first value.
        let wrong = [events, vec![read(Some(0), 10 * swaps + 200, 10 * swaps + 201)]].concat();
        check(&wrong).unwrap_err();
    }
}

/// A reference check that tries all orders of all subsets.
fn by_force(steps: &[Step], state: Option<Value>, latest: u64, left: &mut Vec<usize>) -> bool {
    if left.iter().all(|step| !steps[*step].must) {
        return true;
    }
    for at in 0..left.len() {
        let step = left.remove(at);
        let Step { effect, began, ended, .. } = steps[step];
        let after = match effect {
            Effect::See(seen) => (seen == state).then_some(state),
            Effect::Miss(missed) => (missed != state).then_some(state),
            Effect::Swap { from, to } => (from == state).then_some(to),
        };
        let found =
            after.is_some_and(|after| ended >= latest && by_force(steps, after, latest.max(began), left));
        left.insert(at, step);
        if found {
            return true;
        }
    }
    false
}

fn few_steps() -> impl Strategy<Value = Vec<Step>> {
    let value = || prop_oneof![1 => Just(None), 3 => (0..3_u64).prop_map(Some)];
    let effect = prop_oneof![
        3 => value().prop_map(Effect::See),
        1 => value().prop_map(Effect::Miss),
        4 => (value(), value()).prop_map(|(from, to)| Effect::Swap { from, to }),
    ];
    let step = (effect, 0..12_u64, 0..8_u64, 0..5_u8).prop_map(|(effect, began, lasts, dice)| {
        let must = dice > 1 || !matches!(effect, Effect::Swap { .. });
        let ended = if dice == 0 && !must { LATER } else { began + lasts };
        Step { effect, must, began, ended }
    });
    proptest::collection::vec(step, 1..8).prop_map(|mut steps| {
        steps.sort_by_key(|step| (!step.must, step.began));
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_an_order_wherever_there_is_one(steps in few_steps()) {
        let there_is = by_force(&steps, None, 0, &mut (0..steps.len()).collect());
        prop_assert_eq!(search(&steps).is_ok(), there_is);
    }
}
