#!/usr/bin/env python3
"""Tests that the reader finds damage: every flipped byte, every cut, and objects in each other's place."""
import hashlib, json, os, struct, tempfile, unittest

import pflow_reader as reader

TIME = "2026-01-01T00:00:00.000Z"


def line(value):
    return json.dumps(value, separators=(",", ":")).encode()


def sealed(value, field):
    """Returns a sealed line with its line feed."""
    text = line(value)
    return text[:-1] + f',"{field}":"{reader.CHECKSUMS[field][1](text)}"'.encode() + b"}\n"


def named(record, record_hash):
    return {"generation": record["generation"], "version_id": record["version_id"], "record_hash": record_hash}


def small_store(versions=5):
    """Returns the objects of a store with one workflow and this many versions, as the page describes them."""
    config = ["pflow-store/1", "s" * 26, TIME, [], [], []]
    objects = {
        "config.json": line(
            {
                "format": "pflow-store/1",
                "store_id": "s" * 26,
                "created": TIME,
                "features": {"read": [], "write": []},
                "settings": {},
                "checksum": reader.sha256(line(config)),
            }
        )
    }
    jumps, chain = [], []
    for generation in range(1, versions + 1):
        content = line({"nodes": [], "number": generation})
        first = chain[-1] if chain else None
        jump = None
        if first:
            # The jump's jump if it is as far from the jump as the jump is from the parent.
            depth = generation - 1
            near = jumps[depth - 1]
            far = jumps[near - 1] if near else None
            jump = far if far and depth - near == near - far else depth
        jumps.append(jump)
        record = {
            "id": "greet",
            "generation": generation,
            "version_id": f"{generation:026}",
            "operation": "save",
            "parents": [named(*first)] if first else [],
            "depth": generation,
            "jump": {"depth": jump, **named(*chain[jump - 1])} if jump else None,
            "hash": reader.sha256(content),
            "size": len(content),
            "media_type": "application/json",
            "name": {"given": "Greet"},
            "description": None,
            "tags": {"derived": []},
            "nodes": [],
            "version": None,
            "created": TIME,
            "modified": TIME,
            "author": "a@b",
            "message": None,
            "deleted": False,
        }
        text = line(record)
        envelope = {
            "format": "pflow-version/1",
            "record_bytes": len(text),
            "record_hash": reader.sha256(text),
            "content": "inline",
            "content_bytes": len(content),
        }
        chain.append((record, reader.sha256(text)))
        key = f"versions/greet/{generation:012}-{generation:026}"
        objects[key] = sealed(envelope, "crc32c") + text + b"\n" + content
    ahead, jump = [], jumps[versions - 1]
    while jump and (jump := jumps[jump - 1]):
        ahead.append({"depth": jump, **named(*chain[jump - 1])})
    head = {
        "format": "pflow-head/1",
        "id": "greet",
        "revision": versions,
        "current": {"record": chain[-1][0], "record_hash": chain[-1][1], "jumps": ahead},
        "fence": 0,
        "lease": None,
        "nonce": "n" * 26,
    }
    objects["workflows/greet/metadata.json"] = sealed(head, "checksum")
    index = {"format": "pflow-index/1", "nonce": "n" * 26, "sequence": 0}
    index |= {"base": None, "segments": [], "last_segment": None}
    objects["ops/checkpoint"] = sealed(index, "checksum")
    return objects


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def found(objects):
    return {finding.key for finding in reader.Objects(objects).verify()}


class Damage(unittest.TestCase):
    def setUp(self):
        self.objects = small_store()
        self.keys = [key for key in self.objects if key.startswith("versions/")]

    def test_the_small_store_is_sound(self):
        for versions in range(1, 20):
            self.assertEqual(found(small_store(versions)), set())
        self.assertEqual(reader.crc32c(b"123456789"), "e3069283")
        self.assertEqual(reader.Objects(self.objects).load("greet", 2).record["generation"], 2)

    def test_every_flipped_byte_is_found(self):
        for key in (self.keys[1], "workflows/greet/metadata.json", "ops/checkpoint"):
            for at in range(len(self.objects[key])):
                damaged = {**self.objects, key: flipped(self.objects[key], at)}
                self.assertEqual(found(damaged), {key}, f"byte {at}")

    def test_every_cut_and_addition_is_found(self):
        for key in (self.keys[1], "workflows/greet/metadata.json"):
            data = self.objects[key]
            for length in range(len(data)):
                self.assertEqual(found({**self.objects, key: data[:length]}), {key}, f"cut to {length} bytes")
            self.assertEqual(found({**self.objects, key: data + b"\n"}), {key})

    def test_a_missing_version_is_found(self):
        for key in self.keys:
            self.assertEqual(found({it: data for it, data in self.objects.items() if it != key}), {key})

    def test_versions_in_the_place_of_each_other_are_found(self):
        one, other = self.keys[1:3]
        swapped = {**self.objects, one: self.objects[other], other: self.objects[one]}
        self.assertEqual(found(swapped), {one, other})

    def test_another_version_under_the_same_key_is_found(self):
        key = self.keys[1]
        changed = small_store()[key].replace(b'"a@b"', b'"c@d"')
        envelope, text, content = changed.split(b"\n")
        envelope = {**json.loads(envelope), "record_hash": reader.sha256(text)}
        del envelope["crc32c"]
        forged = sealed(envelope, "crc32c") + text + b"\n" + content
        self.assertEqual(found({**self.objects, key: forged}), {key})

    def test_a_newer_version_is_no_damage(self):
        key = self.keys[1]
        envelope, rest = self.objects[key].split(b"\n", 1)
        envelope = {**json.loads(envelope), "format": "pflow-version/2"}
        del envelope["crc32c"]
        newer = {**self.objects, key: sealed(envelope, "crc32c") + rest}
        self.assertEqual({(it.key, it.severity) for it in reader.Objects(newer).verify()}, {(key, "newer")})


class Journal(unittest.TestCase):
    """The small store in records of a journal, one for each object."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder, self.objects = temporary.name, small_store(2)
        os.mkdir(os.path.join(self.folder, ".journal"))
        salt, check = b"salt" * 4, bytes(32)
        header = b"pflowlog" + struct.pack("<IIQ", 1, 0, 7) + salt + bytes(16)
        self.journal = (header + hashlib.sha256(header).digest()).ljust(4096, b"\0")
        for sequence, (key, data) in enumerate(self.objects.items()):
            name = key.encode()
            payload = struct.pack("<qIBH", 0, 1, 1, len(name)) + name + hashlib.sha256(data).digest()
            payload += struct.pack("<Q", len(data)) + data
            start = b"pflowrec" + struct.pack("<QQQ", len(payload), 7, sequence) + salt + check
            check = hashlib.sha256(start + payload).digest()
            record = start + check + payload
            self.journal += record + bytes(-len(record) % 8)
        self.padded = -len(record) % 8
        fields = (1, 0, 7, salt, len(self.objects), len(self.journal), check, 0, bytes(16))
        state = b"pflowsta" + struct.pack("<IIQ16sQQ32sQ16s", *fields)
        self.state = state + hashlib.sha256(state).digest()

    def read(self, state, journal):
        for name, data in (("state", state), ("journal", journal)):
            with open(os.path.join(self.folder, ".journal", name), "wb") as file:
                file.write(data)
        return dict(reader.Disk(self.folder))

    def test_it_is_read_with_and_without_a_state(self):
        self.assertEqual(self.read(self.state, self.journal), self.objects)
        self.assertEqual(self.read(self.state, bytes(4096) + self.journal[4096:]), self.objects)
        self.assertEqual(self.read(b"", self.journal), self.objects)
        for at in range(len(self.state)):
            self.assertEqual(self.read(flipped(self.state, at), self.journal), self.objects)

    def test_every_flipped_byte_of_a_committed_record_is_found(self):
        padding, at = set(range(len(self.journal) - self.padded, len(self.journal))), 4096
        while (at := self.journal.find(b"pflowrec", at + 8)) >= 0:
            padding |= {it for it in range(at - 8, at) if not any(self.journal[it:at])}
        for at in range(4096, len(self.journal)):
            if at in padding:
                continue
            with self.assertRaises(reader.Damage, msg=f"byte {at}"):
                self.read(self.state, flipped(self.journal, at))

    def test_every_cut_of_a_committed_record_is_found(self):
        for length in range(len(self.journal) - self.padded):
            with self.assertRaises(reader.Damage, msg=f"cut to {length} bytes"):
                self.read(self.state, self.journal[:length])


if __name__ == "__main__":
    unittest.main()
