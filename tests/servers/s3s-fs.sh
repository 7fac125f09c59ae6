#!/usr/bin/env bash
# s3s-fs honours conditions one by one and loses races: a server that must be refused.
source "$(dirname "$0")/common.sh"
port="${PFLOW_S3S_FS_PORT:-9002}"
program="$tools/s3s-fs/bin/s3s-fs"
# Without the caller's RUSTFLAGS: warnings in its code are no concern of this project.
[ -x "$program" ] || env -u RUSTFLAGS cargo install s3s-fs --version 0.14.1 --features binary --locked --quiet \
    --root "$tools/s3s-fs" >> "$log" 2>&1 || give_up "it cannot be installed"
installed
RUST_LOG=warn serve "$program" --host 127.0.0.1 --port "$port" --access-key test --secret-key testtest "$data"
wait_for 30 "the server" bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
make_bucket "http://127.0.0.1:$port" test:testtest
echo "s3s-fs=http://127.0.0.1:$port"
