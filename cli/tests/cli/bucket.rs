//! The program with a store in a bucket.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::support::{Place, Ran, document};
use pflow_test_endpoints::{S3Endpoint, Shaping};

const URL: &str = "s3://probe/plans";
/// Secrets that no output may contain.
const SECRETS: [&str; 3] = ["testtest", "hunter2", "Signature="];

struct Bucket {
    server: S3Endpoint,
    place: Place,
    variables: BTreeMap<String, String>,
}

impl Bucket {
    fn new() -> Self {
        let server = S3Endpoint::start(["probe"]);
        Self { variables: server.variables("probe"), server, place: Place::empty() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    #[track_caller]
    fn run(&self, url: &str, args: &[&str]) -> Ran {
        let mut command = self.place.command(args);
        let ran = Ran::of(command.env("PFLOW_STORE", url).envs(&self.variables));
        for secret in SECRETS {
            assert!(!ran.err().contains(secret) && !ran.out().contains(secret), "{secret}: {}", ran.err());
        }
        ran
    }
}

#[test]
fn a_store_in_a_bucket_is_used_like_one_in_a_folder() {
    let bucket = Bucket::new();
    let run = |args: &[&str]| bucket.run(URL, args);
    bucket.place.file("greet.json", document("hello"));
    run(&["list"]).fails(10, URL);
    assert!(run(&["init"]).succeeds().out().contains(URL));
    assert!(run(&["init"]).succeeds().out().contains("is there already"));
    run(&["save", "greet", "greet.json"]).succeeds();
    assert_eq!(run(&["load", "greet"]).succeeds().out(), document("hello"));
    bucket.place.file("greet.json", document("again"));
    run(&["save", "greet", "greet.json", "--if-generation", "1"]).succeeds();
    run(&["save", "greet", "greet.json", "--if-generation", "1"]).fails(13, "generation 2");
    assert!(run(&["list"]).succeeds().out().contains("greet"));
    assert_eq!(run(&["load", "greet", "--generation", "1"]).succeeds().out(), document("hello"));
    run(&["lock", "acquire", "greet"]).succeeds();
    run(&["save", "greet", "greet.json", "--message", "other"]).succeeds();
    bucket.place.file("greet.json", document("third"));
    run(&["save", "greet", "greet.json"]).fails(11, "greet");
    let status = run(&["status", "--json"]).succeeds().json();
    assert_eq!((&status["workflows"], &status["location"]), (&1.into(), &URL.into()));
    run(&["verify"]).succeeds();
    run(&["doctor"]).succeeds();
    run(&["verify", "-vv"]).succeeds();
    // The program has waited for the copies that are written after the reply.
    let keys = bucket.server.bucket("probe").keys("");
    assert!(keys.contains(&"plans/workflows/greet/workflow.json".to_owned()), "{keys:?}");
    assert_eq!(
        bucket.server.bucket("probe").get("plans/workflows/greet/workflow.json").unwrap(),
        document("again")
    );
    // The store is only in the bucket.
    assert!(!bucket.place.path().join(".pflow").exists());
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_in_one_sentence() {
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let cases: [(&str, Bucket, &str, i32, &[&str]); 5] = [
        ("bucket", Bucket::new(), "s3://nowhere/plans", 10, &["nowhere", "bucket"]),
        ("key", Bucket::new().with("AWS_ACCESS_KEY_ID", "unknown"), URL, 1, &["credentials"]),
        ("secret", Bucket::new().with("AWS_SECRET_ACCESS_KEY", "hunter2"), URL, 1, &["secret key"]),
        ("endpoint", Bucket::new().with("AWS_ENDPOINT_URL", &closed), URL, 1, &[&closed]),
        ("plain HTTP", Bucket::new().with("AWS_ALLOW_HTTP", "false"), URL, 1, &["AWS_ALLOW_HTTP"]),
    ];
    for (what, bucket, url, code, words) in cases {
        for command in [&["init"][..], &["list"], &["list", "--json", "-q"], &["-vv", "save", "a", "-"]] {
            let ran = bucket.run(url, command);
            let said = ran.fails(code, "").err();
            for word in words {
                assert!(said.contains(word), "wrong {what}, {command:?}: {said}");
            }
        }
        let said = bucket.run(url, &["list"]).err();
        assert_eq!(said.lines().filter(|line| line.starts_with("error:")).count(), 1, "{said}");
    }
}

#[test]
fn a_url_with_credentials_is_refused_without_repeating_them() {
    let bucket = Bucket::new();
    for args in [&["list"][..], &["--json", "list"], &["-vv", "init"]] {
        let ran = bucket.run("s3://key:hunter2@probe/plans", args);
        ran.fails(2, "carries credentials");
    }
}

#[test]
fn patience_is_set_by_options_and_variables() {
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let bucket = Bucket::new().with("AWS_ENDPOINT_URL", &closed).with("PFLOW_CONNECT_TIMEOUT", "1s");
    bucket.run(URL, &["list"]).fails(1, &closed);
    bucket.run(URL, &["--connect-timeout", "nonsense", "list"]).fails(2, "duration");
    assert!(bucket.run(URL, &["list", "--help"]).succeeds().out().contains("--connect-timeout"));
}

#[test]
fn a_proxy_of_the_process_is_used_and_named_without_its_secret() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = format!("http://ada:hunter2@{closed}");
    let bucket = Bucket::new().with("HTTP_PROXY", &proxy).with("PFLOW_CONNECT_TIMEOUT", "1s");
    bucket.run(URL, &["list"]).fails(1, &format!("The proxy {closed} does not lead to the endpoint"));
    bucket.with("NO_PROXY", "127.0.0.1").run(URL, &["init"]).succeeds();
}

/// A server that does this with each connection, for as long as the test runs.
fn server(serve: impl Fn(TcpStream) + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    url
}

fn answers_503(stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        let answer = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n";
        if line.is_empty() && (&stream).write_all(answer).is_err() {
            break;
        }
    }
}

fn says_nothing(stream: TcpStream) {
    // The read ends when the program closes the connection.
    BufReader::new(stream).lines().for_each(drop);
}

/// Two seconds after an operation began a line says what the trouble is; the operation ends later, with an
/// error. That it is two seconds is tested in `attempts.rs`, with a clock of its own.
#[test]
fn any_trouble_of_a_server_is_told_before_the_end() {
    let cases: [(&str, String, &str, &str); 3] = [
        ("503", server(answers_503), ": 503", "keeps answering 503"),
        ("silent", server(says_nothing), ": no answer yet", "did not answer in time"),
        ("closing", server(drop), ": the connection broke off", "broke off"),
    ];
    let tried = cases.map(|(what, endpoint, met, end)| {
        thread::spawn(move || {
            let bucket = Bucket::new().with("AWS_ENDPOINT_URL", &endpoint);
            // No pause between two attempts is longer than 5 s, so the end comes after the line.
            let ran = bucket.run(URL, &["list", "--timeout", "7s"]);
            let said = ran.fails(1, end).err();
            let lines: Vec<&str> = said.lines().collect();
            let told = format!("still trying {endpoint}{met}");
            assert_eq!(lines[0], told, "{what}: {said}");
            assert!(lines[1].starts_with("error:"), "{what}: {said}");
        })
    });
    for tried in tried {
        tried.join().unwrap();
    }
}

/// 13 round trips take longer than the second after which a person is told.
#[test]
fn a_probe_that_takes_a_while_is_announced() {
    const NOTICE: &str = "testing the guarantees of s3://probe/";
    for (args, is_told) in [(&["init"][..], true), (&["-q", "init"], false), (&["--json", "init"], true)] {
        let bucket = Bucket::new();
        bucket.server.set_shaping(Shaping::latency(Duration::from_millis(150)));
        let ran = bucket.run(URL, args).succeeds();
        assert_eq!(ran.err().contains(NOTICE), is_told, "{args:?}: {}", ran.err());
        if args.contains(&"--json") {
            let line: serde_json::Value = serde_json::from_str(ran.err().lines().next().unwrap()).unwrap();
            assert_eq!((&line["type"], &line["level"]), (&"log".into(), &"info".into()));
        } else if is_told {
            assert!(ran.err().starts_with(NOTICE), "{}", ran.err());
        }
    }
}

#[test]
fn foreign_names_stop_nothing_and_verify_names_them() {
    let bucket = Bucket::new();
    bucket.run(URL, &["init"]).succeeds();
    bucket.place.file("a.json", document("one"));
    bucket.run(URL, &["save", "a", "a.json"]).succeeds();
    let foreign =
        ["workflows//a", "ops/pending//x", "versions/../b", "a b", "/c", "versions/a//1", "ops//base"];
    for name in foreign {
        bucket.server.bucket("probe").put(&format!("plans/{name}"), "another program's");
    }
    bucket.run(URL, &["save", "b", "a.json"]).succeeds();
    assert!(bucket.run(URL, &["list"]).succeeds().out().contains('b'));
    bucket.run(URL, &["reindex"]).succeeds();
    let told = bucket.run(URL, &["verify"]).succeeds().out();
    for name in foreign {
        assert!(told.contains(name), "{name}: {told}");
    }
}
