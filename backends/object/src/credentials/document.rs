use chrono::{DateTime, Utc};
use object_store::aws::AwsCredential;
use serde_json::Value;

use super::held::Fetched;

/// Parses credentials from the document that programs print (`credential_process`, version 1) and that
/// services of containers return. The error omits the text.
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
pub(super) fn credentials(document: &[u8], is_of_a_program: bool) -> Result<Fetched<AwsCredential>, String> {
    let document: Value = serde_json::from_slice(document).map_err(|_| "it is no JSON".to_owned())?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    if is_of_a_program && document.get("Version") != Some(&Value::from(1)) {
        return Err("its Version is not 1".to_owned());
    }
    let token = if is_of_a_program { text("SessionToken") } else { text("Token") };
    let needed = |name: &str| text(name).ok_or_else(|| format!("it has no {name}"));
    let credential = AwsCredential {
        key_id: needed("AccessKeyId")?.to_owned(),
        secret_key: needed("SecretAccessKey")?.to_owned(),
        token: token.map(str::to_owned),
    };
    if !fits(&credential) {
        return Err("its keys have signs that no header may have".to_owned());
    }
    let expires = match document.get("Expiration") {
        None | Some(Value::Null) => None,
        Some(found) => {
            let time = found.as_str().and_then(|it| DateTime::parse_from_rfc3339(it).ok());
            Some(time.ok_or("its Expiration is no time such as 2026-11-30T12:00:00Z")?.with_timezone(&Utc))
        }
    };
    Ok(Fetched { credential: credential.into(), expires })
}

/// Whether the values are valid in a header; object_store panics if they are not.
pub(super) fn fits(credential: &AwsCredential) -> bool {
    let is_plain = |it: &str| it.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain(&credential.key_id) && credential.token.as_deref().is_none_or(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_parsed_and_errors_omit_the_text() {
        let read = |text: &str| credentials(text.as_bytes(), true);
        let whole = r#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T",
                        "Expiration": "2026-11-30T12:00:00+01:00"}"#;
        let fetched = read(whole).map_err(|refused| refused.to_string()).ok().unwrap();
        let credential = &fetched.credential;
        assert_eq!((credential.key_id.as_str(), credential.token.as_deref()), ("A", Some("T")));
        assert_eq!(fetched.expires.unwrap().to_rfc3339(), "2026-11-30T11:00:00+00:00");
        for (text, words) in [
            ("hunter2", "no JSON"),
            (r#"{"Version": 2, "AccessKeyId": "A", "SecretAccessKey": "hunter2"}"#, "Version"),
            (r#"{"Version": 1, "SecretAccessKey": "hunter2"}"#, "AccessKeyId"),
            (r#"{"Version": 1, "AccessKeyId": "A"}"#, "SecretAccessKey"),
            (
                r#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hunter2", "Expiration": "soon"}"#,
                "Expiration",
            ),
            (
                r#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "hunter2\n"}"#,
                "signs",
            ),
        ] {
            let refused = read(text).err().unwrap();
            assert!(refused.contains(words) && !refused.contains("hunter2"), "{refused}");
        }
    }
}
