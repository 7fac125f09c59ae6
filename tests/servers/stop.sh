#!/usr/bin/env bash
# Ends the servers that were started with FOLDER, at first kindly.
set -uo pipefail
folder="${1:?usage: stop.sh FOLDER}"
mapfile -t pids < <(cat "$folder"/pids/*.pid 2> /dev/null)
[ "${#pids[@]}" -gt 0 ] || exit 0
kill "${pids[@]}" 2> /dev/null
for ((i = 0; i < 50; i++)); do
    kill -0 "${pids[@]}" 2> /dev/null || break
    sleep 0.1
done
kill -9 "${pids[@]}" 2> /dev/null
rm -f "$folder"/pids/*.pid
