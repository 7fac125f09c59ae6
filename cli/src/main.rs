//! The program: one file per command, each a thin call of the library.
//!
//! # What scripts may rely on
//! Data goes to stdout, everything else to stderr. With `--json` stdout gets one document with
//! `"schema_version": 1`, which only ever gains fields; a failure is one object on stderr,
//! `{"type":"error","code","exit_code","message","hint"}`, and every other line there is an object with
//! another `type`. Exit codes:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, nothing changed |
//! | 2 | usage |
//! | 3 | some or all of a batch failed |
//! | 5 | the document or id is refused |
//! | 10 | store or workflow not found |
//! | 11 | locked, lease lost, or already locked |
//! | 13 | version conflict, deleted meanwhile, exists already, or modified outside |
//! | 14 | corruption found |
//! | 15 | the storage cannot do this safely |
//! | 16 | outcome unknown |
//! | 17 | the store's format does not match this program |
//! | 125 | `lock run` itself failed, the loss of its lease included |
//! | 126, 127 | the command of `lock run` could not be started, could not be found |
//! | 130, 143 | interrupted by Ctrl-C, by a termination signal |
//!
//! `list`, `search` and `status` name the workflows that cannot be read behind the others, and end with 14
//! then, or with 17 if a newer program wrote all of them.
//!
//! `lock run` ends with the code of its command, whatever it is (128 and the number of the signal that ended
//! it).
//!
//! **A reader that goes away** (`pflow-store list | head`) is not an error: the rest of the output is
//! dropped, and the exit code is the same as without the closed pipe. Any other failure to write to stdout
//! ends the program with 1, or with 16 after a change, because the caller did not see its result.
//!
//! **Signals.** The first Ctrl-C or SIGTERM ends what only reads or waits for input; a change that is under
//! way goes on to its end, and nothing new begins. The second leaves at once and says what it leaves in
//! doubt.

mod args;
mod config;
mod confirm;
mod conflict;
mod delete;
mod doctor;
mod documents;
mod edit;
mod expectation;
mod failure;
mod flow;
mod generated;
mod hint;
mod init;
mod input;
mod leases;
mod list;
mod load;
mod lock;
mod log;
mod nearest;
mod output;
mod patience;
mod reindex;
mod repair_heads;
mod save;
mod save_all;
mod search;
mod session;
mod show;
mod signal;
mod signals;
mod status;
mod table;
mod time;
mod undelete;
mod unreadable;
mod verify;
mod waiting;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use args::{Cli, Command};
use failure::{Failure, Result};
use output::Output;
use session::Session;
use signals::Signals;

/// Parses the arguments, runs the command and returns its exit code.
fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(refusal) => return args::answer(&refusal, &args),
    };
    let output = Output::new(cli.json, cli.quiet);
    log::start(&output, cli.verbose);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The command of `lock run` has printed its own messages.
            if !failure.is_of_command() {
                output.failure(&failure);
            }
            failure.exit.into()
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The disk backend has its own threads, so the runtime needs few.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("Failed to start: {error}")))?;
    let result = runtime.block_on(async {
        let signals = Signals::listen(output)?;
        let session = Session::new(cli.store, cli.patience, cli.any_file_system, output, &signals)?;
        let result = dispatch(cli.command, &session).await;
        session.close().await;
        signals.judge(result)
    });
    // It does not wait: an abandoned read of stdin may never end. All changes have ended before.
    runtime.shutdown_background();
    result
}

async fn dispatch(command: Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Init(init) => init.run(session).await,
        Command::Status => status::run(session).await,
        Command::Save(save) => save.run(session).await,
        Command::SaveAll(save_all) => save_all.run(session).await,
        Command::Load(load) => load.run(session).await,
        Command::Edit(edit) => edit.run(session).await,
        Command::Show(show) => show.run(session).await,
        Command::List(list) => list.run(session).await,
        Command::Search(search) => search.run(session).await,
        Command::Delete(delete) => delete.run(session).await,
        Command::Undelete(undelete) => undelete.run(session).await,
        Command::Lock(lock) => lock.run(session).await,
        Command::Config(config) => config.run(session).await,
        Command::Flow(flow) => flow.run(session),
        Command::Reindex => reindex::run(session).await,
        Command::Verify(verify) => verify.run(session).await,
        Command::Doctor(doctor) => doctor.run(session).await,
        Command::Completions(completions) => completions.run(session),
        Command::Man(man) => man.run(session),
        Command::DoctorLock(lock) => lock.run(session).await,
    }
}
