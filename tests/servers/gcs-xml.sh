#!/usr/bin/env bash
# A server of our own that speaks GCS's XML API as far as we use it (gcs_xml.py): it proves the client's path, not Google's promises.
source "$(dirname "$0")/common.sh"
port="${PFLOW_GCS_PORT:-9005}"
installed
serve python3 "$here/gcs_xml.py" "$port"
wait_for 30 "the server" bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
echo "PFLOW_TEST_GCS_ENDPOINT=http://127.0.0.1:$port"
