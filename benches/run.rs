//! The rounds: every peer of a scenario once, then all of them again, so that a machine that slows down slows everybody.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    arguments::{Order, Plan},
    cell::Found,
    disk::{Ground, Mount},
    peers::Peer,
    scenario::Scenario,
};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) mount: Mount,
}

/// One peer in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    /// In the way that was better for it.
    pub(crate) peer: Peer,
    /// The median of each figure over the rounds, and the highest peak.
    pub(crate) found: Found,
    /// How often it was measured.
    pub(crate) rounds: usize,
}

/// A row on its way.
struct Contest {
    scenario: Scenario,
    peer: Peer,
    found: Vec<Found>,
}

pub(crate) fn all(plan: &Plan) -> Result<Results, String> {
    let ground = Ground::below(&plan.dir)?;
    let began = Instant::now();
    let mut contests = contests(plan, &ground)?;
    let mut longest = Duration::ZERO;
    for round in 1..=plan.most_rounds() {
        // A quick run has as many rounds as fit, and one in any case.
        if plan.budget().is_some_and(|budget| round > 1 && began.elapsed() + longest > budget) {
            break;
        }
        let round_began = Instant::now();
        for contests in contests.chunk_by_mut(|one, next| one.scenario == next.scenario) {
            for contest in contests {
                // That one takes minutes, and its figures are medians of thousands.
                if round == 1 || contest.scenario != Scenario::Flat {
                    eprintln!("round {round}: {} of {}", contest.scenario, contest.peer);
                    contest.found.push(cell(&ground, &order(plan, &ground, contest.scenario, contest.peer))?);
                }
            }
            ground.clear();
        }
        longest = longest.max(round_began.elapsed());
    }
    let row = |contest: Contest| {
        let Contest { scenario, peer, found } = contest;
        Row { scenario, peer, found: middle(&found), rounds: found.len() }
    };
    Ok(Results { rows: contests.into_iter().map(row).collect(), mount: ground.mount.clone() })
}

/// Who takes part in what, each in the better of its ways, side by side with those that it is measured against.
fn contests(plan: &Plan, ground: &Ground) -> Result<Vec<Contest>, String> {
    let mut contests = Vec::new();
    for scenario in Scenario::ALL.into_iter().filter(|scenario| plan.wants_scenario(*scenario)) {
        for peer in Peer::every_way().filter(|peer| plan.wants_peer(*peer, scenario)) {
            fill(plan, ground, scenario, peer)?;
            contests.push(Contest {
                scenario,
                peer: better_way(plan, ground, scenario, peer)?,
                found: Vec::new(),
            });
        }
    }
    ground.clear();
    Ok(contests)
}

/// The way of using a peer that is faster in this scenario: each is tried once.
fn better_way(plan: &Plan, ground: &Ground, scenario: Scenario, peer: Peer) -> Result<Peer, String> {
    let Some(other) = peer.other_way().filter(|_| scenario.clients() > 1) else { return Ok(peer) };
    eprintln!("trial: {scenario} of {peer} and {other}");
    let trial = |peer| cell(ground, &order(plan, ground, scenario, peer));
    Ok(if trial(other)?.per_second > trial(peer)?.per_second { other } else { peer })
}

/// Makes what this scenario reads, if it is not there yet.
fn fill(plan: &Plan, ground: &Ground, scenario: Scenario, peer: Peer) -> Result<(), String> {
    let order = order(plan, ground, scenario, peer);
    if !scenario.reads() || order.folder.exists() {
        return Ok(());
    }
    let filler = peer.filled_by();
    eprintln!("filling: {filler}");
    cell(ground, &Order { scenario: Scenario::Fill, peer: filler, ..order }).map(drop)
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

/// Measures one cell in a process of its own.
fn cell(ground: &Ground, order: &Order) -> Result<Found, String> {
    ground.settle();
    let what = format!("{} of {}", order.scenario, order.peer);
    let failed = |reason: String| format!("{what} failed: {reason}");
    let output = Command::new(program()?)
        .args(order.arguments())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))
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

/// The middle one, or halfway between the middle two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}
