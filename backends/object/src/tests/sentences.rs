//! The error messages for refused credentials: what is wrong, where the credentials come from, and the
//! remedy.

use pflow_backend::{ErrorKind, Key};

use crate::{
    credentials::{NoCredentials, Source},
    doing::Doing,
    fault::{Answer, Fault},
    place::Place,
};

fn a() -> Key {
    Key::parse("a").unwrap()
}

fn place(url: &str) -> Place {
    let credentials = Source::new(
        "the AWS profile work of /home/ada/.aws/config (sso_session)",
        "Run `aws sso login --profile work`",
    );
    let region = Some("us-east-1".to_owned());
    Place { url: url.parse().unwrap(), endpoint: "https://e".to_owned(), region, credentials }
}

fn said(url: &str, status: u16, code: &str, doing: Doing<'_>) -> (String, String) {
    let code = (!code.is_empty()).then(|| code.to_owned());
    let error = Fault::Answer(Answer { code, ..Answer::of_status(status) }).error(&place(url), doing);
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    (error.to_string(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn refusal_names_the_problem_and_how_to_renew_credentials() {
    let (login, list) = ("Run `aws sso login --profile work`", "s3:ListBucket");
    for (url, status, code, doing, words, hint) in [
        ("s3://b", 403, "InvalidAccessKeyId", Doing::Read(&a()), "does not know the access key", login),
        ("s3://b", 400, "ExpiredToken", Doing::Write(&a()), "have expired", login),
        ("s3://b", 403, "SignatureDoesNotMatch", Doing::Read(&a()), "secret key does not fit", login),
        ("s3://b", 401, "", Doing::List, "are refused by https://e (401)", login),
        ("gs://b", 401, "", Doing::Read(&a()), "are refused by https://e (401)", login),
        (
            "az://b",
            403,
            "AuthenticationFailed",
            Doing::Read(&a()),
            "wrong or have expired",
            "check the clock",
        ),
        ("az://b", 401, "InvalidAuthenticationInfo", Doing::Read(&a()), "wrong or have expired", login),
        (
            "az://b",
            403,
            "KeyBasedAuthenticationNotPermitted",
            Doing::Read(&a()),
            "account keys",
            "AZURE_USE_AZURE_CLI",
        ),
        (
            "s3://b",
            403,
            "AccessDenied",
            Doing::Read(&a()),
            "or the key is missing and s3:ListBucket is not allowed",
            list,
        ),
        (
            "s3://b",
            403,
            "",
            Doing::LookAt(&a()),
            "or the key is missing and s3:ListBucket is not allowed",
            list,
        ),
        (
            "s3://b",
            403,
            "AccessDenied",
            Doing::Write(&a()),
            "do not allow this at https://e (403 AccessDenied)",
            "s3:PutObject",
        ),
        ("s3://b", 403, "AccessDenied", Doing::Delete(&a()), "do not allow this", "s3:DeleteObject"),
        ("s3://b", 403, "AccessDenied", Doing::List, "do not allow this", list),
        (
            "gs://b",
            403,
            "AccessDenied",
            Doing::Read(&a()),
            "storage.objects.list is not allowed",
            "storage.objects.get",
        ),
        ("gs://b", 403, "", Doing::Write(&a()), "do not allow this", "storage.objects.create"),
        (
            "az://b",
            403,
            "AuthorizationPermissionMismatch",
            Doing::Write(&a()),
            "do not allow this",
            "Storage Blob Data Contributor",
        ),
    ] {
        let (sentence, found) = said(url, status, code, doing);
        assert!(sentence.contains(words) && found.contains(hint), "{code}, {doing}: {sentence} | {found}");
        assert!(
            sentence.contains("; they are those of the AWS profile work of /home/ada/.aws/config"),
            "{sentence}"
        );
        assert!(sentence.ends_with(&format!("(to {doing} in {url})")), "{sentence}");
        let is_of_a_missing_key = sentence.contains("or the key is missing");
        assert_eq!(is_of_a_missing_key, words.contains("is not allowed"), "a write or a list: {sentence}");
    }
    // A wrong clock is not blamed on the credentials.
    for code in ["RequestTimeTooSkewed", "RequestExpired"] {
        let (sentence, hint) = said("s3://b", 403, code, Doing::Read(&a()));
        assert!(sentence.contains("The clock of this machine") && !sentence.contains("work"), "{sentence}");
        assert_eq!(hint, "Set the clock of this machine");
    }
}

#[test]
fn missing_credentials_keep_the_message_of_their_source() {
    let none = NoCredentials::denied(
        "The sign-in of the AWS profile work has expired",
        "Run `aws sso login --profile work`",
    );
    for fault in [Fault::NoCredentials(none), Fault::Credentials("169.254.169.254".to_owned())] {
        let error = fault.error(&place("s3://b"), Doing::Read(&a()));
        assert_eq!(
            (error.kind(), error.hint()),
            (ErrorKind::Denied, Some("Run `aws sso login --profile work`"))
        );
    }
    let unreachable =
        Fault::Unreachable("no such host".to_owned()).error(&place("az://b"), Doing::Read(&a()));
    assert_eq!(unreachable.hint(), Some("Check the name of the account and the network"));
}

/// Otherwise a check that reads all objects would report each of them as damaged.
#[test]
fn no_fault_is_about_one_object() {
    let invalid = NoCredentials::invalid("the profile has half a key", "Complete it");
    let word = || "a".to_owned();
    let answers = (100..600).map(Answer::of_status);
    let coded = ["NoSuchBucket", "ExpiredToken", "AccessDenied", "PermanentRedirect"];
    let coded = coded.map(|code| Answer { code: Some(code.to_owned()), ..Answer::of_status(400) });
    let faults = [
        Fault::Unreachable(word()),
        Fault::Proxy(word(), word()),
        Fault::ProxyCredentials(word()),
        Fault::SpeaksPlainHttp,
        Fault::SpeaksTls,
        Fault::Credentials(word()),
        Fault::NoCredentials(invalid),
        Fault::Settings(word()),
        Fault::Stale(Answer::of_status(401)),
        Fault::TimedOut,
        Fault::Cut,
        Fault::Garbled,
        Fault::WebPage,
    ];
    for fault in answers.chain(coded).map(Fault::Answer).chain(faults) {
        let error = fault.error(&place("s3://b"), Doing::Read(&a()));
        assert!(!error.is_of_one_object(), "{fault:?}: {:?}", error.kind());
    }
}
