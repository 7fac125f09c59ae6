//! Asking before what cannot simply be taken back.

use std::io::{self, BufRead};

use super::{
    failure::{Failure, Result},
    session::Session,
};

/// Asks `question` at the terminal. If it cannot ask, it fails: the message says what was to be done
/// (`what`), and the hint says that `--yes` does it (`act`).
pub(super) async fn ask(session: &Session<'_>, what: &str, act: &str, question: &str) -> Result<bool> {
    if !session.output.can_ask() {
        let hint = format!("say `--yes` to {act}, or `--dry-run` to see what would happen");
        let text = format!("cannot ask whether to {what}: that needs a terminal, and no `--json`");
        return Err(Failure::usage(text).with_hint(hint));
    }
    session.output.ask(question);
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    match session.signals.unless(answer).await? {
        Ok(Ok(answer)) => Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")),
        Ok(Err(error)) => Err(Failure::file("read", "the answer", &error)),
        Err(error) => Err(Failure::failed(format!("Failed to read the answer: {error}"))),
    }
}
