#!/usr/bin/env bash
# moto's S3, made linearizable by one lock around all requests (moto_locked.py says why).
source "$(dirname "$0")/common.sh"
port="${PFLOW_MOTO_PORT:-9001}"
[ -x "$tools/moto/bin/moto_server" ] || {
    python3 -m venv "$tools/moto"
    "$tools/moto/bin/pip" install --quiet 'moto[s3,server]==5.2.5' >> "$log" 2>&1 || give_up "it cannot be installed"
}
installed
serve "$tools/moto/bin/python" "$here/moto_locked.py" "$port"
wait_for 30 "the server" curl -sf "http://127.0.0.1:$port/moto-api/"
make_bucket "http://127.0.0.1:$port" test:testtest
echo "PFLOW_TEST_S3_ENDPOINT=http://127.0.0.1:$port"
