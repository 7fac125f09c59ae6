use proptest::prelude::*;

use super::*;
use crate::format::Operation;
use crate::format::version::tests::record;

fn name(generation: u64, number: u8) -> VersionName {
    (generation, VersionId::parse(format!("{number:026}")).unwrap())
}

/// A version with unique content.
fn version(generation: u64, number: u8, parents: &[&Candidate]) -> Candidate {
    let name = name(generation, number);
    let mut record = record(generation, format!("{generation} {number}").as_bytes());
    record.version_id = name.1;
    record.parents = parents.iter().map(|parent| parent.reference().unwrap()).collect();
    Candidate { name, version: Some((record, ContentHash::of(format!("{generation}-{number}").as_bytes()))) }
}

/// The same version, marked as a person's edit that was kept below the next version.
fn kept(mut candidate: Candidate) -> Candidate {
    let (record, _) = candidate.version.as_mut().unwrap();
    record.operation = Operation::ADOPT;
    record.message = Some(VersionRecord::KEPT.to_owned());
    candidate
}

/// The status of each of `versions` relative to `head`.
fn statuses(head: Option<&Candidate>, versions: &[&Candidate], witnesses: &Witnesses) -> Vec<VersionStatus> {
    let versions: Vec<Candidate> = versions.iter().map(|version| (*version).clone()).collect();
    let head = head.map(|head| head.reference().unwrap());
    let told = classify(head.as_ref(), &versions, false, witnesses);
    versions.iter().map(|version| told[&version.name]).collect()
}

use VersionStatus::{Beside, Hurt, Unconfirmed};

#[test]
fn one_commit_ahead_without_a_witness_is_unconfirmed() {
    let first = version(1, 1, &[]);
    let (a, b) = (version(2, 2, &[&first]), version(2, 3, &[&first]));
    assert_eq!(statuses(Some(&first), &[&a, &b], &Witnesses::default()), [Unconfirmed, Unconfirmed]);
    assert_eq!(statuses(None, &[&first], &Witnesses::default()), [Unconfirmed]);
}

#[test]
fn any_witness_marks_the_head_as_hurt() {
    let first = version(1, 1, &[]);
    let next = version(2, 2, &[&first]);
    let indexed = Witnesses { indexed: [next.name].into(), ..Witnesses::default() };
    assert_eq!(statuses(Some(&first), &[&next], &indexed), [Hurt]);
    let copy = Witnesses { copy: next.record().unwrap().hash, ..Witnesses::default() };
    assert_eq!(statuses(Some(&first), &[&next], &copy), [Hurt]);
    let built = version(3, 3, &[&next]);
    assert_eq!(statuses(Some(&first), &[&next, &built], &Witnesses::default()), [Hurt, Hurt]);
    let lost = Witnesses { head_is_lost: true, ..Witnesses::default() };
    assert_eq!(statuses(None, &[&first], &lost), [Hurt]);
}

#[test]
fn with_atomic_batches_every_version_ahead_is_a_hurt_head() {
    let first = version(1, 1, &[]);
    let next = version(2, 2, &[&first]);
    let told = classify(first.reference().as_ref(), std::slice::from_ref(&next), true, &Witnesses::default());
    assert_eq!(told[&next.name], Hurt);
}

#[test]
fn another_branch_is_beside_and_its_merge_is_ahead() {
    let (first, other) = (version(1, 1, &[]), version(1, 2, &[]));
    let branch = version(2, 3, &[&other]);
    let head = version(2, 4, &[&first]);
    let merge = version(3, 5, &[&branch, &head]);
    let above = version(3, 6, &[&branch]);
    assert_eq!(statuses(Some(&head), &[&merge, &above], &Witnesses::default()), [Unconfirmed, Beside]);
}

#[test]
fn kept_edit_and_the_save_over_it_are_one_commit() {
    let first = version(1, 1, &[]);
    let edit = kept(version(2, 2, &[&first]));
    let saved = version(3, 3, &[&edit]);
    let later = version(4, 4, &[&saved]);
    assert_eq!(statuses(Some(&first), &[&edit, &saved], &Witnesses::default()), [Unconfirmed, Unconfirmed]);
    assert_eq!(statuses(Some(&first), &[&edit, &saved, &later], &Witnesses::default()), [Hurt, Hurt, Hurt]);
    let indexed = Witnesses { indexed: [saved.name].into(), ..Witnesses::default() };
    assert_eq!(statuses(Some(&first), &[&edit, &saved], &indexed), [Hurt, Hurt]);
}

#[test]
fn unreadable_version_is_hurt_only_without_a_head_version() {
    let (first, damaged) = (version(1, 1, &[]), Candidate::unreadable(name(2, 2)));
    assert_eq!(statuses(Some(&first), &[&damaged], &Witnesses::default()), [Beside]);
    assert_eq!(statuses(None, &[&damaged], &Witnesses::default()), [Hurt]);
    // Its parent is missing.
    let orphan = version(3, 3, &[&version(2, 4, &[&first])]);
    assert_eq!(statuses(Some(&first), &[&orphan], &Witnesses::default()), [Beside]);
    assert_eq!(statuses(None, &[&orphan], &Witnesses::default()), [Hurt]);
}

fn tips_of(head: Option<&Candidate>, versions: &[&Candidate], witnesses: &Witnesses) -> Vec<(u64, bool)> {
    let versions: Vec<Candidate> = versions.iter().map(|version| (*version).clone()).collect();
    let head = head.map(|head| head.reference().unwrap());
    let tips = tips(head.as_ref(), &versions, false, witnesses);
    tips.into_iter().map(|((generation, _), is_confirmed)| (generation, is_confirmed)).collect()
}

#[test]
fn parent_is_a_tip_only_below_a_version_without_a_witness() {
    let first = version(1, 1, &[]);
    let second = version(2, 2, &[&first]);
    let third = version(3, 3, &[&second]);
    let all = [&first, &second, &third];
    assert_eq!(tips_of(None, &all, &Witnesses::default()), [(2, true), (3, false)]);
    let indexed = Witnesses { indexed: [third.name].into(), ..Witnesses::default() };
    assert_eq!(tips_of(None, &all, &indexed), [(3, true)]);
    assert_eq!(tips_of(Some(&second), &[&third], &Witnesses::default()), [(3, false)]);
    // A kept edit is never taken without the version that was saved over it.
    let edit = kept(version(4, 4, &[&third]));
    let saved = version(5, 5, &[&edit]);
    let all = [&first, &second, &third, &edit, &saved];
    assert_eq!(tips_of(None, &all, &Witnesses::default()), [(3, true), (5, false)]);
}

/// The number of commits of every path from a version back to the head's version, by brute force.
fn ways(versions: &[Candidate], from: &Candidate, head: Option<&VersionRef>) -> Vec<usize> {
    let mut ways = Vec::new();
    let record = from.record().unwrap();
    if head.is_none() && record.parents.is_empty() {
        ways.push(1);
    }
    for parent in &record.parents {
        if Some(parent) == head {
            ways.push(1);
        } else if let Some(below) = versions.iter().find(|it| it.reference().as_ref() == Some(parent)) {
            ways.extend(self::ways(versions, below, head).into_iter().map(|commits| commits + 1));
        }
    }
    ways
}

proptest! {
    #[test]
    fn statuses_match_a_naive_model(
        parents in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>()), 1..9),
        head in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut versions: Vec<Candidate> = Vec::new();
        let mut indexed = BTreeSet::new();
        for (number, (picks, is_indexed)) in parents.iter().enumerate() {
            let mut of: Vec<&Candidate> = Vec::new();
            for pick in picks {
                if !versions.is_empty() {
                    let parent = pick.get(&versions);
                    if !of.iter().any(|it| it.name == parent.name) { of.push(parent); }
                }
            }
            let generation = of.iter().map(|it| it.name.0).max().unwrap_or(0) + 1;
            let next = version(generation, u8::try_from(number).unwrap(), &of);
            if *is_indexed { indexed.insert(next.name); }
            versions.push(next);
        }
        let head = head.map(|pick| pick.get(&versions).reference().unwrap());
        let generation = head.as_ref().map_or(0, |head| head.generation);
        let candidates: Vec<Candidate> =
            versions.iter().filter(|it| it.name.0 > generation).cloned().collect();
        let witnesses = Witnesses { indexed: indexed.clone(), ..Witnesses::default() };
        let told = classify(head.as_ref(), &candidates, false, &witnesses);
        for candidate in &candidates {
            let ways = ways(&versions, candidate, head.as_ref());
            let has_child = versions.iter().any(|it| {
                it.record().unwrap().parents.contains(&candidate.reference().unwrap())
            });
            let expected = if ways.is_empty() && head.is_some() {
                Beside
            } else if ways.iter().all(|commits| *commits == 1) && !has_child && !indexed.contains(&candidate.name) {
                Unconfirmed
            } else {
                Hurt
            };
            prop_assert_eq!(told[&candidate.name], expected, "{:?}", candidate.name);
        }
    }
}
