//! `config get` and `config set`: the settings of a store.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    conflict,
    documents::Settings,
    failure::{Failure, Result},
    output::printable,
    session::Session,
    time::Timeout,
};

const MORE: &str = "\
A setting is the default of a flag for every command on this store. The flag and its variable override it.

Settings:
  on_conflict    as --on-conflict: ask, fail, wait, ours, theirs, merge, override
  lock_timeout   as --lock-timeout: 30s, 5m

Examples:
  pflow-store config set on_conflict merge
  pflow-store config get
  pflow-store config set on_conflict --unset";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a setting, or all that are set
    Get(Get),
    /// Change a setting
    Set(Set),
}

#[derive(Debug, Args)]
struct Get {
    /// The setting
    name: Option<Name>,
}

#[derive(Debug, Args)]
struct Set {
    /// The setting
    name: Name,

    /// Its value
    #[arg(required_unless_present = "unset", conflicts_with = "unset")]
    value: Option<String>,

    /// Remove it, so that the default applies
    #[arg(long)]
    unset: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Name {
    OnConflict,
    LockTimeout,
}

impl Config {
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        match self.command {
            Command::Get(get) => get.run(session).await,
            Command::Set(set) => set.run(session).await,
        }
    }
}

impl Get {
    /// Prints the value alone, or `name = value` for each setting.
    async fn run(self, session: &Session<'_>) -> Result<()> {
        let mut settings: BTreeMap<String, Value> =
            session.open().await?.config().settings.into_iter().collect();
        let lines: Vec<String> = match self.name.map(Name::as_str) {
            Some(name) => {
                settings.retain(|it, _| it == name);
                settings.values().map(shown).collect()
            }
            None => {
                settings.iter().map(|(name, it)| format!("{} = {}", printable(name), shown(it))).collect()
            }
        };
        if lines.is_empty() {
            let none = self
                .name
                .map_or_else(|| "nothing is set".to_owned(), |it| format!("{} is not set", it.as_str()));
            session.output.note(&none);
        }
        session.answer(&lines.join("\n"), &Settings { settings })
    }
}

impl Set {
    /// Checks the value and changes the setting.
    async fn run(self, session: &Session<'_>) -> Result<()> {
        let name = self.name.as_str();
        if let Some(value) = &self.value {
            self.name.check(value).map_err(|why| Failure::usage(format!("{name}: {why}")))?;
        }
        let store = session.open().await?;
        let setting = store.set_setting(name, self.value.map(Value::from));
        let config = session.changing(format!("the change of {name}"), None, setting).await?;
        let settings: BTreeMap<String, Value> =
            config.settings.into_iter().filter(|(it, _)| it == name).collect();
        let text = settings
            .values()
            .next()
            .map_or_else(|| format!("{name} is not set any more"), |it| format!("{name} = {}", shown(it)));
        session.answer(&text, &Settings { settings })
    }
}

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Self::OnConflict => "on_conflict",
            Self::LockTimeout => "lock_timeout",
        }
    }

    /// Checks that the commands that use the setting accept the value.
    fn check(self, value: &str) -> std::result::Result<(), String> {
        match self {
            Self::OnConflict => conflict::check_choice(value),
            Self::LockTimeout => value.parse::<Timeout>().map(drop),
        }
    }
}

/// Returns a string as it is, and any other value as JSON.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    printable(&text).into_owned()
}
