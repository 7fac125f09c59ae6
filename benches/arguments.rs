//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{peers::Peer, scenario::Scenario};

/// Measures pflow-store and its peers side by side on one disk.
#[derive(Debug, Parser)]
#[command(name = "pflow-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) plan: Plan,

    /// One JSON document on standard output; the table goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,

    /// The page RESULTS.md on standard output; the table goes to standard error.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

/// What is run, how often and where.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Within a minute: shorter cells, fewer rounds, no `flat`.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where to write: a folder below this one, which goes again. It must be on a disk.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,

    /// Only these peers.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<Peer>,

    /// Only these scenarios.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) scenario: Vec<Scenario>,

    /// How long a cell measures; one round then, unless --rounds is given. For a look with perf.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,

    /// How often each cell is measured.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// How many saves `flat` makes.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) saves: u64,

    /// What the workflows are made from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One peer in one scenario, in this process. The program starts itself with this.
    #[command(hide = true)]
    Cell(Order),
}

/// One cell.
#[derive(Debug, Clone, Args)]
pub(crate) struct Order {
    #[arg(long)]
    pub(crate) peer: Peer,

    #[arg(long)]
    pub(crate) scenario: Scenario,

    /// Where the peer keeps its data: empty, or filled before where the scenario reads.
    #[arg(long)]
    pub(crate) folder: PathBuf,

    /// How long to go on.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,

    /// How many operations instead, over all clients.
    #[arg(long)]
    pub(crate) operations: Option<u64>,

    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Plan {
    /// Returns how long a cell measures, in seconds.
    pub(crate) fn cell_seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.25 } else { 2.0 })
    }

    pub(crate) fn most_rounds(&self) -> usize {
        let usual = match (self.seconds, self.quick) {
            (Some(_), _) => 1,
            (None, true) => 3,
            (None, false) => 5,
        };
        self.rounds.unwrap_or(usual).max(1)
    }

    /// Returns when the last cell must have ended, if the time matters more than the number of rounds. The
    /// cleanup afterwards takes a while on a slow disk.
    pub(crate) fn limit(&self) -> Option<Duration> {
        (self.quick && self.rounds.is_none()).then_some(Duration::from_secs(48))
    }

    /// A run with perf does not wait for the count of syncs.
    pub(crate) fn counts_syncs(&self) -> bool {
        self.seconds.is_none()
    }

    pub(crate) fn counts_syncs_of(&self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Save { clients } => clients == 1 || !self.quick,
            Scenario::Batch => !self.quick,
            _ => false,
        }
    }

    pub(crate) fn wants_scenario(&self, scenario: Scenario) -> bool {
        let usual = !(self.quick && scenario == Scenario::Flat);
        if self.scenario.is_empty() { usual } else { self.scenario.contains(&scenario) }
    }

    /// An alternative way of using a peer is measured only on request. So is a peer in `flat`, which takes
    /// minutes.
    pub(crate) fn wants_peer(&self, peer: Peer, scenario: Scenario) -> bool {
        let usual = Peer::ALL.contains(&peer) && (scenario != Scenario::Flat || peer.is_ours());
        peer.takes_part(scenario) && if self.only.is_empty() { usual } else { self.only.contains(&peer) }
    }
}

impl Order {
    /// Returns the arguments with which the program starts itself to carry out the order.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["cell".into(), "--folder".into(), self.folder.clone().into_os_string()];
        let mut option = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
        option("--peer", self.peer.to_string());
        option("--scenario", self.scenario.to_string());
        option("--seconds", self.seconds.to_string());
        option("--seed", self.seed.to_string());
        if let Some(operations) = self.operations {
            option("--operations", operations.to_string());
        }
        arguments
    }
}
