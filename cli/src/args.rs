//! The command line: the arguments, and the answer if they cannot be parsed.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::{
    ArgAction, Parser, Subcommand,
    builder::{FalseyValueParser, TypedValueParser},
    error::ErrorKind,
};

use super::{
    config::Config,
    delete::Delete,
    doctor::{Doctor, DoctorLock},
    edit::Edit,
    failure::{Failure, exit},
    flow::Flow,
    generated::{Completions, ManPage},
    init::Init,
    list::List,
    load::Load,
    lock::LockArgs,
    output::Output,
    patience::Patience,
    save::Save,
    save_all::SaveAll,
    search::Search,
    show::Show,
    undelete::Undelete,
    verify::Verify,
};

const JSON: &str = "--json";
const JSON_VARIABLE: &str = "PFLOW_JSON";

/// The heading above the options that every command has.
const EVERYWHERE: &str = "Options everywhere";

const MORE: &str = "\
Examples:
  pflow-store init                          create ./.pflow
  pflow-store save greet greet.pflow.md     save a workflow, get its generation
  pflow-store load greet > greet.pflow.md   the same bytes again
  pflow-store list --tag etl --json         for scripts

The store is --store, else PFLOW_STORE, else the nearest .pflow at or above
the current folder, else ./.pflow. Buckets take their credentials, region
and endpoint from AWS_*, GOOGLE_* and AZURE_* variables.

Exit codes:
    0  done
    1  failed, nothing changed
    2  usage
    3  some or all of a batch failed
    5  the document or id is refused
   10  store or workflow not found
   11  locked, lease lost, or already locked
   13  version conflict, deleted meanwhile, exists already, or modified outside
   14  corruption found
   15  the storage cannot do this safely
   16  outcome unknown: look before you repeat it
   17  the store's format does not match this program
  130  interrupted (143: terminated)
`lock run` ends with its command's code; 125 to 127 are its own, as `env` has them.
A reader that goes away, as in `pflow-store list | head`, is not an error.";

/// Keeps workflow plans, their locks and versions safe on any storage.
#[derive(Debug, Parser)]
#[command(name = "pflow-store", version, after_help = MORE)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Cli {
    /// The store: a path, file:///folder, or s3://, gs:// or az://bucket/prefix
    #[arg(long, global = true, value_name = "URL", env = "PFLOW_STORE", hide_env_values = true, help_heading = EVERYWHERE)]
    pub(super) store: Option<OsString>,

    /// Print one JSON document; errors are JSON too
    #[arg(long, global = true, env = JSON_VARIABLE, hide_env_values = true, help_heading = EVERYWHERE)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(super) json: bool,

    /// Only data and errors, and warnings of data that is not where people look for it
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = EVERYWHERE)]
    pub(super) quiet: bool,

    /// Say more about what happens; twice for every step
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = EVERYWHERE)]
    pub(super) verbose: u8,

    /// Use a folder on a network file system; one machine alone may use it
    #[arg(long, global = true, env = "PFLOW_ANY_FILE_SYSTEM", hide_env_values = true, help_heading = EVERYWHERE)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(super) any_file_system: bool,

    #[command(flatten)]
    pub(super) patience: Patience,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a store; harmless when it exists
    #[command(after_help = super::init::MORE)]
    Init(Init),
    /// The store at a glance: where, how many, what is locked or changed outside
    Status,
    /// Save a workflow; prints the new generation once it is durable
    Save(Save),
    /// Save many workflows, each named by its file
    SaveAll(SaveAll),
    /// Print a workflow's content, byte for byte
    Load(Load),
    /// Edit a workflow with $VISUAL or $EDITOR
    Edit(Edit),
    /// Show all that is known of a workflow but its content
    Show(Show),
    /// List workflows
    List(List),
    /// Find workflows by words in id, name, description, tags and node types
    Search(Search),
    /// Delete a workflow; `undelete` brings it back
    Delete(Delete),
    /// Bring a deleted workflow back
    Undelete(Undelete),
    /// Lock a workflow, unlock it, see who has it
    Lock(LockArgs),
    /// Draw the flows that saving, deleting and locking run as
    Flow(Flow),
    /// Rebuild the index from the workflows
    #[command(after_help = super::reindex::MORE)]
    Reindex,
    /// Read everything and compare it; changes nothing without `--repair`
    Verify(Verify),
    /// Test the guarantees of the storage
    #[command(after_help = super::doctor::MORE)]
    Doctor(Doctor),
    /// The settings of the store
    Config(Config),
    /// Print the completions of a shell
    #[command(after_help = super::generated::COMPLETIONS)]
    Completions(Completions),
    /// Print the manual page of the program or of a command
    #[command(after_help = super::generated::MAN)]
    Man(ManPage),
    #[command(name = "__doctor-lock", hide = true)]
    DoctorLock(DoctorLock),
}

/// Prints the help, if it was asked for, or what is wrong with the arguments.
pub(super) fn answer(refusal: &clap::Error, args: &[OsString]) -> ExitCode {
    let output = Output::new(wants_json(args), false);
    if matches!(refusal.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = output.styled(&refusal.render());
        return match output.data(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let failure = Failure::unwritten(&error, false);
                output.failure(&failure);
                failure.exit.into()
            }
        };
    }
    if output.is_json() {
        let text = refusal.render().to_string();
        let (message, hint) = text.split_once("\n\n").unwrap_or((&text, ""));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = words(message.trim_start_matches("error: "));
        output.failure(&Failure::usage(message).with_hint(words(hint)));
    } else {
        output.usage(&refusal.render());
    }
    if runs_a_command(args) { exit::RUN_FAILED.into() } else { exit::USAGE.into() }
}

/// Returns whether arguments that could not be parsed are for `lock run`. Its exit code is 125 then, because
/// 2 could be the exit code of its command.
fn runs_a_command(args: &[OsString]) -> bool {
    let words: Vec<&OsString> =
        args.iter().skip(1).take_while(|arg| *arg != "--").filter(|arg| !is_option(arg)).collect();
    words.windows(2).any(|pair| matches!(pair, [first, second] if *first == "lock" && *second == "run"))
}

fn is_option(arg: &OsStr) -> bool {
    arg.as_encoded_bytes().starts_with(b"-")
}

/// Returns whether arguments that could not be parsed ask for JSON. It is a guess: `--json` may be the value
/// of another option.
fn wants_json(args: &[OsString]) -> bool {
    let by_variable = || {
        let value = std::env::var_os(JSON_VARIABLE)?;
        let command = clap::Command::new("");
        FalseyValueParser::new().parse_ref(&command, None, &value).ok()
    };
    args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == JSON) || by_variable() == Some(true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_asked_for_before_the_double_dash() {
        let asks = |args: &[&str]| wants_json(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(asks(&["pflow-store", "--nonsense", "--json"]));
        assert!(!asks(&["--json", "save", "--", "--json"]));
    }
}
