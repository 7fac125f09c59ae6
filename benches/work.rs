//! The work of every peer: workflows of 4 KiB, and the data that is stored beside them.
//!
//! All of it follows from a seed, so that every peer saves the same bytes under the same names in the same
//! order.

use std::{fmt::Write, sync::Arc};

use pflow_store::document::ContentHash;

/// The size of a workflow in bytes.
const CONTENT_BYTES: usize = 4096;
/// The number of different workflows, apart from the number in each that makes every save unique.
const POOL: usize = 64;
/// The placeholder for that number, with as many digits.
const NUMBER: &str = "0000000000000000";
const TYPES: [&str; 6] = ["read-file", "llm", "shell", "http", "transform", "write-file"];

/// One workflow to save.
#[derive(Debug, Clone)]
pub(crate) struct Save {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) content: Vec<u8>,
}

/// The data that a save stores beside the content itself.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The new version: a line of metadata, then the content.
    pub(crate) version: Vec<u8>,
    /// About 1 KiB.
    pub(crate) head: Vec<u8>,
    /// A line for a listing.
    pub(crate) record: Vec<u8>,
}

impl Save {
    /// Makes the parts. This is part of the measured time, because a storage with hashes has to compute them.
    pub(crate) fn parts(&self) -> Parts {
        let (id, generation, size) = (&self.id, self.generation, self.content.len());
        let hash = ContentHash::of(&self.content).to_string();
        let record = format!(
            r#"{{"id":"{id}","generation":{generation},"hash":"{hash}","size":{size},"nodes":["llm","shell"],"author":"bench@bench"}}"#
        );
        let mut head = format!(r#"{{"hash":"{hash}","record":{record},"fence":0,"recent":["#);
        for back in 0..6 {
            let ancestor = generation.saturating_sub(back);
            let comma = if back == 0 { "" } else { "," };
            write!(head, r#"{comma}{{"generation":{ancestor},"hash":"{hash}"}}"#).unwrap();
        }
        head.push_str("]}\n");
        let mut version = Vec::with_capacity(record.len() + size + 1);
        version.extend_from_slice(record.as_bytes());
        version.push(b'\n');
        version.extend_from_slice(&self.content);
        Parts { version, head: head.into_bytes(), record: record.into_bytes() }
    }
}

/// Whether a head of [`Save::parts`] names this content.
pub(crate) fn is_named_by(content: &[u8], head: &[u8]) -> bool {
    let hash = ContentHash::of(content).to_string();
    head.strip_prefix(br#"{"hash":""#).is_some_and(|rest| rest.starts_with(hash.as_bytes()))
}

/// The saves of one client in order: a new workflow, then an existing one of its own, and so on.
#[derive(Debug)]
pub(crate) struct Workload {
    client: usize,
    pool: Arc<Pool>,
    random: Random,
    /// The generations of the workflows that this client has created, by their number.
    known: Vec<u64>,
    made: u64,
}

impl Workload {
    pub(crate) fn new(client: usize, pool: Arc<Pool>) -> Self {
        let random = Random(pool.seed ^ (client as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self { client, pool, random, known: Vec::new(), made: 0 }
    }

    /// Returns the next save; every second one replaces an existing workflow.
    pub(crate) fn save(&mut self) -> Save {
        if self.made.is_multiple_of(2) || self.known.is_empty() {
            self.create()
        } else {
            let number = self.random.below(self.known.len());
            self.replace(number)
        }
    }

    /// Returns the next `size` saves, each of a different workflow: half of them new, or all while there are
    /// too few to replace.
    pub(crate) fn batch(&mut self, size: usize) -> Vec<Save> {
        let (there, from) = (self.known.len(), self.random.below(self.known.len().max(1)));
        if there < size / 2 {
            return (0..size).map(|_| self.create()).collect();
        }
        let turn = |n: usize| if n.is_multiple_of(2) { None } else { Some((from + n / 2) % there) };
        (0..size)
            .map(|n| match turn(n) {
                None => self.create(),
                Some(number) => self.replace(number),
            })
            .collect()
    }

    /// Returns `count` saves of new workflows.
    pub(crate) fn creations(&mut self, count: usize) -> Vec<Save> {
        (0..count).map(|_| self.create()).collect()
    }

    fn create(&mut self) -> Save {
        self.known.push(0);
        self.replace(self.known.len() - 1)
    }

    fn replace(&mut self, number: usize) -> Save {
        self.known[number] += 1;
        self.made += 1;
        let content = self.pool.content(self.client, self.made);
        Save { id: id(self.client, number), generation: self.known[number], content }
    }
}

/// Returns the name of a client's workflow.
pub(crate) fn id(client: usize, number: usize) -> String {
    format!("c{client:02}-plan-{number:06}")
}

/// Workflows to copy from, so that making one takes little measured time.
#[derive(Debug)]
pub(crate) struct Pool {
    seed: u64,
    contents: Vec<String>,
    number_at: usize,
}

impl Pool {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let mut random = Random(seed);
        let contents: Vec<String> = (0..POOL).map(|_| workflow(&mut random)).collect();
        let number_at = contents[0].find(NUMBER).unwrap();
        Arc::new(Self { seed, contents, number_at })
    }

    fn content(&self, client: usize, made: u64) -> Vec<u8> {
        let mut content = self.contents[made as usize % POOL].clone().into_bytes();
        let number = format!("{:016x}", made << 8 | client as u64);
        content[self.number_at..][..NUMBER.len()].copy_from_slice(number.as_bytes());
        content
    }
}

/// Returns a workflow like pflow's: a sequence of steps with large parameters. The texts do not compress.
fn workflow(random: &mut Random) -> String {
    let mut text = format!(
        "{{\n  \"ir_version\": \"0.1.0\",\n  \"inputs\": {{ \"number\": \"{NUMBER}\" }},\n  \"nodes\": ["
    );
    let mut edges = String::new();
    let steps = 8;
    for step in 0..steps {
        let (comma, kind) = (if step == 0 { "" } else { "," }, TYPES[random.below(TYPES.len())]);
        let prompt = random.text(300);
        write!(
            text,
            "{comma}\n    {{ \"id\": \"step_{step}\", \"type\": \"{kind}\", \"params\": {{ \"retries\": {step}, \"prompt\": \"{prompt}\" }} }}"
        )
        .unwrap();
        if step > 0 {
            let comma = if step == 1 { "" } else { "," };
            write!(edges, "{comma}\n    {{ \"from\": \"step_{}\", \"to\": \"step_{step}\" }}", step - 1)
                .unwrap();
        }
    }
    write!(text, "\n  ],\n  \"edges\": [{edges}\n  ],\n  \"notes\": \"").unwrap();
    let end = "\"\n}\n";
    let rest = random.text(CONTENT_BYTES - text.len() - end.len());
    text + &rest + end
}

/// splitmix64; its numbers are the same on every machine.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
        (0..length).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }
}
