#!/usr/bin/env bash
# Installs pflow's own parser, which tests/document/oracle.rs compares ours with, into target/tools/pflow, and prints the
# path of the Python that has it. Does nothing more if it is there already. With `--all` the whole of pflow is installed,
# 660 MB, which cli/tests/cli/pflow.rs runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

what="${1:-parser}"
pflow_version=0.16.0
pyyaml_version=6.0.3
folder="$PWD/target/tools/pflow"
python="$folder/bin/python3"

has_parser() {
    [ -x "$python" ] && "$python" -c "
from importlib.metadata import version
import pflow.core.markdown_parser
assert (version('pflow-cli'), version('pyyaml')) == ('$pflow_version', '$pyyaml_version')
" 2> /dev/null
}

has_what() { has_parser && { [ "$what" = parser ] || "$python" -c "import pflow.cli.main" > /dev/null 2>&1; }; }

if ! has_what; then
    fail() { echo "pflow's parser could not be installed into $folder: $1" >&2; exit 1; }
    command -v python3 > /dev/null || fail "there is no python3"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is older than 3.10"
    python3 -m venv --clear "$folder" >&2 || fail "python3 -m venv failed"
    if [ "$what" != parser ]; then
        "$folder/bin/pip" install --quiet --disable-pip-version-check "pflow-cli==$pflow_version" "pyyaml==$pyyaml_version" >&2 || fail "pip failed"
        has_what || { "$python" -c "import pflow.cli.main" >&2 || true; fail "it cannot be imported"; }
        echo "$python"
        exit
    fi
    # Without what the rest of pflow needs, and pflow needs a lot; these are what the import of the parser needs.
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "pflow-cli==$pflow_version" "pyyaml==$pyyaml_version" \
        jsonschema==4.26.0 jsonschema-specifications==2025.9.1 referencing==0.37.0 attrs==26.1.0 rpds-py==0.30.0 typing-extensions==4.15.0 >&2 || fail "pip failed"
    has_parser || { "$python" -c "import pflow.core.markdown_parser" >&2 || true; fail "it cannot be imported"; }
fi
echo "$python"
