use std::collections::{BTreeMap, BTreeSet};

use super::{Life, Line};

/// How many events of each kind the histories have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) grants: usize,
    pub(crate) saved: usize,
    /// Saves that were refused because the lease of their client was lost.
    pub(crate) lost: usize,
    pub(crate) unknown: usize,
    pub(crate) refused: usize,
    /// Of these, how many because of the lease of a dead process.
    pub(crate) by_the_dead: usize,
    pub(crate) deaths: usize,
    /// Leases whose holder was killed.
    pub(crate) held_in_death: usize,
}

/// Checks that the reports of all lives are true, given the text of each generation of each workflow.
///
/// `lasts`: how long a lease without a renewal blocks other clients, with the allowance for clocks, in the
/// milliseconds of the lines. `seen`: waiting clients can see that a process is gone, so only a detached
/// lease outlasts its holder.
pub(crate) fn check(
    lives: &[Life],
    chains: &BTreeMap<String, Vec<String>>,
    lasts: u64,
    seen: bool,
) -> Result<Checked, String> {
    let mut checked = Checked::default();
    let owners = owners(lives, &mut checked)?;
    for (workflow, chain) in chains {
        fenced(workflow, chain, &owners)?;
    }
    acknowledged(lives, chains, &mut checked)?;
    available(lives, lasts, seen, &mut checked)?;
    Ok(checked)
}

/// Checks that each fence belongs to one life, and that the later of two grants has the higher fence.
fn owners(lives: &[Life], checked: &mut Checked) -> Result<BTreeMap<(String, u64), usize>, String> {
    let mut owners = BTreeMap::new();
    let mut grants: Vec<(&str, u64, u64, u64)> = Vec::new();
    for (life, line) in lines(lives) {
        if let Line::Granted { workflow, fence, began, ended, .. } = line {
            checked.grants += 1;
            grants.push((workflow, *fence, *began, *ended));
            if let Some(other) = owners.insert((workflow.clone(), *fence), life) {
                return Err(format!("fence {fence} of {workflow} was granted to {other} and to {life}"));
            }
        }
    }
    for (workflow, fence, _, ended) in &grants {
        let later = grants
            .iter()
            .find(|(other, smaller, began, _)| other == workflow && began > ended && smaller < fence);
        if let Some(later) = later {
            return Err(format!("fence {fence} of {workflow} was granted by {ended}, and later {later:?}"));
        }
    }
    Ok(owners)
}

/// Checks that fences never decrease from generation to generation, and that every text is from the life that
/// its fence was granted to.
fn fenced(workflow: &str, chain: &[String], owners: &BTreeMap<(String, u64), usize>) -> Result<(), String> {
    let mut highest = 0;
    for (generation, text) in (1..).zip(chain) {
        let mut words = text.split('/');
        let fence: u64 = words.next().and_then(|word| word.parse().ok()).ok_or("no fence")?;
        let life: usize = words.next().and_then(|word| word.parse().ok()).ok_or("no life")?;
        if fence < highest {
            return Err(format!("{workflow}@{generation} ({text}) was written behind fence {highest}"));
        }
        highest = fence;
        if owners.get(&(workflow.to_owned(), fence)) != Some(&life) {
            return Err(format!("{workflow}@{generation} ({text}) was written without a grant"));
        }
    }
    Ok(())
}

/// Checks that acknowledged saves are in the chain at their generation, that refused saves are not, that
/// every text was written by a client, and that none occurs twice.
fn acknowledged(
    lives: &[Life],
    chains: &BTreeMap<String, Vec<String>>,
    checked: &mut Checked,
) -> Result<(), String> {
    let places = |workflow: &str, text: &str| -> Vec<u64> {
        let chain = chains.get(workflow).map(Vec::as_slice).unwrap_or_default();
        (1..).zip(chain).filter(|(_, there)| *there == text).map(|(generation, _)| generation).collect()
    };
    let mut written = BTreeSet::new();
    for (_, line) in lines(lives) {
        match line {
            Line::Saves { workflow, text } => {
                written.insert((workflow.clone(), text.clone()));
                if places(workflow, text).len() > 1 {
                    return Err(format!("{text} is twice in {workflow}"));
                }
            }
            Line::Saved { workflow, text, generation } => {
                checked.saved += 1;
                let places = places(workflow, text);
                if places != [*generation] {
                    return Err(format!(
                        "{workflow}@{generation} ({text}) was acknowledged, and is at {places:?}"
                    ));
                }
            }
            Line::Lost { workflow, text } => {
                checked.lost += 1;
                if !places(workflow, text).is_empty() {
                    return Err(format!("{text} of {workflow} was refused, and is there"));
                }
            }
            Line::Unknown { .. } => checked.unknown += 1,
            _ => {}
        }
    }
    let found = chains.iter().flat_map(|(workflow, chain)| chain.iter().map(move |text| (workflow, text)));
    for (workflow, text) in found {
        if !written.contains(&(workflow.clone(), text.clone())) {
            return Err(format!("no client wrote {text} of {workflow}"));
        }
    }
    Ok(())
}

/// Checks that the lease of a dead process blocks others for at most its length: a client that looks twice
/// after the death, at least that far apart, is not refused because of the same lease the second time.
/// Looks are counted, so a slow machine makes the test slow and nothing else.
fn available(lives: &[Life], lasts: u64, seen: bool, checked: &mut Checked) -> Result<(), String> {
    let mut dead: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for life in lives {
        let Some(died) = life.died else { continue };
        checked.deaths += 1;
        let left: BTreeSet<&str> = life
            .lines
            .iter()
            .filter_map(|line| if let Line::Left { lease } = line { Some(lease.as_str()) } else { None })
            .collect();
        for line in &life.lines {
            if let Line::Asks { lease, detached, .. } = line {
                dead.insert(lease, (died, *detached));
            }
            if let Line::Granted { lease, .. } = line {
                checked.held_in_death += usize::from(!left.contains(lease.as_str()));
            }
        }
    }
    for (number, life) in lives.iter().enumerate() {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for line in &life.lines {
            let Line::Refused { by, began, ended, .. } = line else { continue };
            checked.refused += 1;
            let Some((died, detached)) = dead.get(by.as_str()).filter(|(died, _)| died < began) else {
                continue;
            };
            checked.by_the_dead += 1;
            if seen && !detached {
                return Err(format!(
                    "{number} was refused at {began} because of {by}, whose process was gone at {died}"
                ));
            }
            let since = *first.entry(by).or_insert(*ended);
            if began.saturating_sub(since) > lasts {
                return Err(format!(
                    "{number} was refused at {began} because of {by}, whose holder died at {died}, as it was at {since}"
                ));
            }
        }
    }
    Ok(())
}

fn lines(lives: &[Life]) -> impl Iterator<Item = (usize, &Line)> {
    lives.iter().enumerate().flat_map(|(number, life)| life.lines.iter().map(move |line| (number, line)))
}

#[test]
fn the_check_can_fail() {
    let text = |fence: u64, life: u64, n: u64| format!("{fence}/{life}/0.{n}");
    let granted = |fence, began| Line::Granted {
        workflow: "w".to_owned(),
        lease: format!("{fence}"),
        fence,
        began,
        ended: began + 1,
    };
    let saves = |text: &String| Line::Saves { workflow: "w".to_owned(), text: text.clone() };
    let saved =
        |text: &String, generation| Line::Saved { workflow: "w".to_owned(), text: text.clone(), generation };
    let lost = |text: &String| Line::Lost { workflow: "w".to_owned(), text: text.clone() };
    let asks = Line::Asks { workflow: "w".to_owned(), lease: "1".to_owned(), detached: true };
    let refused =
        |began| Line::Refused { workflow: "w".to_owned(), by: "1".to_owned(), began, ended: began + 1 };
    let life = |lines: &[Line], died| Life { lines: lines.to_vec(), died };
    let told = |lives: &[Life], chain: &[&String]| {
        let chain = chain.iter().map(|text| (*text).clone()).collect();
        check(lives, &BTreeMap::from([("w".to_owned(), chain)]), 100, true)
    };
    let (a, b, c) = (text(1, 0, 0), text(2, 1, 0), text(1, 0, 1));
    let first = life(&[asks, granted(1, 0), saves(&a), saved(&a, 1), saves(&c)], Some(10));
    let second = |more: &[Line]| life(&[&[granted(2, 20), saves(&b), saved(&b, 2)], more].concat(), None);
    let both = |more: &[Line]| [life(&first.lines, first.died), second(more)];
    let fine = told(&both(&[refused(30), refused(130)]), &[&a, &b]).unwrap();
    assert_eq!((fine.grants, fine.saved, fine.by_the_dead, fine.deaths, fine.held_in_death), (2, 2, 2, 1, 1));
    for (chain, law) in [
        (vec![&a, &b, &c], "behind fence 2"),
        (vec![&b, &a], "behind fence 2"),
        (vec![&a], "acknowledged"),
        (vec![&a, &b, &b], "twice"),
    ] {
        let broken = told(&both(&[]), &chain).unwrap_err();
        assert!(broken.contains(law), "{broken}");
    }
    for (more, law) in [
        (vec![refused(30), refused(132)], "holder died at 10"),
        (vec![granted(1, 40)], "was granted to 0 and to 1"),
        (vec![lost(&b)], "was refused, and is there"),
    ] {
        let broken = told(&both(&more), &[&a, &b]).unwrap_err();
        assert!(broken.contains(law), "{broken}");
    }
    let mut attached = both(&[refused(30)]);
    if let Line::Asks { detached, .. } = &mut attached[0].lines[0] {
        *detached = false;
    }
    assert!(told(&attached, &[&a, &b]).unwrap_err().contains("process was gone at 10"));
    let stray = text(3, 1, 0);
    assert!(told(&both(&[]), &[&a, &b, &stray]).unwrap_err().contains("without a grant"));
}
