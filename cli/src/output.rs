//! The output of the program: data on stdout, everything else on stderr.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, IsTerminal, Write},
};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};
use clap::builder::StyledStr;
use serde::Serialize;

use super::{
    documents::{Document, Event, Problem, Warning},
    failure::Failure,
};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// The two output streams and their settings.
#[derive(Debug, Clone)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
    /// Whether stdout, and stderr, accept styles.
    styles: (bool, bool),
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Output {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            json,
            quiet,
            styles: (has_styles(&stdout), has_styles(&stderr)),
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: stderr.is_terminal(),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns whether stdout is a terminal and not JSON.
    pub(super) fn is_for_a_person(&self) -> bool {
        self.stdout_is_terminal && !self.json
    }

    /// Returns whether the program can ask a question: stdin and stderr are terminals, and `--json` is not
    /// set.
    pub(super) fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Returns whether a progress bar may be drawn on stderr.
    pub(super) fn shows_progress(&self) -> bool {
        self.styles.1 && self.stderr_is_terminal && !self.json && !self.quiet
    }

    /// Writes all data and flushes. A closed pipe is not an error: its reader needed no more.
    pub(super) fn data(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes the one document of `--json`.
    pub(super) fn document(&self, body: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Document::new(body))?;
        line.push(b'\n');
        self.data(&line)
    }

    /// Prints a note, unless the output is quiet.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.say(&format!("{}\n", printable(text)));
        }
    }

    /// Prints a warning, unless the output is quiet.
    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            self.insist(text);
        }
    }

    /// Prints a warning even if the output is quiet: data is not where people look for it.
    pub(super) fn insist(&self, text: &str) {
        if self.json {
            self.event("warning", &Warning { message: text, logged: None });
        } else {
            self.say(&format!("{}{}\n", self.mark(YELLOW, "warning:"), printable(text)));
        }
    }

    /// Prints why the command failed.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            return self.event("error", &Problem::of(failure));
        }
        let mut text = format!("{}{}\n", self.mark(RED, "error:"), printable(&failure.message));
        for line in &failure.details {
            text.push_str(&format!("  {}\n", printable(line)));
        }
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("{}{}\n", self.mark(CYAN, "hint:"), printable(hint)));
        }
        self.say(&text);
    }

    /// Prints lines of a dialog, even if the output is quiet.
    pub(super) fn lines(&self, text: &str) {
        self.say(&format!("{text}\n"));
    }

    /// Returns the word in bold, if stderr has styles.
    pub(super) fn strong(&self, word: &str) -> String {
        self.mark(YELLOW, word).trim_end().to_owned()
    }

    /// Prints a question, without an end of line.
    pub(super) fn ask(&self, question: &str) {
        self.say(&printable(question));
    }

    /// Writes one JSON object to stderr.
    pub(super) fn event(&self, r#type: &'static str, body: &impl Serialize) {
        if let Ok(line) = serde_json::to_string(&Event { r#type, body }) {
            self.say(&format!("{line}\n"));
        }
    }

    /// Returns a text of clap for stdout.
    pub(super) fn styled(&self, text: &StyledStr) -> String {
        lines(text, self.styles.0)
    }

    /// Prints what clap reports about the arguments.
    pub(super) fn usage(&self, text: &StyledStr) {
        self.say(&lines(text, self.styles.1));
    }

    /// `word`, in the style if stderr has styles, and a space.
    fn mark(&self, style: Style, word: &str) -> String {
        if self.styles.1 { format!("{style}{word}{style:#} ") } else { format!("{word} ") }
    }

    /// For the log, which marks warnings and errors as this does.
    pub(super) fn level_mark(&self, level: tracing::Level) -> String {
        match level {
            tracing::Level::ERROR => self.mark(RED, "error:"),
            tracing::Level::WARN => self.mark(YELLOW, "warning:"),
            tracing::Level::INFO => self.mark(CYAN, "info:"),
            other => self.mark(DIM, &format!("{}:", other.as_str().to_ascii_lowercase())),
        }
    }

    /// Prints a line on stderr. A failure is ignored, because there is no other place to report it.
    pub(super) fn say(&self, text: &str) {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Returns whether a stream gets styles, according to `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR` and `TERM`.
///
/// Where a variable `CI` is set, `anstream` gives styles to every terminal. One with `TERM=dumb` gets none,
/// unless `CLICOLOR` or `CLICOLOR_FORCE` asks for them.
fn has_styles(stream: &impl RawStream) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    let is_asked_for = anstyle_query::clicolor_force() || anstyle_query::clicolor() == Some(true);
    AutoStream::choice(stream) != ColorChoice::Never && (!is_dumb || is_asked_for)
}

/// Returns the text with an end of its last line.
fn lines(text: &StyledStr, coloured: bool) -> String {
    let text = if coloured { text.ansi().to_string() } else { text.to_string() };
    format!("{}\n", text.trim_end())
}

/// Escapes the characters of a text of unknown origin that would control a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(obeyed) {
        Cow::Owned(text.chars().map(|c| if obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns whether it is a control character or changes the direction of the text.
fn obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_document_says() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{202e}d\u{9b}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert!(matches!(printable("Grüße 🌍"), Cow::Borrowed(_)));
    }
}
