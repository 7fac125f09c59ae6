use std::{
    fmt::Debug,
    io::{self, BufRead},
};

use pflow_store::backend::async_trait;

use crate::{output::Output, signals::Signals};

/// A dialog with a person. It is a trait so that tests can answer.
#[async_trait]
pub(super) trait Talk: Debug + Send + Sync {
    /// Prints one or more lines.
    fn say(&self, text: &str);

    /// Returns the word in bold, if the terminal has styles.
    fn strong(&self, word: &str) -> String;

    /// Asks and returns the line of the answer without its end, or `None` at the end of the input.
    async fn ask(&self, question: &str) -> io::Result<Option<String>>;
}

/// The terminal: questions on stderr, answers from stdin.
#[derive(Debug)]
pub(super) struct Stderr {
    output: Output,
    signals: Signals,
}

impl Stderr {
    pub(super) fn new(output: Output, signals: Signals) -> Self {
        Self { output, signals }
    }
}

#[async_trait]
impl Talk for Stderr {
    fn say(&self, text: &str) {
        self.output.lines(text);
    }

    fn strong(&self, word: &str) -> String {
        self.output.strong(word)
    }

    /// Ends the line of the question if there is no answer. A read of a terminal cannot be cancelled: if the
    /// future is dropped, the read goes on in a thread that is not joined.
    async fn ask(&self, question: &str) -> io::Result<Option<String>> {
        let _asking = self.signals.asking();
        self.output.ask(question);
        let reading = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let bytes = io::stdin().lock().read_line(&mut line)?;
            Ok((bytes > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
        });
        let unanswered = EndOfLine(&self.output);
        let answer = reading.await.unwrap_or_else(|broken| Err(io::Error::other(broken)));
        if matches!(answer, Ok(Some(_))) {
            // The person ended the line with the answer.
            std::mem::forget(unanswered);
        }
        answer
    }
}

/// Ends a line when it is dropped.
struct EndOfLine<'a>(&'a Output);

impl Drop for EndOfLine<'_> {
    fn drop(&mut self) {
        self.0.lines("");
    }
}
