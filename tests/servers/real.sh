#!/usr/bin/env bash
# The tests of a real bucket in a cloud. Nothing runs it by itself.
set -euo pipefail

usage() {
    cat << 'END'
usage: tests/servers/real.sh URL

Runs the conformance suite, the counts of requests and a bounded chaos against a bucket that is there already.
URL is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX. The prefix is required.

Credentials and the region come from where the program takes them: a profile, the file of application default
credentials, the role of the machine, or variables, for example
  S3     AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_ENDPOINT_URL
  GCS    GOOGLE_SERVICE_ACCOUNT (a file) or GOOGLE_SERVICE_ACCOUNT_KEY (its text)
  Azure  AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY

It makes no bucket and removes none. Each test writes below PREFIX/pflow-test-ID-NAME, where ID is new, and deletes
what is there at its end, also after a failure. What else is below PREFIX is not touched. After a kill that folder
stays: its name was printed. It sends more than ten thousand small requests, and the cloud may charge for them.
A bucket that keeps versions keeps those of the tests.
END
}

url="${1:-}"
if [ "$#" -ne 1 ] || [ "$url" = -h ] || [ "$url" = --help ]; then
    usage >&2
    exit 2
fi
case "$url" in
    s3://?*/?* | gs://?*/?* | az://?*/?*) ;;
    *)
        echo "real.sh: $url does not name a bucket and a prefix in it" >&2
        usage >&2
        exit 2
        ;;
esac

cd "$(dirname "$0")/../.."
# With `--workspace`, so that the features are those of the whole suite. One test after the other, so that their
# requests are not taken for each other's by a person who watches the bucket.
PFLOW_TEST_REAL_URL="$url" cargo test --workspace --locked --quiet --test object real:: -- --nocapture --test-threads 1
