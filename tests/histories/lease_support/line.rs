use std::collections::BTreeMap;

/// One life of a client, from its start to its end or its death.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) lines: Vec<Line>,
    /// A time at which it was certainly dead, if it was killed, in milliseconds on the clock of its lines.
    pub(crate) died: Option<u64>,
}

impl Life {
    /// All lives, indexed by their numbers, which the texts contain. A life that never began has no lines.
    pub(crate) fn all(mut numbered: BTreeMap<u64, Self>) -> Vec<Self> {
        let last = numbered.keys().max().copied().unwrap_or_default();
        (0..=last).map(|number| numbered.remove(&number).unwrap_or_default()).collect()
    }
}

/// One report of a client, printed as one line. Times are milliseconds on a clock that all clients share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// The client is about to request this lease. If the lease is detached, other clients may take it over
    /// only after its end.
    Asks {
        workflow: String,
        lease: String,
        detached: bool,
    },
    /// Another client holds the lease.
    Refused {
        workflow: String,
        by: String,
        began: u64,
        ended: u64,
    },
    Granted {
        workflow: String,
        lease: String,
        fence: u64,
        began: u64,
        ended: u64,
    },
    Saves {
        workflow: String,
        text: String,
    },
    Saved {
        workflow: String,
        text: String,
        generation: u64,
    },
    /// The lease is lost, and the text was not saved.
    Lost {
        workflow: String,
        text: String,
    },
    /// The outcome of the save is unknown.
    Unknown {
        workflow: String,
        text: String,
    },
    /// The client has released the lease, or the outcome of the release is unknown.
    Left {
        lease: String,
    },
}

impl Line {
    pub(crate) fn write(&self) -> String {
        match self {
            Self::Asks { workflow, lease, detached } => format!("asks {workflow} {lease} {detached}"),
            Self::Refused { workflow, by, began, ended } => {
                format!("refused {workflow} {by} {began} {ended}")
            }
            Self::Granted { workflow, lease, fence, began, ended } => {
                format!("granted {workflow} {lease} {fence} {began} {ended}")
            }
            Self::Saves { workflow, text } => format!("saves {workflow} {text}"),
            Self::Saved { workflow, text, generation } => format!("saved {workflow} {text} {generation}"),
            Self::Lost { workflow, text } => format!("lost {workflow} {text}"),
            Self::Unknown { workflow, text } => format!("unknown {workflow} {text}"),
            Self::Left { lease } => format!("left {lease}"),
        }
    }

    /// Parses a line. None if the test harness printed it.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let text = |at: usize| words[at].to_owned();
        let number = |at: usize| words[at].parse().unwrap();
        Some(match (words[0], words.len()) {
            ("asks", 4) => Self::Asks { workflow: text(1), lease: text(2), detached: words[3] == "true" },
            ("refused", 5) => {
                Self::Refused { workflow: text(1), by: text(2), began: number(3), ended: number(4) }
            }
            ("granted", 6) => Self::Granted {
                workflow: text(1),
                lease: text(2),
                fence: number(3),
                began: number(4),
                ended: number(5),
            },
            ("saves", 3) => Self::Saves { workflow: text(1), text: text(2) },
            ("saved", 4) => Self::Saved { workflow: text(1), text: text(2), generation: number(3) },
            ("lost", 3) => Self::Lost { workflow: text(1), text: text(2) },
            ("unknown", 3) => Self::Unknown { workflow: text(1), text: text(2) },
            ("left", 2) => Self::Left { lease: text(1) },
            _ => return None,
        })
    }
}
