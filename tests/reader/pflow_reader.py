#!/usr/bin/env python3
"""Reads and verifies a pflow store without pflow. Written from docs/format.md alone; changes nothing.

    pflow_reader.py [--json] list STORE                   live workflows
    pflow_reader.py [--json] load STORE ID [GENERATION]   the content of a version
    pflow_reader.py [--json] history STORE ID             the versions along first parents, the newest first
    pflow_reader.py [--json] verify STORE                 every finding as `KEY: what`

STORE is the folder of a store on a disk, also with work in its journal, or a folder with a dump of a bucket.
Exit codes: 0 done, 1 damaged or not found, 2 usage, 3 not a store, 4 written by a newer program.
"""
import argparse, base64, hashlib, json, os, re, struct, sys
from datetime import datetime, timedelta, timezone
from collections.abc import Mapping
from contextlib import contextmanager
from typing import NamedTuple

ID_WITHIN = r"(?=[^/]{1,100}/)[a-z0-9][a-z0-9._-]*(?<!\.)"
ULID = r"[a-z0-9]{26}"
VERSION_KEY = re.compile(rf"versions/({ID_WITHIN})/(\d{{12}})-({ULID})")


class Damage(Exception):
    """An object that is not as the format says."""

    severity = "damage"

    def __init__(self, key, what):
        super().__init__(f"{key}: {what}")
        self.key, self.what = key, what


class Newer(Damage):
    """An object that a newer program wrote. It is no damage."""

    severity = "newer"


class LostIndex(Damage):
    """An object of the index that is missing. Nothing is lost: the index is made again from the heads."""

    severity = "notice"


class Missing(Exception):
    """A workflow or a generation that does not exist."""


class NoStore(Exception):
    """A place that is not a store."""


# Text, hashes and checksums


def derived_id(text, record):
    """Returns the id of a derived merge whose record is this text."""
    zero = text.replace(record["version_id"].encode(), b"0" * 26, 1)
    moment = datetime.fromisoformat(record["modified"].replace("Z", "+00:00"))
    time = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
    bits = time << 80 | int.from_bytes(hashlib.sha256(zero).digest()[:10], "big")
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[bits >> 5 * at & 31] for at in range(25, -1, -1))


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC_TABLE = tuple(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return f"{crc ^ 0xFFFFFFFF:08x}"


CHECKSUMS = {
    "checksum": (re.compile(rb',"checksum":"(sha256:[0-9a-f]{64})"}'), sha256),
    "crc32c": (re.compile(rb',"crc32c":"([0-9a-f]{8})"}'), crc32c),
}


@contextmanager
def decoding(key):
    """Turns what goes wrong with unexpected values into damage of the object."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise Damage(key, f"cannot be decoded: {error!r}") from error


def require(key, condition, what):
    if not condition:
        raise Damage(key, what)


def parse(key, data):
    """Returns the JSON object that these bytes are."""
    value = json.loads(data.decode("utf-8"))
    require(key, isinstance(value, dict), "is no JSON object")
    return value


def expect_format(key, value, kind):
    name, _, number = str(value.get("format")).partition("/")
    require(key, name == kind and re.fullmatch(r"[1-9]\d*", number), f"is no {kind}")
    if int(number) > 1:
        raise Newer(key, f"has the newer format {kind}/{number}")


def parse_sealed(key, line, kind, field):
    """Returns the object of a sealed line without its line feed."""
    pattern, checksum = CHECKSUMS[field]
    start = line.rfind(b',"' + field.encode())
    seal = pattern.fullmatch(line[start:]) if start >= 0 else None
    require(key, seal, "has no checksum")
    require(key, checksum(line[:start] + b"}") == seal[1].decode(), "the checksum is wrong")
    value = parse(key, line)
    expect_format(key, value, kind)
    return value


def only_line(key, data):
    require(key, data.endswith(b"\n") and data.count(b"\n") == 1, "is not one line")
    return data[:-1]


def plain(sourced):
    """Returns the value of a text or list that was given or derived."""
    return next(iter(sourced.values())) if sourced else None


# Disk


class Disk(Mapping):
    """The objects of a folder: its files, and what its journal has on top of them."""

    def __init__(self, folder):
        self.folder, self.atomic = folder, os.path.isdir(os.path.join(folder, ".journal"))
        self.journal = dict(read_journal(os.path.join(folder, ".journal")))

    def __getitem__(self, key):
        if key in self.journal:
            read = self.journal[key]
            if read is None:
                raise KeyError(key)
            return read()
        try:
            with open(os.path.join(self.folder, key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None

    def __iter__(self):
        yield from (key for key, read in self.journal.items() if read is not None)
        for folder, folders, names in os.walk(self.folder):
            if folder == self.folder:
                folders[:] = [name for name in folders if name != ".journal"]
            for name in names:
                key = os.path.relpath(os.path.join(folder, name), self.folder).replace(os.sep, "/")
                if key not in self.journal:
                    yield key

    def __len__(self):
        return sum(1 for _ in self)


class State(NamedTuple):
    flags: int
    epoch: int
    salt: bytes
    sequence: int
    tail: int
    check: bytes


def file_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def checked(data, magic, length):
    """Returns whether these bytes begin with the magic and end with their own hash."""
    data = data[:length]
    whole = len(data) == length and data.startswith(magic)
    return whole and hashlib.sha256(data[:-32]).digest() == data[-32:]


def read_state(data):
    """Returns the state, or None if these bytes are no state."""
    if len(data) != 144 or not checked(data, b"pflowsta", 144):
        return None
    number, *fields = struct.unpack_from("<IIQ16sQQ32s", data, 8)
    return State(*fields) if number == 1 else None


def read_header(data):
    """Returns epoch and salt of a header of the journal, or None if these bytes are none."""
    if not checked(data, b"pflowlog", 88):
        return None
    number, _, epoch, salt = struct.unpack_from("<IIQ16s", data, 8)
    if number != 1:
        raise Newer(".journal/journal", f"has the newer format {number}")
    return epoch, salt


class Record(NamedTuple):
    epoch: int
    sequence: int
    salt: bytes
    before: bytes
    check: bytes
    payload: bytes


def read_record(data, at):
    """Returns the whole record at this offset, or None."""
    header = data[at : at + 112]
    if len(header) < 112:
        return None
    magic, length, *fields = struct.unpack("<8sQQQ16s32s32s", header)
    record = Record(*fields, data[at + 112 : at + 112 + length])
    whole = magic == b"pflowrec" and len(record.payload) == length
    return record if whole and hashlib.sha256(header[:80] + record.payload).digest() == record.check else None


def read_journal(folder):
    """Yields a key and a function that returns its bytes, or None if the key was removed, for each change."""
    name = ".journal/journal"
    state, data = read_state(file_bytes(os.path.join(folder, "state"))), file_bytes(os.path.join(folder, "journal"))
    found, first = [read_header(data[0:]), read_header(data[512:])], read_record(data, 4096)
    if first and first.sequence == 0:
        found.append((first.epoch, first.salt))
    journal = max((it for it in found if it), key=lambda it: it[0], default=None)
    if state and journal and state.epoch < journal[0]:
        state = None
    if state and state.tail == 0 or not state and not journal:
        return
    journal = (state.epoch, state.salt) if state else journal
    at, sequence, check = 4096, 0, bytes(32)
    reached = state is None
    until_tail = bool(state and state.flags & 1)
    while not (reached and until_tail):
        record = read_record(data, at)
        belongs = record and (record.epoch, record.salt, record.sequence, record.before) == (*journal, sequence, check)
        if not belongs:
            break
        with decoding(name):
            yield from read_changes(record.payload, folder)
        check, at, sequence = record.check, at + (112 + len(record.payload) + 7) // 8 * 8, sequence + 1
        reached = reached or (at, sequence, check) == (state.tail, state.sequence, state.check)
    require(name, reached, f"the committed records cannot be read beyond the first {sequence}")
    while not until_tail and (at := data.find(b"pflowrec", at)) >= 0:
        later = read_record(data, at) if at % 8 == 0 else None
        lost = later and (later.epoch, later.salt) == journal and later.sequence >= sequence
        require(name, not lost, f"record {sequence} cannot be read, and a later one can")
        at += 1


def read_changes(payload, folder):
    """Yields the changes of a record as `read_journal` does."""
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, payload, at)
        at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    _time, count = take("qI")
    for _ in range(count & 0x7FFFFFFF):
        tags, key_length = take("BH")
        key = take(f"{key_length}s").decode("utf-8")
        if tags >> 2 & 3 == 2:
            take("32s")
        if tags & 3 == 0:
            yield key, None
            continue
        version, size = take("32sQ")
        where = tags >> 4 & 3
        if where == 0:
            source, start = payload, at
            take(f"{size}s")
        elif where == 1:
            name = take(f"{take('H')}s").decode("utf-8")
            source, start = os.path.join(folder, "values", name), take("Q")
        else:
            source, start = payload, take("Q")
        yield key, reader_of(key, source, start, size, version)


def reader_of(key, source, start, size, version):
    def read():
        whole = file_bytes(source) if isinstance(source, str) else source
        data = whole[start : start + size]
        require(key, hashlib.sha256(data).digest() == version, "the journal has other bytes than it says")
        return data

    return read


# Objects


class Version(NamedTuple):
    key: str
    record: dict
    record_hash: str
    envelope: dict
    content: bytes


def version_key(workflow, names):
    """Returns the key of the version with this generation and version id."""
    generation, version_id = names["generation"], names["version_id"]
    if type(generation) is not int or not 1 <= generation <= 999999999999 or not re.fullmatch(ULID, version_id):
        raise ValueError(f"there can be no version {generation}-{version_id}")
    return f"versions/{workflow}/{generation:012}-{version_id}"


def parents_within(workflow, record):
    """Returns the parents of the same workflow."""
    return [it for it in record["parents"] if it.get("workflow", workflow) == workflow]


def first_parent(workflow, record):
    """Returns the first parent if it is of the same workflow, else None."""
    return next(iter(parents_within(workflow, {"parents": record["parents"][:1]})), None)


def jump_to(version):
    """Returns the jump that leads to this version."""
    names = {name: version.record[name] for name in ("depth", "generation", "version_id")}
    return {**names, "record_hash": version.record_hash}


def same_jump(one, other):
    fields = ("depth", "generation", "version_id", "record_hash")
    return one == other or bool(one and other) and all(one[it] == other[it] for it in fields)


class Objects:
    """Decodes the objects of a store, which are a mapping from key to bytes."""

    def __init__(self, objects):
        self.objects, self.cache = objects, {}
        # On a disk a version and its head are written together.
        self.atomic = getattr(objects, "atomic", False)
        try:
            with decoding("config.json"):
                self.check_config("config.json", self.get("config.json"))
        except Newer:
            raise
        except Damage as error:
            if any(key == "ops/checkpoint" or VERSION_KEY.fullmatch(key) for key in objects):
                raise
            raise NoStore(str(error)) from error

    def check_config(self, key, data):
        config = parse(key, data)
        expect_format(key, config, "pflow-store")
        features = config["features"]
        require(key, isinstance(config["settings"], dict), "has no settings")
        if features["read"]:
            raise Newer(key, f"needs the unknown features {features['read']}")
        probed = [[it["place"], it["probe"], it["at"]] for it in config.get("probed", [])]
        line = [config["format"], config["store_id"], config["created"], features["read"], features["write"], probed]
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        require(key, config["checksum"] == sha256(text.encode()), "the checksum is wrong")

    def get(self, key):
        try:
            return self.objects[key]
        except KeyError:
            raise Damage(key, "is missing") from None

    def ids(self):
        """Returns the ids of all workflows that have a head, also of deleted ones."""
        found = (re.fullmatch(rf"workflows/({ID_WITHIN})/metadata\.json", key) for key in self.objects)
        return sorted(it[1] for it in found if it)

    def head(self, workflow):
        key = f"workflows/{workflow}/metadata.json"
        with decoding(key):
            head = parse_sealed(key, only_line(key, self.get(key)), "pflow-head", "checksum")
            require(key, head["id"] == workflow, f"is the head of {head['id']}")
            current = head["current"]
            require(key, current is None or current["record"]["id"] == workflow, "has a record of another workflow")
            if current:
                version_key(workflow, current["record"])
                require(key, isinstance(current["record_hash"], str), "has no record hash")
                require(key, isinstance(current["jumps"], list), "has no jumps")
            return head

    def current(self, workflow):
        """Returns the record of the current version, or None."""
        if f"workflows/{workflow}/metadata.json" not in self.objects:
            raise Missing(f"there is no workflow {workflow}")
        current = self.head(workflow)["current"]
        return current["record"] if current else None

    def version(self, workflow, reference):
        """Returns the version that a reference names."""
        version = self.known_version(workflow, reference)
        matches = version.record_hash == reference["record_hash"]
        require(version.key, matches, "is not the version that a reference names")
        return version

    def known_version(self, workflow, names):
        """Returns the version with this generation and id, without its content if it was read before."""
        key = version_key(workflow, names)
        if key in self.cache:
            return self.cache[key]
        version = self.read_version(workflow, names)
        self.cache[key] = version._replace(content=None)
        return version

    def read_version(self, workflow, names):
        """Returns a version after all checks of it alone, in the order of the page."""
        key = version_key(workflow, names)
        data = self.get(key)
        with decoding(key):
            return self.decode_version(key, workflow, names, data)

    def decode_version(self, key, workflow, names, data):
        line, feed, rest = data.partition(b"\n")
        require(key, feed and len(line) < 2048, "the envelope is no line")
        envelope = parse_sealed(key, line, "pflow-version", "crc32c")
        length = envelope["record_bytes"]
        text, feed, content = rest[:length], rest[length : length + 1], rest[length + 1 :]
        require(key, feed == b"\n" and length <= 16384, "the record does not have the length in the envelope")
        require(key, sha256(text) == envelope["record_hash"], "the record does not have the hash in the envelope")
        record = parse(key, text)
        for name, value in (("id", workflow), *((it, names[it]) for it in ("generation", "version_id"))):
            require(key, record[name] == value, f"the record has the {name} {record[name]}")
        kind, size = envelope["content"], envelope["content_bytes"]
        if kind == "external":
            content = self.get(envelope["object"])
        require(key, kind in ("none", "inline", "external", "pruned"), f"has an unknown content {kind}")
        require(key, (kind == "none") == (record["hash"] is None) == record["deleted"], "content and hash disagree")
        require(key, size == record["size"] and (size == 0 or kind != "none"), "the size of the content is wrong")
        require(key, len(content) == (0 if kind == "pruned" else size), "the length of the content is wrong")
        if kind in ("inline", "external"):
            require(key, sha256(content) == record["hash"], "the hash of the content is wrong")
        below = parents_within(workflow, record)
        for other in [*below, *([record["jump"]] if record["jump"] else [])]:
            version_key(workflow, other)
            require(key, other["generation"] < record["generation"], "refers to a generation that is not lower")
        highest = max((it["generation"] for it in below), default=0)
        require(key, record["generation"] == highest + 1, "the generation is not one more than the highest parent's")
        if record["operation"] == "merge":
            require(key, record["version_id"] == derived_id(text, record), "the id does not follow from the record")
        return Version(key, record, envelope["record_hash"], envelope, content)

    def chain(self, workflow, generation=None):
        """Yields the versions along first parents, the newest first; by jumps to a generation."""
        current = self.current(workflow)
        reference = {**current, "record_hash": self.head(workflow)["current"]["record_hash"]} if current else None
        while reference:
            version = self.version(workflow, reference)
            yield version
            jump, reference = version.record["jump"], first_parent(workflow, version.record)
            if generation is not None and jump and jump["generation"] >= generation:
                reference = jump

    def load(self, workflow, generation=None):
        """Returns the current version or the one of a generation, if it has a content."""
        for version in self.chain(workflow, generation):
            if generation is None or version.record["generation"] == generation:
                if version.envelope["content"] not in ("inline", "external"):
                    raise Missing(f"generation {version.record['generation']} of {workflow} has no content")
                return self.read_version(workflow, version.record)
        raise Missing(f"there is no generation {generation} of {workflow}")

    # Verifying

    def verify(self):
        """Returns all findings."""
        self.findings, self.reached = [], {}
        for workflow in self.ids():
            self.attempt(self.verify_workflow, workflow)
        for key in sorted(self.objects):
            if name := VERSION_KEY.fullmatch(key):
                names = {"generation": int(name[2]), "version_id": name[3]}
                self.attempt(self.known_version, name[1], names)
        self.attempt(self.verify_index)
        self.verify_ahead()
        return self.findings

    def attempt(self, check, *arguments):
        try:
            return check(*arguments)
        except Damage as finding:
            if str(finding) not in map(str, self.findings):
                self.findings.append(finding)

    def verify_workflow(self, workflow):
        head, key = self.head(workflow), f"workflows/{workflow}/metadata.json"
        current = head["current"]
        if current is None:
            return
        todo, seen = [{**current["record"], "record_hash": current["record_hash"]}], {}
        self.reached[workflow] = seen
        self.attempt(self.verify_current, key, workflow, current)
        while todo:
            reference = todo.pop()
            if (at := version_key(workflow, reference)) not in seen:
                seen[at] = None
                self.attempt(self.verify_version, workflow, reference, todo)

    def verify_current(self, key, workflow, current):
        version = self.version(workflow, {**current["record"], "record_hash": current["record_hash"]})
        require(key, version.record == current["record"], "the record is not that of the current version")
        jump, jumps = version.record["jump"], []
        while jump and (jump := self.version(workflow, jump).record["jump"]):
            jumps.append(jump)
        with decoding(key):
            same = len(jumps) == len(current["jumps"]) and all(map(same_jump, jumps, current["jumps"]))
        require(key, same, "the jumps are not those of the current version")

    def verify_version(self, workflow, reference, todo):
        version = self.version(workflow, reference)
        record, key = version.record, version.key
        with decoding(key):
            todo += parents_within(workflow, record)
            first = first_parent(workflow, record)
            if first is None:
                place = (record["depth"], record["jump"], record.get("merges", 0))
                require(key, place == (1, None, 0), "depth, jump or merges of a first version are wrong")
                return
            parent = self.version(workflow, first)
            require(key, record["depth"] == parent.record["depth"] + 1, "the depth does not follow from the first parent")
            merges = parent.record.get("merges", 0) + (len(parents_within(workflow, record)) > 1)
            require(key, record.get("merges", 0) == merges, "the merges do not follow from the first parent")
            expected, near = jump_to(parent), parent.record["jump"]
            far = self.version(workflow, near).record["jump"] if near else None
            if far and parent.record["depth"] - near["depth"] == near["depth"] - far["depth"]:
                expected = far
            require(key, same_jump(record["jump"], expected), "the jump does not follow from the first parent")

    def verify_index(self):
        key, seen = "ops/checkpoint", []
        if key not in self.objects:
            raise LostIndex(key, "is missing, so the index is lost")
        with decoding(key):
            root = parse_sealed(key, only_line(key, self.get(key)), "pflow-index", "checksum")
            for part in [root["base"], *root["segments"]] if root["base"] else root["segments"]:
                self.attempt(self.verify_part, part, "base" if part == root["base"] else "segment", seen)
            part, known = root["last_segment"], {it["key"] for it in root["segments"]}
            while part:
                header = self.attempt(self.verify_part, part, "segment", [] if part["key"] in known else seen)
                part = header.get("previous") if header else None
            for entry in seen:
                if version_key(entry["id"], entry) not in self.reached.get(entry["id"], {}):
                    self.lost_head(entry["id"], f"the index knows generation {entry['generation']}")

    def verify_ahead(self):
        """Finds heads that were lost by the versions that are ahead of them."""
        ahead = set()
        for key, version in sorted(self.cache.items()):
            workflow, generation = version.record["id"], version.record["generation"]
            reached = self.reached.get(workflow, {})
            parents = [version_key(workflow, it) for it in parents_within(workflow, version.record)]
            # The first version that was reached is the current one.
            current = next(iter(reached), None)
            if key not in reached and (current is None or any(it in ahead or it == current for it in parents)):
                ahead.add(key)
                if self.atomic or any(it in ahead and not self.is_kept(it, version) for it in parents):
                    self.lost_head(workflow, f"generation {generation} is ahead of it")

    def is_kept(self, key, above):
        """Whether the version under `key` is an edit that the save of `above` kept."""
        below = self.cache[key].record
        same = all(below[field] == above.record[field] for field in ("modified", "author"))
        return same and below["operation"] == "adopt"

    def lost_head(self, workflow, why):
        """Adds a finding unless another one explains why versions were not reached."""
        damaged = {it.key.split("/")[1] for it in self.findings if it.key.startswith(("versions/", "workflows/"))}
        if workflow not in damaged:
            self.findings.append(Damage(f"workflows/{workflow}/metadata.json", f"the head was lost: {why}"))

    def verify_part(self, part, kind, seen):
        """Checks a part of the index, adds the versions that it knows of to `seen`, and returns its header."""
        key = part["key"]
        if key not in self.objects:
            raise LostIndex(key, "is missing, so the index is lost")
        data = self.get(key)
        require(key, (sha256(data), len(data)) == (part["hash"], part["size"]), "is not the part that the root names")
        with decoding(key):
            header, *lines = (parse(key, line) for line in data.split(b"\n")[:-1])
            expect_format(key, header, f"pflow-index-{kind}")
            entries = lines if kind == "base" else [line["entry"] for line in lines if "entry" in line]
            counts = (len(lines), len(entries))
            require(key, counts == (header["lines"], part["entries"]), "the number of lines or entries is wrong")
            seen += entries + [line["gained"] for line in lines if "gained" in line]
            return header


# Commands


def summary(record):
    return {**{it: record[it] for it in ("id", "generation", "version_id", "hash")}, "name": plain(record["name"])}


def show_list(store, arguments):
    workflows, unreadable = [], []
    for workflow in store.ids():
        try:
            record = store.current(workflow)
            with decoding(f"workflows/{workflow}/metadata.json"):
                if record and not record["deleted"]:
                    workflows.append(summary(record))
        except Damage as error:
            unreadable.append(error)
    if arguments.json:
        keys = [{"id": it.key.split("/")[1], "what": it.what} for it in unreadable]
        print(json.dumps({"workflows": workflows, "unreadable": keys}))
    else:
        for it in workflows:
            print(it["id"], it["generation"], it["version_id"], it["name"] or "", sep="\t")
        for error in unreadable:
            print(error, file=sys.stderr)
    return 1 if unreadable else 0


def show_load(store, arguments):
    version = store.load(arguments.id, arguments.generation)
    if arguments.json:
        print(json.dumps({"record": version.record, "content": base64.b64encode(version.content).decode()}))
    else:
        sys.stdout.buffer.write(version.content)
    return 0


def show_history(store, arguments):
    records = [version.record for version in store.chain(arguments.id)]
    if arguments.json:
        print(json.dumps(records))
    else:
        for it in records:
            print(it["generation"], it["version_id"], it["modified"], it["operation"], it["message"] or "", sep="\t")
    return 0


def show_findings(findings, arguments):
    if arguments.json:
        listed = [{"key": it.key, "severity": it.severity, "what": it.what} for it in findings]
        sound = all(it.severity != "damage" for it in findings)
        print(json.dumps({"sound": sound, "findings": listed}))
    else:
        for finding in findings:
            print(finding)
    return 1 if findings else 0


def show_verify(store, arguments):
    return show_findings(store.verify(), arguments)


def main():
    parser = argparse.ArgumentParser(description="Reads and verifies a pflow store without pflow.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    commands = parser.add_subparsers(required=True)
    for name, run in (("list", show_list), ("load", show_load), ("history", show_history), ("verify", show_verify)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        command.add_argument("store")
        if name in ("load", "history"):
            command.add_argument("id")
        if name == "load":
            command.add_argument("generation", type=int, nargs="?")
    arguments = parser.parse_args()
    try:
        return arguments.run(Objects(Disk(arguments.store)), arguments)
    except Damage as error:
        if arguments.run is show_verify and not isinstance(error, Newer):
            return show_findings([error], arguments)
        print(error, file=sys.stderr)
        return 4 if isinstance(error, Newer) else 1
    except (Missing, NoStore) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, NoStore) else 1


if __name__ == "__main__":
    sys.exit(main())
