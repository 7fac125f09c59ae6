#!/usr/bin/env bash
# Azurite, Microsoft's emulator of Azure Blob Storage. Its account and key are published constants.
source "$(dirname "$0")/common.sh"
port="${PFLOW_AZURITE_PORT:-10000}"
blob="$tools/azurite/node_modules/azurite/dist/src/blob/main.js"
[ -f "$blob" ] || npm install --prefix "$tools/azurite" --silent --no-fund --no-audit azurite@3.37.0 >> "$log" 2>&1 ||
    give_up "it cannot be installed"
installed
serve node "$blob" --blobHost 127.0.0.1 --blobPort "$port" --location "$data" --silent --disableTelemetry \
    --skipApiVersionCheck
wait_for 30 "the server" bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
python3 "$here/azurite_container.py" "http://127.0.0.1:$port" >> "$log" 2>&1 || give_up "the container could not be made"
echo "PFLOW_TEST_AZURE_ENDPOINT=http://127.0.0.1:$port"
