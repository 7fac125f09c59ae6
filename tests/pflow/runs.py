"""Runs a saved workflow of the real pflow again and again, in one process.

The name of the workflow is the only argument. A line on stdin is a run; "done" is written after each, or "failed" with
the exit code. What pflow itself prints goes to stderr.
"""

import contextlib
import os
import sys

from pflow.cli import cli_main

name, answers = sys.argv[1], sys.stdout
# A run would wait for its own input on our stdin.
asks = os.fdopen(os.dup(0))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.stdin = open(os.devnull)
for _ in asks:
    code = 0
    sys.argv = ["pflow", name]
    with contextlib.redirect_stdout(sys.stderr):
        try:
            cli_main()
        except SystemExit as exit:
            code = exit.code or 0
    print("done" if code == 0 else f"failed {code}", file=answers, flush=True)
