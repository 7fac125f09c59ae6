#!/usr/bin/env bash
# s3rver ignores If-Match and If-None-Match: a server that must be refused. Its keys are S3RVER and S3RVER.
source "$(dirname "$0")/common.sh"
port="${PFLOW_S3RVER_PORT:-9004}"
program="$tools/s3rver/node_modules/s3rver/bin/s3rver.js"
[ -f "$program" ] || npm install --prefix "$tools/s3rver" --silent --no-fund --no-audit s3rver@3.7.1 >> "$log" 2>&1 ||
    give_up "it cannot be installed"
installed
serve node "$program" --address 127.0.0.1 --port "$port" --directory "$data" --silent --configure-bucket probe
wait_for 30 "the server" bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
echo "s3rver=http://127.0.0.1:$port"
