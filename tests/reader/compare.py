#!/usr/bin/env python3
"""Compares the reader with the program on every store below a folder.

    compare.py DIR PROGRAM [--at-least N]

The test suites leave the stores there if PFLOW_TEST_KEEP_STORES names the folder. Reader and program must
agree on whether it is a store, the live workflows, the bytes of their contents, and whether the store is sound.
Prints each disagreement and a count. Exit code 1 if there are any, or fewer than N
stores, or none with work in its journal.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

import pflow_reader as reader

# What the program says with its exit code about a place that it cannot open as a store.
REFUSALS = {10: "no store", 14: "damaged", 17: "newer"}
# The exit code of a load if a person edited the working copy.
EDITED = 13
# Those of the page. With another one only a newer program knows the working copy.
MEDIA_TYPES = {
    "application/json",
    "application/vnd.pflow-store.other+json",
    "text/vnd.pflow.markdown",
    "application/octet-stream",
}
NOT_OURS = "is not a store of ours"
# What the program says if it opens a copy of a folder, reads on without committed records, and tells so.
CONTINUED = "opened without what cannot be read of the journal"


class Said:
    """What one of the two says of a store."""

    def __init__(self):
        self.journaled = False
        self.kind, self.live, self.unreadable, self.contents = "store", [], [], {}
        self.findings = {"damage": [], "newer": []}
        # Workflows of which the program need not say the same: damaged, or with an unknown media type.
        self.apart = set()


def ask_reader(folder):
    said = Said()
    try:
        disk = reader.Disk(folder)
        said.journaled = bool(disk.journal)
        store = reader.Objects(disk)
    except (reader.NoStore, reader.Damage) as error:
        said.kind = {reader.NoStore: "no store", reader.Newer: "newer"}.get(type(error), "damaged")
        return said
    for workflow in store.ids():
        try:
            record = store.current(workflow)
            if record and not record["deleted"]:
                said.live.append([record[it] for it in ("id", "generation", "version_id", "hash")])
        except reader.Damage:
            said.unreadable.append(workflow)
            continue
        if record and not record["deleted"]:
            try:
                said.contents[workflow] = store.load(workflow).content
            except (reader.Damage, reader.Missing):
                said.contents[workflow] = None
        if record and record["media_type"] not in MEDIA_TYPES:
            said.apart.add(workflow)
    for finding in store.verify():
        if finding.key.startswith(("workflows/", "versions/")):
            said.apart.add(finding.key.split("/")[1])
        if finding.severity in said.findings:
            said.findings[finding.severity].append(str(finding))
    return said


def ask_program(program, folder, copy):
    said, told = Said(), []

    def run(*arguments):
        ran = subprocess.run([program, "--store", folder, *arguments], capture_output=True)
        told.append(ran.stderr.decode(errors="replace"))
        return ran.returncode, ran.stdout

    code, out = run("list", "--json")
    if code in REFUSALS and not out.strip():
        said.kind = REFUSALS[code]
        return said, told
    if NOT_OURS in told[-1]:
        said.kind = "no store"
        return said, told
    listed = json.loads(out)
    said.live = [[it[name] for name in ("id", "generation", "version_id", "hash")] for it in listed["workflows"]]
    said.unreadable = sorted(it["id"] for it in listed["unreadable"])
    for workflow, *_ in said.live:
        code, out = run("load", workflow)
        if code != EDITED:
            said.contents[workflow] = out if code == 0 else None
    shutil.rmtree(folder)
    shutil.copytree(copy, folder, symlinks=True)
    code, out = run("verify", "--json")
    for finding in json.loads(out)["findings"] if out.strip() else []:
        if finding["severity"] in said.findings:
            said.findings[finding["severity"]].append(f"{finding['key']}: {finding['reason']}")
    return said, told


def differences(name, ours, theirs, told):
    if ours.kind == "damaged" and theirs.kind == "store" and any(CONTINUED in it for it in told):
        return
    if theirs.kind == "newer" and ours.findings["newer"]:
        # The program needs the index, the reader does not.
        return
    if ours.kind != theirs.kind:
        yield f"{name}: the reader says {ours.kind}, the program says {theirs.kind}: {' '.join(told)[:300]}"
        return
    lists = [{it[0]: it for it in said.live} for said in (ours, theirs)]
    for workflow in (lists[0].keys() | lists[1].keys()) - ours.apart:
        one, other = (it.get(workflow) for it in lists)
        if one != other:
            yield f"{name}: list: the reader has {one}, the program {other}"
    for workflow in (set(ours.unreadable) ^ set(theirs.unreadable)) - ours.apart:
        yield f"{name}: list: only one of the two cannot read {workflow}"
    for workflow in (ours.contents.keys() & theirs.contents.keys()) - ours.apart:
        one, other = ours.contents[workflow], theirs.contents[workflow]
        if one != other:
            sizes = ["nothing" if it is None else f"{len(it)} bytes" for it in (one, other)]
            yield f"{name}: load {workflow}: the reader has {sizes[0]}, the program {sizes[1]}"
    for severity, found in ours.findings.items():
        if bool(found) != bool(theirs.findings[severity]):
            which = "reader" if found else "program"
            yield f"{name}: only the {which} finds {severity}: {'; '.join(found or theirs.findings[severity])[:400]}"


def compare(program, copy):
    name = os.path.basename(copy)
    with tempfile.TemporaryDirectory(prefix="pflow-compare-") as temporary:
        folder = os.path.join(temporary, "store")
        shutil.copytree(copy, folder, symlinks=True)
        try:
            ours = ask_reader(folder)
            theirs, told = ask_program(program, folder, copy)
            return ours, list(differences(name, ours, theirs, told))
        except Exception as error:  # One store must not hide what the others show.
            return Said(), [f"{name}: the comparison failed: {error!r}"]


def main():
    parser = argparse.ArgumentParser(description="Compares the reader with the program.")
    parser.add_argument("folder")
    parser.add_argument("program")
    parser.add_argument("--at-least", type=int, default=150, help="fewer stores are a failure")
    arguments = parser.parse_args()
    copies = sorted(entry.path for entry in os.scandir(arguments.folder) if entry.is_dir())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda copy: compare(os.path.abspath(arguments.program), copy), copies))
    disagreements = [line for _, lines in results for line in lines]
    for line in disagreements:
        print(line)
    said = [ours for ours, _ in results]
    stores = [it for it in said if it.kind == "store"]
    print(
        f"compared {len(copies)} folders: {len(stores)} stores, {sum(it.journaled for it in stores)} of them with"
        f" work in the journal, {sum(len(it.live) for it in stores)} live workflows,"
        f" {sum(bool(it.findings['damage']) for it in stores)} damaged; {len(disagreements)} disagreements"
    )
    few = len(stores) < arguments.at_least or not any(it.journaled for it in stores)
    if few:
        print(f"expected at least {arguments.at_least} stores, and work in a journal")
    return 1 if disagreements or few else 0


if __name__ == "__main__":
    sys.exit(main())
