# What the start-up scripts of this folder share. Each of them is called as `NAME.sh FOLDER`: it installs what it needs into
# target/tools (or as Debian packages), starts one server on a port of its own with its data in FOLDER, makes the bucket `probe`
# there, and prints what a client needs as NAME=VALUE lines. It starts nothing twice: FOLDER must be new. `stop.sh FOLDER` ends them all.
# With PFLOW_TEST_INSTALL_ONLY=1 it ends when everything is installed.

set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
tools="$(cd "$here/../.." && pwd)/target/tools"
folder="${1:?usage: $(basename "$0") FOLDER}"
name="$(basename "$0" .sh)"
mkdir -p "$tools" "$folder/pids" "$folder/$name"
folder="$(cd "$folder" && pwd)"
data="$folder/$name"
log="$folder/$name.log"

# Says why, shows the end of the log, and gives up.
give_up() {
    echo "$name: $1" >&2
    [ -s "$log" ] && tail -n 20 "$log" >&2
    exit 1
}

# Called when everything is installed.
installed() {
    if [ "${PFLOW_TEST_INSTALL_ONLY:-}" = 1 ]; then exit 0; fi
}

# Runs a server in the background and remembers its process for stop.sh.
serve() {
    "$@" >> "$log" 2>&1 < /dev/null &
    remember "$name" $!
}

remember() {
    echo "$2" > "$folder/pids/$1.pid"
}

# Waits until the command succeeds, at most so many seconds.
wait_for() {
    local seconds="$1" what="$2"
    shift 2
    for ((i = 0; i < seconds * 10; i++)); do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.1
    done
    give_up "$what was not there after $seconds seconds"
}

# put_s3 URL USER BODY: what the server answers, and its status.
put_s3() {
    # Ceph wants the hash of the body among what is signed.
    curl -sS -X PUT --aws-sigv4 aws:amz:us-east-1:s3 --user "$2" -w '%{http_code}' --data-binary "$3" \
        -H 'content-type: application/xml' -H "x-amz-content-sha256: $(printf %s "$3" | sha256sum | cut -d ' ' -f 1)" "$1"
}

# Makes an S3 bucket, `probe` unless it is named; one that is there already is fine.
make_bucket() {
    local endpoint="$1" user="$2" bucket="${3:-probe}" answer
    answer="$(put_s3 "$endpoint/$bucket" "$user" '')" || give_up "the bucket could not be made"
    case "$answer" in
        *200 | *BucketAlready*) ;;
        *) give_up "the bucket could not be made: $answer" ;;
    esac
}
