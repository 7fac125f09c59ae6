//! The rounds: every peer of a scenario is measured once, then all of them again, so that a machine that
//! slows down affects all peers.

use std::time::Duration;

use crate::{
    arguments::{Order, Plan},
    cell::Found,
    child::cell,
    disk::Ground,
    machine::Machine,
    peers::Peer,
    scenario::Scenario,
    syncs,
};

/// The time that a quick run reserves for counting syncs.
const SYNCS_TAKE: Duration = Duration::from_secs(10);

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) machine: Machine,
    /// What a quick run had no time for.
    pub(crate) left_out: Vec<String>,
}

/// One peer in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    /// In the way that was faster for it.
    pub(crate) peer: Peer,
    /// The median of each figure over the rounds, and the highest peak.
    pub(crate) found: Found,
    /// The number of rounds.
    pub(crate) rounds: usize,
    /// How often a save waits for the disk, if it was counted.
    pub(crate) syncs: Option<f64>,
}

/// An unfinished row.
struct Contest {
    scenario: Scenario,
    peer: Peer,
    found: Vec<Found>,
    syncs: Option<f64>,
}

/// Why a run ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A quick run has reached its time limit.
    NoTime,
    Failed(String),
}

pub(crate) fn all(plan: &Plan) -> Result<Results, String> {
    let ground = Ground::below(&plan.dir, plan.limit())?;
    let mut machine = Machine::of(&ground);
    let mut contests = contests(plan);
    match rounds(plan, &ground, &mut contests) {
        // The results up to then are reported.
        Ok(()) | Err(Stop::NoTime) => {}
        Err(Stop::Failed(reason)) => return Err(reason),
    }
    machine.look_again(&ground);
    let left_out = left_out(&contests);
    let row = |Contest { scenario, peer, found, syncs }| {
        let rounds = found.len();
        Row { scenario, peer, found: middle(&found), rounds, syncs }
    };
    let rows = contests.into_iter().filter(|contest| !contest.found.is_empty()).map(row).collect();
    Ok(Results { rows, left_out, machine })
}

/// Returns what was never measured: scenarios, and missing peers of scenarios that were started.
fn left_out(contests: &[Contest]) -> Vec<String> {
    let mut left_out = Vec::new();
    for contests in contests.chunk_by(|one, next| one.scenario == next.scenario) {
        let missing: Vec<_> = contests.iter().filter(|contest| contest.found.is_empty()).collect();
        if missing.len() == contests.len() {
            left_out.push(contests[0].scenario.to_string());
        } else {
            left_out.extend(missing.iter().map(|of| format!("{} of {}", of.scenario, of.peer.name())));
        }
    }
    left_out
}

/// Returns the peers of each scenario.
fn contests(plan: &Plan) -> Vec<Contest> {
    let scenarios = Scenario::ALL.into_iter().filter(|scenario| plan.wants_scenario(*scenario));
    let contests = scenarios.flat_map(|scenario| {
        let peers = Peer::every_way().filter(move |peer| plan.wants_peer(*peer, scenario));
        peers.map(move |peer| Contest { scenario, peer, found: Vec::new(), syncs: None })
    });
    contests.collect()
}

fn rounds(plan: &Plan, ground: &Ground, contests: &mut [Contest]) -> Result<(), Stop> {
    let mut longest = Duration::ZERO;
    for round in 1..=plan.most_rounds() {
        // A quick run has as many rounds as fit, and at least one.
        if round > 1 && !ground.has_time_for(longest) {
            break;
        }
        let mut began = ground.elapsed();
        for contests in contests.chunk_by_mut(|one, next| one.scenario == next.scenario) {
            // One round of `flat` takes minutes, and covers thousands of saves.
            if round == 1 || contests[0].scenario != Scenario::Flat {
                // Work that is done only once does not count as time of a round.
                let preparing = ground.elapsed();
                for contest in contests.iter_mut().filter(|_| round == 1) {
                    fill(plan, ground, contest)?;
                    contest.peer = better_way(plan, ground, contest)?;
                }
                began += ground.elapsed() - preparing;
                for contest in contests {
                    ground.say(&format!("round {round}: {} of {}", contest.scenario, contest.peer));
                    contest.found.push(cell(ground, &order(plan, ground, contest.scenario, contest.peer))?);
                }
                ground.clear();
            }
        }
        longest = longest.max(ground.elapsed() - began);
        if round == 1 && plan.counts_syncs() && ground.has_time_for(SYNCS_TAKE) && syncs::can_be_counted() {
            count_syncs(plan, ground, contests).map_err(Stop::Failed)?;
        }
    }
    Ok(())
}

fn count_syncs(plan: &Plan, ground: &Ground, contests: &mut [Contest]) -> Result<(), String> {
    for contest in contests.iter_mut().filter(|contest| plan.counts_syncs_of(contest.scenario)) {
        ground.say(&format!("counting syncs: {} of {}", contest.scenario, contest.peer));
        let order = order(plan, ground, contest.scenario, contest.peer);
        contest.syncs = Some(syncs::per_save(ground, &order, plan.quick)?);
    }
    ground.clear();
    Ok(())
}

/// Returns the way of using a peer that is faster in this scenario: each is tried once.
fn better_way(plan: &Plan, ground: &Ground, contest: &Contest) -> Result<Peer, Stop> {
    let Contest { scenario, peer, .. } = *contest;
    let Some(other) = peer.other_way().filter(|_| scenario.clients() > 1) else { return Ok(peer) };
    ground.say(&format!("trial: {scenario} of {peer} and {other}"));
    let trial = |peer| {
        let found = cell(ground, &order(plan, ground, scenario, peer));
        ground.clear();
        found
    };
    Ok(if trial(other)?.per_second > trial(peer)?.per_second { other } else { peer })
}

/// Fills the store that this scenario reads, if it does not exist yet.
fn fill(plan: &Plan, ground: &Ground, contest: &Contest) -> Result<(), Stop> {
    let filler = contest.peer.filled_by();
    let order = order(plan, ground, contest.scenario, filler);
    if !contest.scenario.reads() || order.folder.exists() {
        return Ok(());
    }
    ground.say(&format!("filling: {filler}"));
    cell(ground, &Order { scenario: Scenario::Fill, ..order }).map(drop)
}

fn order(plan: &Plan, ground: &Ground, scenario: Scenario, peer: Peer) -> Order {
    let folder = if scenario.reads() {
        ground.filled(peer.filled_by().name())
    } else {
        ground.place(&format!("{scenario}-{peer}"))
    };
    let operations = (scenario == Scenario::Flat).then_some(plan.saves);
    Order { peer, scenario, folder, seconds: plan.cell_seconds(), operations, seed: plan.seed }
}

fn middle(rounds: &[Found]) -> Found {
    let of = |figure: fn(&Found) -> f64| median(rounds.iter().map(figure).collect());
    Found {
        operations: rounds.iter().map(|found| found.operations).sum(),
        per_second: of(|found| found.per_second),
        p50_us: of(|found| found.p50_us),
        p99_us: of(|found| found.p99_us),
        peak_kib: rounds.iter().map(|found| found.peak_kib).max().unwrap_or(0),
        flat: rounds.iter().find_map(|found| found.flat.clone()),
    }
}

/// Returns the median.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}
