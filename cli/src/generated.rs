//! `completions` and `man`: files that are generated from the definition of the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{
    args::Cli,
    documents::Generated,
    failure::{Failure, Result},
    session::Session,
};

pub(super) const COMPLETIONS: &str = "\
Examples:
  pflow-store completions bash > ~/.local/share/bash-completion/completions/pflow-store
  pflow-store completions zsh > ~/.zfunc/_pflow-store
  pflow-store completions fish > ~/.config/fish/completions/pflow-store.fish";

pub(super) const MAN: &str = "\
Examples:
  pflow-store man | man -l -
  pflow-store man lock run > ~/.local/share/man/man1/pflow-store-lock-run.1";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManPage {
    /// The command that the page is about; the program without it
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

impl Completions {
    /// Prints the script with which a shell completes the command line.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<()> {
        let mut text = Vec::new();
        let mut command = Cli::command();
        clap_complete::generate(self.shell, &mut command, "pflow-store", &mut text);
        answer(session, text)
    }
}

impl ManPage {
    /// Prints the page.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<()> {
        let mut command = Cli::command();
        command.build();
        for word in &self.command {
            let inner = command.find_subcommand(word).filter(|inner| !inner.is_hide_set()).cloned();
            command = inner.ok_or_else(|| {
                let words = self.command.join(" ");
                Failure::usage(format!("there is no command `{words}`")).with_hint("see `pflow-store --help`")
            })?;
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut text)
            .map_err(|error| Failure::failed(format!("Failed to write the page: {error}")))?;
        answer(session, text)
    }
}

fn answer(session: &Session<'_>, text: Vec<u8>) -> Result<()> {
    let text = String::from_utf8(text)
        .map_err(|error| Failure::failed(format!("the text is not UTF-8: {error}")))?;
    session.answer(text.trim_end(), &Generated { text: &text })
}
