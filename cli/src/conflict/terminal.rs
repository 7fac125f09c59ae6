use std::{io, time::Duration};

use pflow_store::{
    Conflict, Result, WorkflowId,
    backend::async_trait,
    conflict::{Case, ChangeKind, ConflictResolver, Obstacle, Policy, Resolution},
    format::Lease,
};

use super::{places::lines, talk::Talk};
use crate::{
    failure::with_causes,
    leases::who,
    output::printable,
    time::{human, moment},
};

/// How many lines of a difference are shown.
const SHOWN: usize = 40;

/// Asks at the terminal.
///
/// The end of the input is like [`Resolution::Cancel`]. Ctrl-C ends the question, because nothing is being
/// written.
#[derive(Debug)]
pub(super) struct Terminal<T> {
    talk: T,
}

/// One of the answers that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Merge,
    Ours,
    Theirs,
    KeepBoth,
    Wait,
    Break,
    Difference,
    Cancel,
    Help,
}

impl Choice {
    /// Returns the text in the question, with the letter of the choice in brackets.
    fn label(self) -> &'static str {
        match self {
            Self::Merge => "[m]erge",
            Self::Ours => "keep [o]urs",
            Self::Theirs => "take [t]heirs",
            Self::KeepBoth => "keep [b]oth",
            Self::Wait => "[w]ait",
            Self::Break => "brea[k] the lock",
            Self::Difference => "show [d]ifference",
            Self::Cancel => "[c]ancel",
            Self::Help => "[?]",
        }
    }

    /// Returns the label without brackets.
    fn words(self) -> String {
        self.label().replace(['[', ']'], "")
    }

    /// Returns whether the answer means this choice: it may be the letter, the label without brackets, or the
    /// word of the label that has the letter.
    fn is_meant_by(self, answer: &str) -> bool {
        let words = self.words();
        let word = self.label().split(' ').find(|word| word.contains('[')).unwrap_or_default();
        let letter = word.split(['[', ']']).nth(1).unwrap_or_default();
        [letter, words.as_str(), word.replace(['[', ']'], "").as_str()].contains(&answer)
    }

    /// Describes what this choice would do.
    fn effect(self, case: &Case) -> String {
        let edited = matches!(case.conflict(), Conflict::ModifiedOutside { .. });
        let ours = match case.kind() {
            ChangeKind::Delete => "delete it all the same",
            ChangeKind::Undelete => "bring it back all the same",
            _ => "save yours on top",
        };
        match self {
            Self::Merge => "save the changes of both sides; asks again if they overlap".to_owned(),
            Self::Ours if edited => format!("keep the edit as a version, then {ours}"),
            Self::Ours => format!("{ours}; theirs stays in the history"),
            Self::Theirs if edited => "drop yours; the edit becomes the next version".to_owned(),
            Self::Theirs => "drop yours and leave what is there".to_owned(),
            Self::KeepBoth => "save yours as a new workflow".to_owned(),
            Self::Wait => format!("until the lock ends, up to {}", human_of(patience(case))),
            Self::Break => "its holder cannot save any more".to_owned(),
            Self::Difference => "what they changed, and what you would".to_owned(),
            Self::Cancel => "change nothing".to_owned(),
            Self::Help => "explain this".to_owned(),
        }
    }

    /// Returns the choices that are offered, the safest first.
    fn of(case: &Case) -> Vec<Self> {
        let saves = case.kind() == ChangeKind::Save;
        let mut choices = match case.conflict() {
            Conflict::Locked { .. } => vec![Self::Wait, Self::Break],
            Conflict::LeaseLost { .. } => vec![],
            Conflict::Version { found, .. } if found.generation == 0 => vec![Self::Ours],
            _ if saves => vec![Self::Merge, Self::Ours, Self::Theirs],
            _ => vec![Self::Ours, Self::Theirs],
        };
        if case.obstacle().is_some() {
            // A merge failed before and would fail again.
            choices.retain(|choice| *choice != Self::Merge);
        }
        if matches!(case.obstacle(), Some(Obstacle::UnusableEdit { .. })) {
            choices.clear();
        }
        if saves {
            choices.push(Self::KeepBoth);
        }
        let is_about_a_lock = matches!(case.conflict(), Conflict::Locked { .. } | Conflict::LeaseLost { .. });
        if saves && !is_about_a_lock {
            choices.push(Self::Difference);
        }
        choices.extend([Self::Cancel, Self::Help]);
        choices
    }
}

impl<T: Talk> Terminal<T> {
    pub(super) fn new(talk: T) -> Self {
        Self { talk }
    }

    async fn ask(&self, case: &Case) -> io::Result<Resolution> {
        self.introduce(case);
        let choices = Choice::of(case);
        let asked = choices.iter().filter(|choice| **choice != Choice::Help);
        let labels: Vec<&str> = asked.map(|choice| choice.label()).collect();
        let question = format!("What now? {}: ", labels.join(", "));
        loop {
            let Some(answer) = self.talk.ask(&question).await? else { return Ok(Resolution::Cancel) };
            let answer = answer.trim().to_lowercase();
            let chosen = choices.iter().find(|choice| choice.is_meant_by(&answer));
            let resolution = match chosen {
                Some(Choice::Merge) => Some(Resolution::Merge),
                Some(Choice::Ours) => Some(Resolution::Override),
                Some(Choice::Theirs) => Some(Resolution::TakeTheirs),
                Some(Choice::Cancel) => Some(Resolution::Cancel),
                Some(Choice::Wait) => {
                    self.talk.say("waiting; Ctrl-C gives up");
                    Some(Resolution::Wait { limit: patience(case) })
                }
                Some(Choice::Break) => self.confirm_break(case).await?,
                Some(Choice::KeepBoth) => self.name_ours(case).await?,
                Some(Choice::Difference) => {
                    self.show_difference(case).await;
                    None
                }
                Some(Choice::Help) | None => {
                    for choice in &choices {
                        self.talk.say(&format!("  {:<18}  {}", choice.label(), choice.effect(case)));
                    }
                    None
                }
            };
            if let Some(resolution) = resolution {
                return Ok(resolution);
            }
        }
    }

    /// Prints the conflict, or why the previous answer could not be carried out.
    fn introduce(&self, case: &Case) {
        match case.obstacle() {
            None => {
                self.talk.say(&format!(
                    "{} {}",
                    self.talk.strong("conflict:"),
                    printable(&case.conflict().to_string())
                ));
            }
            Some(Obstacle::Overlaps(overlaps)) => {
                let count = overlaps.len();
                self.talk.say(&format!(
                    "both sides changed {count} {}:",
                    if count == 1 { "place" } else { "places" }
                ));
                self.show(&lines(overlaps, SHOWN));
            }
            Some(obstacle) => self.talk.say(&printable(&obstacle.to_string())),
        }
    }

    async fn show_difference(&self, case: &Case) {
        let (theirs, ours) = (case.their_changes().await, case.difference().await);
        for (title, changes) in
            [("they changed since then:", theirs), ("yours would change what is there now:", ours)]
        {
            match changes {
                Ok(Some(changes)) if changes.is_empty() => self.talk.say(&format!("{title} nothing")),
                Ok(Some(changes)) => {
                    self.talk.say(title);
                    self.show(&lines(&changes, SHOWN));
                }
                Ok(None) => self.talk.say(&format!("{title} there is nothing to compare with")),
                Err(error) => self.talk.say(&format!("{title} {}", printable(&with_causes(&error)))),
            }
        }
    }

    fn show(&self, lines: &[String]) {
        for line in lines {
            self.talk.say(&format!("  {}", printable(line)));
        }
    }

    async fn confirm_break(&self, case: &Case) -> io::Result<Option<Resolution>> {
        let Conflict::Locked { lease, now, .. } = case.conflict() else { return Ok(None) };
        let left = human(lease.expires.signed_duration_since(*now));
        let question =
            format!("{} holds it for another {left}. Take it away? [y/N] ", printable(&holder(lease)));
        let answer = self.talk.ask(&question).await?.unwrap_or_default();
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes").then_some(Resolution::Override))
    }

    async fn name_ours(&self, case: &Case) -> io::Result<Option<Resolution>> {
        let question = format!("The id for yours [{}-conflict-…]: ", case.id());
        loop {
            let Some(answer) = self.talk.ask(&question).await? else { return Ok(Some(Resolution::Cancel)) };
            match answer.trim() {
                "" => return Ok(Some(Resolution::KeepBoth { id: None })),
                name => match WorkflowId::parse(name) {
                    Ok(id) => return Ok(Some(Resolution::KeepBoth { id: Some(id) })),
                    Err(invalid) => self.talk.say(&printable(&invalid.to_string())),
                },
            }
        }
    }
}

#[async_trait]
impl<T: Talk> ConflictResolver for Terminal<T> {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        match self.ask(case).await {
            Ok(resolution) => Ok(resolution),
            Err(error) => {
                self.talk.say(&format!("the answer could not be read: {error}"));
                Ok(Resolution::Cancel)
            }
        }
    }
}

/// Returns the limit for the choice to wait.
fn patience(case: &Case) -> Duration {
    case.lock_timeout().filter(|limit| !limit.is_zero()).unwrap_or(Policy::Wait.lock_timeout())
}

fn human_of(duration: Duration) -> String {
    human(chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX))
}

fn holder(lease: &Lease) -> String {
    format!("{}, {}, since {},", who(lease), lease.operation, moment(lease.acquired))
}

#[cfg(test)]
mod tests;
