//! The markdown parser against pflow's own, on the corpus, on mutations of it, and on documents with random YAML.
//!
//! `PFLOW_TEST_PYTHON` names a Python that can import `pflow.core.markdown_parser`; `tests/pflow/README.md`
//! says how to get one. `PFLOW_TEST_ORACLE_CASES` sets the number of mutations, `PFLOW_TEST_SEED` which ones.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use pflow_store::document::markdown::{MarkdownReason, MarkdownRefusal, PflowMarkdown, parse};
use pflow_testkit::seed;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::markdown::{REFUSED, TAKEN, check_taken, documents};

/// A document with both answers.
struct Case {
    name: String,
    text: String,
    ours: Result<PflowMarkdown, MarkdownRefusal>,
    /// What `oracle.py` wrote.
    theirs: Value,
}

/// A difference that is wanted.
struct Difference {
    reason: &'static str,
    /// A document that shows it.
    example: String,
    applies: fn(&Case) -> bool,
}

fn with_step(rest: &str) -> String {
    format!("## Steps\n\n### a\n\nDoes it.\n\n- type: shell\n{rest}\n")
}

fn differences() -> Vec<Difference> {
    vec![
        Difference {
            reason: "the Python of a step is not parsed: code with syntax errors is taken",
            example: with_step("```python code\nnext = 'nowhere'\nif\n```"),
            applies: |case| case.theirs["python"] == true && is_about_routes(case),
        },
        Difference {
            reason: "sets, pairs, ordered maps and bytes have no form in JSON",
            example: with_step("- b: [!!set {c, d}]"),
            applies: |case| refused_for(case, "is not supported"),
        },
        Difference {
            reason: "a tag that does not fit a map counts even if the map is only merged",
            example: with_step("- b:\n    <<: !!int {c: d}"),
            applies: |case| case.text.contains("<<") && refused_for(case, "the tag "),
        },
        Difference {
            reason: "trees are at most 128 deep",
            example: with_step(&format!("- b: {}{}", "[".repeat(140), "]".repeat(140))),
            applies: |case| refused_for(case, "nested deeper than 128 levels"),
        },
        Difference {
            reason: "aliases are bounded",
            example: with_step(&format!(
                "```yaml b\n- &a {}\n- [{}]\n```",
                "x".repeat(100_000),
                vec!["*a"; 100].join(", ")
            )),
            applies: |case| refused_for(case, "aliases expand to too much"),
        },
        Difference {
            reason: "a text has no half of a surrogate pair",
            example: with_step("- b: [\"\\ud800\"]"),
            applies: |case| refused_for(case, "is no character"),
        },
        Difference {
            reason: "numbers in bases of a power of two have a limit too",
            example: with_step(&format!("- b: [0x{}]", "f".repeat(5000))),
            applies: |case| refused_for(case, "digits"),
        },
        Difference {
            reason: "digits of other scripts are text",
            example: with_step("- b: \u{663}"),
            applies: |case| {
                case.ours.is_ok()
                    && case.theirs["taken"] == true
                    && case.text.chars().any(|char| !char.is_ascii() && char.is_numeric())
            },
        },
    ]
}

/// The parsers read code with syntax errors differently: theirs finds nothing in it.
fn is_about_routes(case: &Case) -> bool {
    match &case.ours {
        Err(refusal) => {
            let first = refusal.defects.first().map(|defect| &defect.reason);
            let theirs = case.theirs["error"].as_str().unwrap_or_default();
            matches!(
                first,
                Some(
                    MarkdownReason::UnknownTarget { .. }
                        | MarkdownReason::UndeclaredNext { .. }
                        | MarkdownReason::OpenBranch { .. }
                        | MarkdownReason::FallsIntoBranch { .. }
                )
            ) && (case.theirs["taken"] == true || theirs.contains("Node '"))
        }
        Ok(workflow) => {
            let without_routes = |mut ir: Value| {
                ir["edges"] = Value::Null;
                for node in ir["nodes"].as_array_mut().into_iter().flatten() {
                    node.as_object_mut().unwrap().remove("_routes_to_end");
                }
                ir
            };
            case.theirs["taken"] == true
                && same(&without_routes(workflow.to_ir()), &without_routes(case.theirs["ir"].clone()))
        }
    }
}

fn refused_for(case: &Case, part: &str) -> bool {
    let first = case.ours.as_ref().err().and_then(|refusal| refusal.defects.first());
    first.is_some_and(|first| match &first.reason {
        MarkdownReason::FrontMatter { reason, .. }
        | MarkdownReason::ParameterYaml { reason, .. }
        | MarkdownReason::FenceYaml { reason, .. } => reason.contains(part),
        _ => false,
    })
}

/// Equal, up to the last digits of a float: `serde_json` does not read them exactly.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= 1e-12 * one.abs()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(key, one)| Map::get(other, key).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

/// Returns what differs, if something does.
fn difference(case: &Case) -> Option<String> {
    let theirs = &case.theirs;
    match &case.ours {
        Ok(workflow) => {
            if theirs["taken"] != true {
                return Some(format!("we take it, they say: {}", theirs["error"]));
            }
            let metadata = workflow.front_matter.as_ref().map(|map| Value::Object(map.to_json()));
            let ours = [
                ("ir", workflow.to_ir()),
                ("title", json!(workflow.title)),
                ("description", json!(workflow.description)),
                ("metadata", json!(metadata)),
                ("warnings", json!(workflow.warnings.len())),
            ];
            let differs = ours.into_iter().find(|(part, ours)| !same(ours, &theirs[*part]));
            differs.map(|(part, ours)| format!("{part}\n  ours   {ours}\n  theirs {}", theirs[part]))
        }
        Err(refusal) => {
            if theirs["taken"] == true {
                return Some(format!("they take it, we say: {refusal}"));
            }
            let message = theirs["error"].as_str().unwrap_or_default();
            // Some reasons have no line there.
            let line = theirs["line"].as_u64().and_then(|line| usize::try_from(line).ok())?;
            let agrees = match message.contains("is defined both inline and as a code block") {
                // Of several such parameters pflow names any one.
                true => refusal.defects.iter().any(|defect| defect.line == line),
                false => refusal.defects[0].line == line,
            };
            (!agrees).then(|| format!("the line\n  ours   {refusal}\n  theirs {message}"))
        }
    }
}

/// Reads JSON of any depth.
fn read(text: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).unwrap()
}

/// Asks the real parser about all documents. It is one process, which ends by itself.
fn ask(python: &Path, cases: &[(String, String)]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pflow/oracle.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let mut asked = BufWriter::new(child.stdin.take().unwrap());
    let answered = BufReader::new(child.stdout.take().unwrap());
    let answers: Vec<Value> = std::thread::scope(|scope| {
        scope.spawn(move || {
            for (name, text) in cases {
                writeln!(asked, "{}", json!({ "name": name, "text": text })).unwrap();
            }
            asked.flush().unwrap();
        });
        answered.lines().map(|line| read(&line.unwrap())).collect()
    });
    assert!(child.wait().unwrap().success(), "the real parser failed, see above");
    assert_eq!(answers.len(), cases.len());
    answers
}

#[test]
fn the_parser_agrees_with_pflow() {
    let Some(python) = std::env::var_os("PFLOW_TEST_PYTHON") else {
        println!("skipped: PFLOW_TEST_PYTHON is not set");
        return;
    };
    let seed = seed();
    let count = std::env::var("PFLOW_TEST_ORACLE_CASES").map_or(2000, |count| count.parse().unwrap());
    let mut cases = vec![("minimal".to_owned(), with_step(""))];
    for folder in TAKEN.into_iter().chain([REFUSED]) {
        cases.extend(documents(folder).into_iter().flatten());
    }
    let seeds: Vec<String> = cases.iter().map(|(_, text)| text.clone()).collect();
    let mut random = Random(seed);
    cases.extend((0..count).map(|nth| (format!("mutation {nth}"), mutated(&seeds, &mut random))));
    cases.extend((0..count / 4).map(|nth| (format!("random YAML {nth}"), random_yaml(&mut random))));
    let differences = differences();
    let examples =
        differences.iter().map(|difference| (difference.reason.to_owned(), difference.example.clone()));
    cases.extend(examples);

    let answers = ask(Path::new(&python), &cases);
    let (mut taken, mut refused, mut unexplained) = (0, 0, Vec::new());
    let mut wanted = vec![0; differences.len()];
    for ((name, text), theirs) in cases.into_iter().zip(answers) {
        assert_eq!(theirs["name"], name);
        let case = Case { ours: parse(&text), name, text, theirs };
        match &case.ours {
            Ok(workflow) => {
                taken += 1;
                check_taken(&case.name, &case.text, workflow);
            }
            Err(_) => refused += 1,
        }
        if let Some(differs) = difference(&case) {
            match differences.iter().position(|difference| (difference.applies)(&case)) {
                Some(at) => wanted[at] += 1,
                None => unexplained.push(format!("{}: {differs}\n{:?}", case.name, case.text)),
            }
        }
    }
    println!("seed {seed}: {taken} taken, {refused} refused");
    for (difference, count) in differences.iter().zip(&wanted) {
        println!("{count} times: {}", difference.reason);
        assert!(*count > 0, "not different any more: {}", difference.reason);
    }
    let shown = unexplained.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(unexplained.is_empty(), "seed {seed}, {} differences:\n{shown}", unexplained.len());
    let least = (taken + refused) / 5;
    assert!(taken > least && refused > least, "the mutations are too mild or too wild");
}

/// SplitMix64: a few lines that give the same mutations everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn of<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        &choices[self.below(choices.len())]
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut place = self.below(text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        place
    }
}

const LINES: &[&str] = &[
    "# Title",
    "## Steps",
    "## Inputs",
    "## Outputs",
    "## Cache",
    "## step",
    "### end",
    "### a-b",
    "### A",
    "#### deep",
    "```",
    "````",
    "~~~",
    "```yaml batch",
    "```python code",
    "```cache",
    "- type: shell",
    "- next: end",
    "- on-error: end",
    "- a: |",
    "- a: >2-",
    "  b: c",
    "    x",
    "",
    "  ",
    "- ttl: 5m",
    "- just text",
    "* x",
    "next = \"end\"",
    "next: str = x",
    "if a:\n    next = 'end'",
    "${a}",
    "---",
    "- a:",
    "  - b",
    "    - c: d",
    "\t- a: b",
    "- \ta: b",
    "-  a: b",
    "-\ta: b",
    "- 5: x\n  6: y",
    "- a: [1,\n  2]",
    "- a: {b: ${c},\n  d: 'e'}",
    "- a: \"x\n  y\"",
    "- a: b\n\n  c: d",
    "  next: end",
    "```yaml retry\nmax: 3\n```",
    "```yaml x\n- 1\n```",
    "- a: &x 1\n  b: *x",
    "- <<: {a: 1}\n  a: 2",
];

const VALUES: &[&str] = &[
    "",
    "yes",
    "No",
    "on",
    "~",
    "null",
    "0777",
    "0x1F",
    "0b11",
    "1:30",
    "1:30.5",
    "1_000",
    "1e5",
    "1.5e3",
    "1.5e+3",
    ".5",
    "5.",
    "-.inf",
    ".nan",
    "08",
    "0o7",
    "2020-01-02",
    "2020-13-45",
    "2001-12-14 21:59:43.10 -5",
    "2001-12-14t21:59:43Z",
    "=",
    "<<",
    "!!str 5",
    "!!int '7'",
    "!!null x",
    "!!binary aGk=",
    "!!float 1",
    "!foo bar",
    "! 5",
    "\"a\\nb\\x41\\\"",
    "\"a \\n \\t \\q\"",
    "\"unclosed",
    "'it''s'",
    "'unclosed",
    "\"x\" y",
    "[a, b]",
    "[a, , b]",
    "[[]]",
    "[a",
    "[?x]",
    "[:x]",
    "[a: b, c]",
    "[1, 1.0, true, 0x10, 010, 1:1]",
    "[!!set {a}, b]",
    "{a: 1, b}",
    "{a: ${b}, c: [${d}]}",
    "{\"a\":1}",
    "{a: b",
    "{1: a, 1.0: b, true: c}",
    "{<<: {a: 1}, a: 2}",
    "{a: 2020-01-01, b: ~, c: }",
    "{? a : b}",
    "a: b",
    "a #b",
    "# c",
    "true # x",
    "*alias",
    "*.py",
    "&a b",
    "&& x",
    "@x",
    "`x`",
    "%x",
    ",x",
    "|",
    ">-",
    "|2",
    "|+",
    "> # c",
    "| x",
    "- a",
    "? a",
    "-",
    "--- a",
    "12345678901234567890123",
    "-9223372036854775809",
    "1.7976931348623157e400",
    "${a} and ${b}",
    "${a ?? \"x\"}",
    "\"${a ?? \\\"x\\\"}\"",
    "$${a}",
    "a, b",
    "a,b, end",
    "end",
    "process, process",
    "don't ${x}",
    "[don't, ${b}, won't]",
    "\u{e9}",
    "\u{a0}x",
    "\u{663}",
];

const CHARS: &[char] = &[
    ' ', '\t', ':', '-', '\'', '"', '#', '[', ']', '{', '}', '|', '>', '&', '*', '!', '%', '@', '`', ',',
    '?', '$', '~', '\\', '=', '_', '0', '1', '9', '.', '\r', '\n', '\u{0}', '\u{7}', '\u{b}', '\u{1c}',
    '\u{1f}', '\u{85}', '\u{a0}', '\u{e9}', '\u{2028}', '\u{3000}', '\u{feff}',
];

const TOKENS: &[&str] = &[
    "a",
    "b",
    "c: ",
    "k:",
    "- ",
    "-",
    "? ",
    ": ",
    ":",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "'x'",
    "\"y\"",
    "'",
    "\"",
    "|",
    "|-",
    "|+",
    ">",
    "> ",
    "|2",
    ">1-",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\n ",
    "\n\n",
    "#c",
    " # d",
    " ",
    "  ",
    "\t",
    "&a ",
    "*a",
    "&b",
    "!!str ",
    "!!int ",
    "!",
    "!x ",
    "!!map ",
    "!!seq ",
    "<<: ",
    "~",
    "yes",
    "0x1",
    "1.5",
    "1:2",
    "2020-01-01",
    "=",
    "%",
    "@",
    "`",
    "\n---\n",
    "\n...\n",
    "\n%YAML 1.1\n",
    "\u{e9}",
    "${x}",
    "\\",
    "\\n",
    "\\\n",
    "x y",
    "''",
    "-\n",
    "null",
    "07",
    "{}",
    "[]",
    "a: b\n",
    "- c\n",
    "k: |\n  z\n",
    "\u{feff}",
];

/// Returns a document with YAML of random tokens: in a fence, in a parameter or as the front matter.
fn random_yaml(random: &mut Random) -> String {
    let yaml: String = (0..=random.below(12)).map(|_| *random.of(TOKENS)).collect();
    match random.below(10) {
        0 => format!("---\n{yaml}\n---\n{}", with_step("")),
        1..=4 => with_step(&format!("```yaml p\n{yaml}\n```")),
        _ => {
            let start = random.of(&["", "[", "{", "|\n    ", "\n    ", "\n  ", "\n  - ", "\"", "'"]);
            let indent = random.of(&["\n", "\n ", "\n  ", "\n    "]);
            with_step(&format!("- p: {start}{}", yaml.replace('\n', indent)))
        }
    }
}

/// Returns a document with a few changes that people or editors might make.
fn mutated(seeds: &[String], random: &mut Random) -> String {
    let mut text = random.of(seeds).clone();
    for _ in 0..*random.of(&[1, 1, 1, 2, 2, 3, 4]) {
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let at = random.below(lines.len());
        match random.below(16) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = random.below(lines.len());
                lines.swap(at, other);
            }
            3 => {
                let until = lines.len().min(at + 1 + random.below(5));
                let indent = " ".repeat(1 + random.below(4));
                lines[at..until].iter_mut().for_each(|line| line.insert_str(0, &indent));
            }
            4 => lines[at] = lines[at].chars().skip(*random.of(&[1, 2, 4])).collect(),
            5 => lines.insert(at, (*random.of(LINES)).to_owned()),
            6 => lines[at] = (*random.of(LINES)).to_owned(),
            7 => {
                let place = random.place(&lines[at]);
                lines[at].insert(place, *random.of(CHARS));
            }
            8 => {
                let place = random.place(&lines[at]);
                if place < lines[at].len() {
                    lines[at].remove(place);
                }
            }
            9..=11 => {
                if let Some(at) = some_line(&lines, random, |line| line.contains(": ")) {
                    let key = lines[at].split(": ").next().unwrap_or_default();
                    lines[at] = format!("{key}: {}", random.of(VALUES));
                }
            }
            12 => match random.below(8) {
                0 => lines.iter_mut().for_each(|line| line.push('\r')),
                1 => lines = vec![lines.join("\r")],
                2 => lines[0].insert(0, '\u{feff}'),
                _ => {}
            },
            13 => {
                let other: Vec<&str> = random.of(seeds).split('\n').collect();
                let from = random.below(other.len());
                let until = other.len().min(from + 1 + random.below(7));
                lines.splice(at..at, other[from..until].iter().map(|line| (*line).to_owned()));
            }
            14 => {
                let is_mark = |line: &str| line.trim_start().starts_with(['#', '`', '~']);
                if let Some(at) = some_line(&lines, random, is_mark) {
                    let line = &lines[at];
                    lines[at] = match random.below(7) {
                        0 => format!("#{line}"),
                        1 => line.chars().skip(1).collect(),
                        2 => format!("{line}x"),
                        3 => format!("{line} "),
                        4 => format!("  {line}"),
                        5 => format!("{line} yaml"),
                        _ => line.to_uppercase(),
                    };
                }
            }
            _ => {
                if let Some(at) = some_line(&lines, random, |line| line.trim_start().starts_with("- ")) {
                    let value = random.of(VALUES);
                    let inserted = [
                        String::new(),
                        "  ".into(),
                        "    x: y".into(),
                        "  x: y".into(),
                        "  - z".into(),
                        "    text".into(),
                        "   odd".into(),
                        "  # c".into(),
                        format!("  {value}"),
                        format!("    k: {value}"),
                    ];
                    lines.insert(at + 1, random.of(&inserted).clone());
                }
            }
        }
        text = lines.join("\n");
    }
    text
}

fn some_line(lines: &[String], random: &mut Random, wanted: impl Fn(&str) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..lines.len()).filter(|at| wanted(&lines[*at])).collect();
    (!places.is_empty()).then(|| *random.of(&places))
}
