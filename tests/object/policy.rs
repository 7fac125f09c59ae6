//! A server's door that lets in what a policy allows.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;

const DENIED: &str = "<Error><Code>AccessDenied</Code></Error>";

/// A policy of IAM with as much of the language as the guide uses.
#[derive(Debug, Clone)]
pub(crate) struct Policy(Value);

impl Policy {
    /// The one below this heading of `docs/guide/buckets.md`.
    pub(crate) fn of_the_guide(role: &str) -> Self {
        let guide = include_str!("../../docs/guide/buckets.md");
        let (_, below) = guide.split_once(&format!("\n### {role}\n")).unwrap();
        let (_, json) = below.split_once("```json\n").unwrap();
        Self(serde_json::from_str(json.split_once("```").unwrap().0).unwrap())
    }

    fn allows(&self, action: &str, resource: &str, prefix: &str) -> bool {
        let all = |value: &Value| match value {
            Value::Array(all) => all.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        };
        self.0["Statement"].as_array().unwrap().iter().any(|it| {
            assert_eq!(it["Effect"], "Allow");
            let condition = it.get("Condition").map(|it| it["StringLike"]["s3:prefix"].as_str().unwrap());
            all(&it["Action"]).iter().any(|it| it == action)
                && all(&it["Resource"]).iter().any(|it| is_like(it, resource))
                && condition.is_none_or(|it| is_like(it, prefix))
        })
    }
}

/// Whether a pattern with `*` at its end matches a text.
fn is_like(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}

/// The door: hands on what is allowed, byte for byte, so that signatures stay good.
pub(crate) struct Gate {
    pub(crate) url: String,
    policy: Arc<Mutex<Policy>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    pub(crate) fn start(server: &str, policy: Policy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = server.trim_start_matches("http://").to_owned();
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let (kept, policy) = (refused.clone(), Arc::new(Mutex::new(policy)));
        let of_door = policy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (server, policy, refused) =
                    (server.clone(), of_door.lock().unwrap().clone(), kept.clone());
                std::thread::spawn(move || serve(client, &server, &policy, &refused));
            }
        });
        Self { url, policy, refused }
    }

    /// Another client comes.
    pub(crate) fn set(&self, policy: Policy) {
        *self.policy.lock().unwrap() = policy;
    }

    /// The requests that were refused since the last time, as action and resource.
    pub(crate) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut *self.refused.lock().unwrap())
    }
}

/// One request; then both connections end.
fn serve(mut client: TcpStream, server: &str, policy: &Policy, refused: &Mutex<Vec<String>>) -> Option<()> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16_384]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        let read = some(client.read(&mut part).ok()?)?;
        bytes.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length: usize = head
        .to_ascii_lowercase()
        .split_once("\r\ncontent-length:")
        .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.trim().parse().unwrap());
    while bytes.len() < end + length {
        let read = some(client.read(&mut part).ok()?)?;
        bytes.extend_from_slice(&part[..read]);
    }
    let (action, resource, prefix) = asked(&head);
    if !policy.allows(action, &resource, &prefix) {
        refused.lock().unwrap().push(format!("{action} {resource}"));
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            DENIED.len()
        );
        let body = if head.starts_with("HEAD") { "" } else { DENIED };
        return client.write_all(format!("{answer}{body}").as_bytes()).ok();
    }
    let mut upstream = TcpStream::connect(server).ok()?;
    let (line, rest) = head.split_once("\r\n").unwrap();
    upstream.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).ok()?;
    upstream.write_all(&bytes[end..]).ok()?;
    std::io::copy(&mut upstream, &mut client).ok().map(drop)
}

fn some(read: usize) -> Option<usize> {
    (read > 0).then_some(read)
}

/// The action, the resource and the prefix of a list, of the head of a request in path style.
fn asked(head: &str) -> (&'static str, String, String) {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let prefix = query.split('&').find_map(|it| it.strip_prefix("prefix=")).unwrap_or_default();
    let action = match method {
        "GET" if query.contains("list-type=2") => "s3:ListBucket",
        "GET" | "HEAD" => "s3:GetObject",
        "PUT" => "s3:PutObject",
        "DELETE" => "s3:DeleteObject",
        other => panic!("{other} {target}"),
    };
    let resource = format!("arn:aws:s3:::{}", path.trim_matches('/'));
    (action, resource, prefix.replace("%2F", "/"))
}
