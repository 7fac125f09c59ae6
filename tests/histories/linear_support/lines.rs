use std::collections::HashMap;

use pflow_store::backend::Version;

use super::{
    client::Answer,
    history::{Asked, Event, Value},
};

/// One line that a process prints: an operation begins, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Began(u64, String, Asked),
    Ended(u64, Answer),
}

impl Line {
    pub(crate) fn write(&self) -> String {
        match self {
            Self::Began(at, key, Asked::Read) => format!("began {at} {key} read"),
            Self::Began(at, key, Asked::Swap { expected, new }) => {
                format!("began {at} {key} swap {} {}", text(expected.as_ref()), text(new.as_ref()))
            }
            Self::Ended(at, answer) => match answer {
                Answer::Read(value) => format!("ended {at} read {}", text(value.as_ref())),
                Answer::Refused(version) => format!("ended {at} refused {}", text(version.as_ref())),
                Answer::Overtaken(version) => format!("ended {at} overtaken {}", text(version.as_ref())),
                Answer::Done => format!("ended {at} done"),
                Answer::Failed => format!("ended {at} failed"),
                Answer::Unknown => format!("ended {at} unknown"),
            },
        }
    }

    /// Parses a line. None if the test harness printed it.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let at = || words[1].parse().unwrap();
        let version = |word: &str| (word != "-").then(|| Version::new(word));
        Some(match words[..] {
            ["began", _, key, "read"] => Self::Began(at(), key.to_owned(), Asked::Read),
            ["began", _, key, "swap", expected, new] => {
                let asked = Asked::Swap { expected: value(expected), new: value(new) };
                Self::Began(at(), key.to_owned(), asked)
            }
            ["ended", _, "read", found] => Self::Ended(at(), Answer::Read(value(found))),
            ["ended", _, "refused", found] => Self::Ended(at(), Answer::Refused(version(found))),
            ["ended", _, "overtaken", found] => Self::Ended(at(), Answer::Overtaken(version(found))),
            ["ended", _, "done"] => Self::Ended(at(), Answer::Done),
            ["ended", _, "failed"] => Self::Ended(at(), Answer::Failed),
            ["ended", _, "unknown"] => Self::Ended(at(), Answer::Unknown),
            ["began" | "ended", ..] => panic!("half a line: {line}"),
            _ => return None,
        })
    }
}

/// Joins the lines of all processes to one history. A process whose last operation did not end was killed
/// during it.
pub(crate) fn events<'a>(said: impl IntoIterator<Item = &'a [Line]> + Clone) -> Vec<Event> {
    let mut names: HashMap<Version, Value> = HashMap::new();
    for line in said.clone().into_iter().flatten() {
        if let Line::Began(_, _, Asked::Swap { new: Some(new), .. }) = line {
            names.insert(Version::of_content(new.to_string().as_bytes()), *new);
        }
    }
    let mut events = Vec::new();
    for lines in said {
        let mut lines = lines.iter();
        while let Some(line) = lines.next() {
            let Line::Began(began, key, asked) = line else { panic!("not a beginning: {line:?}") };
            let (ended, answer) = match lines.next() {
                Some(Line::Ended(_, Answer::Unknown)) | None => (u64::MAX, Answer::Unknown),
                Some(Line::Ended(ended, answer)) => (*ended, answer.clone()),
                Some(line) => panic!("not an end: {line:?}"),
            };
            events.extend(answer.event(key, *asked, (*began, ended), &names));
        }
    }
    events
}

fn text<T: ToString>(it: Option<&T>) -> String {
    it.map_or_else(|| "-".to_owned(), T::to_string)
}

fn value(word: &str) -> Option<Value> {
    (word != "-").then(|| word.parse().unwrap())
}
