//! Credentials that programs print: a `credential_process`, and `aws` for the kinds that only it supports.
#![cfg(unix)]

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use crate::common::{
    answering::Answering,
    aws::{SECRET, assert_says, home, signed_with, variables},
    impatient, open,
};
use pflow_backend::{Environment, ErrorKind, Key, ManualEnvironment, StorageBackend};
use pflow_backend_object::{ObjectBackend, ObjectOptions};

fn key() -> Key {
    Key::parse("a").unwrap()
}

/// Writes a program with this text into the folder.
fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns a command that prints credentials with this key, valid until this time.
fn printing(id: &str, until: &str) -> String {
    let expires = if until.is_empty() { String::new() } else { format!(r#","Expiration":"{until}""#) };
    format!(
        r#"echo '{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"s","SessionToken":"T{id}"{expires}}}'"#
    )
}

/// Returns how often a program ran that appends a line to this file each time.
fn runs(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn a_credential_process_is_run_once_and_again_before_its_credentials_expire() {
    let server = Answering::start(|_| (200, "x".to_owned())).await;
    let home = home("[default]\ncredential_process = \"$HOME/my tool\" --for me\n", "");
    let (log, tool) = (home.path().join("log"), home.path());
    let counting = |then: &str| format!("echo run \"$@\" >> {}\n{then}", log.display());
    let environment = Arc::new(ManualEnvironment::new(7).stepped());
    let in_an_hour = (environment.now() + Duration::from_secs(3_600)).to_rfc3339();
    program(tool, "my tool", &counting(&printing("ONE", &in_an_hour)));
    let others = [("AWS_ENDPOINT_URL", server.url.as_str())];
    let options = ObjectOptions::new().variables(variables(tool, &others));
    let backend = ObjectBackend::open(&"s3://plans".parse().unwrap(), options, environment.clone()).unwrap();
    assert_eq!(runs(&log), 0, "opening runs nothing");
    let signed = async || {
        backend.get(&key()).await.unwrap();
        signed_with(&server.asked()[0])
    };
    let one = ("ONE".to_owned(), Some("TONE".to_owned()));
    for _ in 0..3 {
        assert_eq!(signed().await, one);
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "run --for me\n");
    // The renewal fails while the credentials are valid: they are used, and the program does not run at every
    // request.
    program(tool, "my tool", &counting("exit 3"));
    environment.advance(Duration::from_secs(3_400));
    for _ in 0..3 {
        assert_eq!(signed().await, one);
    }
    assert_eq!(runs(&log), 2);
    environment.advance(Duration::from_secs(30));
    assert_eq!(signed().await, one);
    assert_eq!(runs(&log), 3);
    // The credentials have expired.
    environment.advance(Duration::from_secs(170));
    let error = backend.get(&key()).await.unwrap_err();
    assert_says(
        &error,
        ErrorKind::Denied,
        &["my tool of the AWS profile default", ".aws/config", "exit code 3"],
    );
    assert_eq!(server.asked(), [""; 0], "nothing is sent without credentials");
    program(tool, "my tool", &counting(&printing("TWO", "")));
    assert_eq!(signed().await, ("TWO".to_owned(), Some("TTWO".to_owned())));
}

#[tokio::test]
async fn a_program_that_gives_no_credentials_is_named_without_what_it_says() {
    let home = home(
        "[profile missing]\ncredential_process = /none/tool --key SECRET\n\
         [profile failing]\ncredential_process = failing --key SECRET\n\
         [profile babbling]\ncredential_process = babbling\n\
         [profile endless]\ncredential_process = endless\n"
            .replace("SECRET", SECRET)
            .as_str(),
        "",
    );
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    program(&bin, "failing", &format!("echo {SECRET} >&2; exit 7"));
    program(&bin, "babbling", &format!("echo {SECRET}"));
    program(&bin, "endless", "exec sleep 60");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for (profile, kind, words) in [
        ("missing", ErrorKind::Denied, ["/none/tool of", "was not found", "Install it"]),
        ("failing", ErrorKind::Denied, ["failing of", "exit code 7", "Run it by hand"]),
        ("babbling", ErrorKind::Denied, ["babbling of", "printed no credentials: it is no JSON", "Correct"]),
        ("endless", ErrorKind::Unavailable, ["endless of", "did not end within", "Run it by hand"]),
    ] {
        let others =
            [("AWS_PROFILE", profile), ("PATH", path.as_str()), ("AWS_ENDPOINT_URL", "https://127.0.0.1:1")];
        let mut options = impatient(variables(home.path(), &others));
        if profile == "endless" {
            options = options.request_timeout(Duration::from_secs(3));
        }
        let backend = open("s3://plans", options).unwrap();
        let error = backend.get(&key()).await.unwrap_err();
        assert_says(&error, kind, &words);
        assert_says(&error, kind, &["AWS profile ", profile, ".aws/config"]);
    }
}

/// Profiles with SSO, roles or a sign-in by browser are resolved by the program `aws`.
#[tokio::test]
async fn what_only_aws_does_is_asked_of_aws() {
    let server = Answering::start(|_| (200, "x".to_owned())).await;
    let home = home(
        "[profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n[sso-session corp]\nsso_region = eu-west-1\n\
         [profile old]\nsso_start_url = https://x\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = sso\n\
         [profile browser]\nlogin_session = arn:aws:iam::1:user/u\n",
        "[sso]\naws_access_key_id = STATIC\naws_secret_access_key = s\n",
    );
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let path = bin.to_str().unwrap();
    let opened = |profile: &str| {
        let others = [("AWS_PROFILE", profile), ("PATH", path), ("AWS_ENDPOINT_URL", server.url.as_str())];
        open("s3://plans", impatient(variables(home.path(), &others))).unwrap()
    };
    let denied = ErrorKind::Denied;
    let error = opened("sso").get(&key()).await.unwrap_err();
    assert_says(
        &error,
        denied,
        &["AWS profile sso", "sso_session", "not on the PATH", "Install the AWS CLI"],
    );
    let expired = "The SSO session associated with this profile has expired or is otherwise invalid. To refresh this SSO session run aws sso login with the corresponding profile.";
    program(&bin, "aws", &format!("echo '{expired} {SECRET}' >&2; exit 255"));
    for profile in ["sso", "old"] {
        let error = opened(profile).get(&key()).await.unwrap_err();
        let command = format!("Run `aws sso login --profile {profile}`");
        assert_says(&error, denied, &["sign-in of the AWS profile", "has expired", &command]);
    }
    program(&bin, "aws", "echo 'Your session has expired. Please reauthenticate.' >&2; exit 255");
    assert_says(
        &opened("browser").get(&key()).await.unwrap_err(),
        denied,
        &["Run `aws login --profile browser`"],
    );
    program(
        &bin,
        "aws",
        "echo 'usage: aws [options]\naws: error: argument subcommand: Invalid choice' >&2; exit 252",
    );
    assert_says(&opened("role").get(&key()).await.unwrap_err(), denied, &["too old", "version 2"]);
    program(&bin, "aws", &format!("echo {SECRET} >&2; exit 254"));
    let words =
        ["`aws configure export-credentials --profile role --format process`", "role_arn", "exit code 254"];
    assert_says(&opened("role").get(&key()).await.unwrap_err(), denied, &words);

    let log = home.path().join("log");
    let body = format!("echo \"$@\" >> {}\n{}", log.display(), printing("FROMAWS", ""));
    program(&bin, "aws", &body);
    let backend = opened("role");
    for _ in 0..2 {
        backend.get(&key()).await.unwrap();
    }
    for head in server.asked() {
        assert_eq!(signed_with(&head), ("FROMAWS".to_owned(), Some("TFROMAWS".to_owned())));
    }
    let asked = std::fs::read_to_string(&log).unwrap();
    assert_eq!(asked, "configure export-credentials --profile role --format process\n");
}

/// The real program `aws`, if it is installed.
#[tokio::test]
async fn the_real_aws_exports_credentials() {
    let found =
        std::process::Command::new("aws").arg("--version").output().ok().filter(|it| it.status.success());
    let Some(found) = found else {
        println!("skipped: the program aws is not on the PATH");
        return;
    };
    let is_old = String::from_utf8_lossy(&found.stdout).contains("aws-cli/1.");
    let server = Answering::start(|_| (200, "x".to_owned())).await;
    let home = home(
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\nregion = us-east-1\n\
         [profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = r\n\
         [sso-session corp]\nsso_start_url = https://127.0.0.1:1/start\nsso_region = us-east-1\nsso_registration_scopes = sso:account:access\n",
        "[base]\naws_access_key_id = A\naws_secret_access_key = s\n",
    );
    // There is no server for roles, so the program fails. The error says so.
    for (profile, words) in [("sso", "aws sso login --profile sso"), ("role", "export-credentials")] {
        let others = [
            ("AWS_PROFILE", profile),
            ("AWS_ENDPOINT_URL", server.url.as_str()),
            ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ];
        let backend =
            open("s3://plans", ObjectOptions::new().variables(variables(home.path(), &others))).unwrap();
        let words = if is_old { "is too old" } else { words };
        assert_says(&backend.get(&key()).await.unwrap_err(), ErrorKind::Denied, &[words]);
    }
}
