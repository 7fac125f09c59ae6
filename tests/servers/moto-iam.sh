#!/usr/bin/env bash
# moto's S3 with moto's IAM in force: one user for each role of docs/guide/buckets.md, with the policy from there.
# Prints the endpoint and the keys of the users as `URL,ROLE:ID:SECRET,…`.
source "$(dirname "$0")/common.sh"
port="${PFLOW_MOTO_IAM_PORT:-9007}"
[ -x "$tools/moto/bin/moto_server" ] || PFLOW_TEST_INSTALL_ONLY=1 "$here/moto.sh" "$folder"
installed
serve "$tools/moto/bin/python" "$here/moto_locked.py" "$port"
wait_for 30 "the server" curl -sf "http://127.0.0.1:$port/moto-api/"
roles="$("$tools/moto/bin/python" "$here/moto_iam.py" "http://127.0.0.1:$port" "$here/../../docs/guide/buckets.md" 2>> "$log")" ||
    give_up "the users could not be made"
echo "PFLOW_TEST_IAM=http://127.0.0.1:$port,$roles"
