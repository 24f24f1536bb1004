"""Verifies an evidence package of Hanse, alone and offline: Python 3.9 or later, and ``cryptography``.

    python verify.py package.zip [--key VKEY]... [--since saved.checkpoint] [--save new.checkpoint]

Nothing of Hanse is imported, nothing is fetched or unpacked. Take this file from a release that you trust,
not from the package; it is the same in every package of a release. Exit code 0: every check holds. 1: at
least one does not, and names the file or the entry.

A package is a ZIP archive of stored files in the order of their names. All its bytes follow from names and
contents (:func:`archive`), so that none is left unchecked:

* ``MANIFEST``: SHA-256 and name of every other file, a note signed by the exporter
* ``checkpoint``: origin, size and root of the log, signed and co-signed (C2SP tlog-checkpoint)
* ``log.policy``: which log, which witnesses, and how many of them are enough (C2SP tlog-policy)
* ``keys/*.vkey``: keys of the log (each after the one that it replaced), of its witnesses, of the exporter
* ``rotations/<size>.checkpoint``: where the log's key was replaced, signed by the old key and the new one
* ``tile/...``: hashes of the tree, and the exact entries in bundles (C2SP tlog-tiles)
* ``entries.jsonl``: for each disclosed entry its index, exact bytes and decoded form
* ``proofs/<index>.tlog-proof``: inclusion of each entry that decides something (C2SP tlog-proof)
* tables, agreements, report, metadata, this file: bound to the exporter's signature, and to nothing else
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OK, FAIL, NOTE = "ok", "FAIL", "note"
MANIFEST, HEADER = "MANIFEST", "hanse evidence package v1"
MAX_BYTES = 2**32 - 2**20  # what an archive can hold without the extensions for larger ones
TILE = 256
DECISIVE = ("model.registered", "round.admitted", "round.denied", "round.submitted", "round.aggregated")
"""Types of the entries that a package has a proof of."""

LIMITS = (
    "that what an entry says is true; a log binds its writer to one account of what it did, at the time",
    "that the writer logged everything; only what is missing from a sequence, a run or a round shows",
    "what a processor really read; equal numbers of admitted and used rows are the member's own statement",
    "that its key signed no second log, unless you know keys of witnesses, or kept a checkpoint (--since)",
    "who holds a key; compare its eight digits with the holder over another channel (--key)",
    "that tables and report say what the entries say; they are the exporter's, who signed them",
)
"""What the package does not show, whatever the checks say."""

Entry = Mapping[str, Any]


class PackageError(Exception):
    """Something does not hold. The message names the file, the entry or the key."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place}: {why}")


# --- The archive ---
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(/(?!\.)[A-Za-z0-9_.-]+)*")
_DATE = 0x21  # 1 January 1980, the first day of the format: a package depends on no clock


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of an archive, one after the other. They are parts of it: nothing can expand."""
    files: dict[str, bytes] = {}
    position, place = 0, "file 1 of the archive"
    while data[position : position + 4] == b"PK\3\4" and len(data) >= position + _LOCAL.size:
        fields = _LOCAL.unpack_from(data, position)
        begin = position + _LOCAL.size + fields[9]
        name = data[begin - fields[9] : begin].decode("ascii", "replace")
        if not _NAME.fullmatch(name) or name in files:
            raise PackageError(place, "has a name that no package has, or has twice")
        position = begin + fields[7]
        files[name], place = data[begin:position], f"file {len(files) + 2} of the archive (after {name})"
    if data[position : position + 4] != b"PK\1\2":
        raise PackageError(place, "is no file of a package, or is cut off")
    return files


def archive(files: Mapping[str, bytes]) -> Iterable[tuple[str, bytes]]:
    """The one archive of these files, in pieces, each with the file that it belongs to."""
    directory, offset = [], 0
    for name in sorted(files):
        data, path = files[name], name.encode("ascii")
        facts = (20, 0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(path), 0)
        yield name, _LOCAL.pack(b"PK\3\4", *facts) + path
        yield name, data
        directory.append((name, _CENTRAL.pack(b"PK\1\2", 20, *facts, 0, 0, 0, 0, offset) + path))
        offset += _LOCAL.size + len(path) + len(data)
    yield from directory
    count, length = len(directory), sum(len(piece) for _, piece in directory)
    yield "the end of the archive", _END.pack(b"PK\5\6", 0, 0, count, count, length, offset, 0)


# --- Keys, signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature) ---
_KEY = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n")
_DASH = "\u2014 "
_PLAIN, _ED25519, _ML_DSA_44 = 1, 4, 6  # kinds of signature; the latter two are cosignatures, with a time
_PUBLIC_BYTES = {_PLAIN: 32, _ED25519: 32, _ML_DSA_44: 1312}
_ID_BYTES, _TIME_BYTES = 4, 8


class Key(NamedTuple):
    """A verifier key."""

    text: str
    name: str
    id: bytes
    kind: int
    public: bytes

    @property
    def short(self) -> str:
        """Name, and the eight digits that one compares over another channel."""
        return f"{self.name}+{self.id.hex()}"


class Note(NamedTuple):
    """A signed note of which nothing is known yet: text, and of each signature name, key id and rest."""

    text: str
    signatures: list[tuple[str, bytes, bytes]]


class Checkpoint(NamedTuple):
    """What a log commits to."""

    origin: str
    size: int
    root: bytes


def read_key(text: str, place: str) -> Key:
    """Reads ``name+id+base64``."""
    match = _KEY.fullmatch(text)
    data = _base64(match[3]) if match else b""
    if match is None or not data or len(data) != 1 + _PUBLIC_BYTES.get(data[0], -1):
        raise PackageError(place, "is no verifier key of a known kind, or has a line that is none")
    key_id = hashlib.sha256(match[1].encode() + b"\n" + data).digest()[:_ID_BYTES]
    if key_id.hex() != match[2]:
        raise PackageError(place, "has a key whose digits do not belong to it and its name")
    return Key(text, match[1], key_id, data[0], data[1:])


def read_note(data: bytes, place: str) -> Note:
    """Splits a signed note."""
    text, empty_line, rest = data.decode("utf-8", "replace").rpartition("\n\n")
    whole = f"{text}{empty_line}{rest}".encode() == data and empty_line and rest.endswith("\n")
    note = Note(text + "\n", [])
    for line in rest[:-1].split("\n"):
        name, _, encoded = line[len(_DASH) :].partition(" ")
        signature = _base64(encoded)
        if not whole or not line.startswith(_DASH) or not name or len(signature) <= _ID_BYTES:
            raise PackageError(place, "is not a signed note")
        note.signatures.append((name, signature[:_ID_BYTES], signature[_ID_BYTES:]))
    return note


def read_checkpoint(note: Note, place: str) -> Checkpoint:
    """The three lines of a checkpoint."""
    match = _CHECKPOINT.fullmatch(note.text)
    if match is None:
        raise PackageError(place, "is not a checkpoint")
    return Checkpoint(match[1], int(match[2]), _base64(match[3]))


def is_signed(note: Note, key: Key, place: str) -> bool:
    """Whether the key signed the note; a wrong signature of the key is refused."""
    found = [rest for name, key_id, rest in note.signatures if (name, key_id) == (key.name, key.id)]
    if len(found) > 1:
        raise PackageError(place, f"is signed twice by {key.short}")
    for rest in found:
        time = rest[: 0 if key.kind == _PLAIN else _TIME_BYTES]
        message, signature = _message(note, key, int.from_bytes(time, "big"), place), rest[len(time) :]
        try:
            if key.kind == _ML_DSA_44:
                from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: PLC0415 - not in old versions

                mldsa.MLDSA44PublicKey.from_public_bytes(key.public).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except InvalidSignature as error:
            raise PackageError(place, f"has a wrong signature of {key.short}") from error
        except (ImportError, UnsupportedAlgorithm) as error:
            raise PackageError(key.short, "needs a version of cryptography that has ML-DSA-44") from error
    return bool(found)


def _message(note: Note, key: Key, time: int, place: str) -> bytes:
    """What a key of this kind signs."""
    if key.kind == _PLAIN:
        return note.text.encode()
    if key.kind == _ED25519:
        return f"cosignature/v1\ntime {time}\n{note.text}".encode()
    checkpoint = read_checkpoint(note, place)
    name, origin = key.name.encode()[:255], checkpoint.origin.encode()[:255]
    head = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">QB", time, len(origin)) + origin
    return head + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root


def _base64(text: str) -> bytes:
    """Strict base64; empty for anything else, which no caller takes."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return data if base64.b64encode(data).decode() == text else b""


# --- Trust policies (C2SP tlog-policy) ---
def read_policy(
    data: bytes, note: Note, place: str
) -> tuple[list[Key], dict[str, Key], dict[str, bool], str]:
    """Reads a policy: logs, witnesses, which of them (and of their groups) co-signed a note, the quorum."""
    logs: list[Key] = []
    witnesses: dict[str, Key] = {}
    signed, members, quorums = {"none": True}, list[str](), list[str]()
    for line in data.decode("utf-8", "replace").replace("\t", " ").split("\n"):
        kind, *names = [word for word in line.split(" ") if word] or ["#"]
        new, parts = names[:1] and names[0] not in signed, names[2:]
        if kind == "log" and len(names) in {1, 2}:
            logs.append(read_key(names[0], place))
        elif kind == "witness" and new and len(parts) in {0, 1} and names[1:]:
            key = witnesses[names[0]] = read_key(names[1], place)
            signed[names[0]] = is_signed(note, key, "checkpoint")
        elif kind == "group" and new and parts and {*parts} <= {*signed} - {"none"}:
            words = {"any": 1, "all": len(parts), **{str(count): count for count in range(1, len(parts) + 1)}}
            if names[1] not in words:
                raise PackageError(place, "has a group that no number of its members can be")
            signed[names[0]] = sum(signed[part] for part in parts) >= words[names[1]]
            members += parts
        elif kind == "quorum" and not new and len(names) == 1:
            quorums += names
        elif not kind.startswith("#"):
            raise PackageError(place, "has a line that no policy has")
    keys = [key.public for key in witnesses.values()]
    if len(quorums) != 1 or len({*keys}) != len(keys) or len({*members}) != len(members):
        raise PackageError(place, "has not one quorum, or counts a witness twice")
    return logs, witnesses, signed, quorums[0]


# --- The tree (RFC 6962, section 2.1; C2SP tlog-tiles) ---
class Tree:
    """A tree over the hashes of its leaves. Nodes are computed once."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.hashes, self._nodes = hashes, dict[tuple[int, int], bytes]()

    def root(self, first: int, end: int) -> bytes:
        """``MTH`` of the leaves from the first up to and without the end."""
        if end - first <= 1:
            return self.hashes[first] if first < end else hashlib.sha256().digest()
        if (first, end) not in self._nodes:
            middle = first + (1 << (end - first - 1).bit_length() - 1)
            children = self.root(first, middle) + self.root(middle, end)
            self._nodes[first, end] = hashlib.sha256(b"\1" + children).digest()
        return self._nodes[first, end]

    def proof(self, index: int) -> list[bytes]:
        """``PATH`` of a leaf: the siblings, from the bottom."""
        first, end, siblings = 0, len(self.hashes), []
        while end - first > 1:
            middle = first + (1 << (end - first - 1).bit_length() - 1)
            siblings.append(self.root(middle, end) if index < middle else self.root(first, middle))
            first, end = (first, middle) if index < middle else (middle, end)
        return siblings[::-1]

    def tiles(self) -> dict[str, bytes]:
        """All tiles."""
        files, span = {}, 1
        for level in range(8):
            nodes = [self.root(at * span, (at + 1) * span) for at in range(len(self.hashes) // span)]
            for first in range(0, len(nodes), TILE):
                part = nodes[first : first + TILE]
                files[tile_name(str(level), first // TILE, len(part))] = b"".join(part)
            span *= TILE
        return files


def bundles(leaves: Sequence[bytes]) -> dict[str, bytes]:
    """All bundles of entries."""
    parts = [leaves[first : first + TILE] for first in range(0, len(leaves), TILE)]
    data = [b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part) for part in parts]
    return {tile_name("entries", at, len(part)): data[at] for at, part in enumerate(parts)}


def tile_name(level: str, number: int, width: int) -> str:
    """Where a tile is; a partial one also says how many hashes it has."""
    *groups, last = [group.zfill(3) for group in f"{number:,}".split(",")]
    path = "/".join([*(f"x{group}" for group in groups), last])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < TILE else "")


# --- Entries ---
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_ACTOR = ("organisation", "key_id", "role")
_REQUIRED = {"version": int, "seq": int, "time": str, "type": str, "actor": dict}
_OPTIONAL = {"run": str, "round": int, "counts": dict}
_LINE = re.compile(rb'{"bytes":"([A-Za-z0-9+/=]+)",.*,"index":(0|[1-9][0-9]{0,17})}')


def canonical(value: object) -> bytes:
    """The JSON encoding of which equal values have equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def read_entry(index: int, leaf: bytes) -> Entry:
    """Decodes an entry, as far as the checks look into it."""
    try:
        entry: dict[str, Any] = json.loads(leaf.decode("ascii"))
        same = len(leaf) < 2**16 and canonical(entry) == leaf and isinstance(entry, dict)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"entry {index}", "is not JSON in ASCII") from error
    actor = entry.get("actor") if same else None
    if isinstance(actor, dict):
        fields = [(entry.get(name), kind) for name, kind in _REQUIRED.items()]
        fields += [(entry[name], kind) for name, kind in _OPTIONAL.items() if name in entry]
        fields += [(actor.get(name), str) for name in _ACTOR]
        if all(type(value) is kind for value, kind in fields) and _TIME.fullmatch(entry["time"]):
            return entry
    raise PackageError(f"entry {index}", "is too long, not in canonical form, or lacks what every entry has")


def entry_line(index: int, leaf: bytes) -> bytes:
    """The line of ``entries.jsonl`` for an entry: canonical JSON, as the entry is."""
    return b'{"bytes":"%b","entry":%b,"index":%d}\n' % (base64.b64encode(leaf), leaf, index)


def problems(entries: Mapping[int, Entry], *, whole: bool) -> Iterable[tuple[int, str]]:
    """What is missing or does not fit: at which entry, and what.

    Where only some entries are disclosed, a number or a time that goes back shows, and a gap does not.
    """
    due: dict[tuple[str, ...], int] = {}
    rounds: dict[tuple[str, str], int] = {}
    latest = ""
    for index, entry in entries.items():
        actor = tuple(entry["actor"][name] for name in _ACTOR)
        expected, seq = due.get(actor, 0), entry["seq"]
        if seq < expected or (whole and seq > expected):
            yield index, f"has number {seq} of its actor where {expected} is due"
        due[actor] = max(expected, seq + 1)
        if entry["time"] < latest:
            yield index, "is older than the entry before"
        latest = max(latest, entry["time"])
        run, kind, number = entry.get("run", ""), entry["type"], entry.get("round", 0)
        before = rounds.get((run, kind), 0)
        if kind in {"round.aggregated", "round.trained"} and number != before + 1:
            yield index, f"is {kind} of round {number}, and the one before is of round {before}"
        if kind == "round.trained" and rounds.get((run, "round.admitted")) != number:
            yield index, f"trained in round {number} without an admission of that round"
        if kind == "model.registered" and (run, "round.aggregated") not in rounds:
            yield index, "registers a model of a run without rounds"
        rounds[run, kind] = number
        stated = [entry.get("counts", {}).get("rows_out"), *map(entry.get, ("rows_used", "subject_set_size"))]
        exact = sorted({rows for rows in stated if type(rows) is int})  # not "<k": too few to be told
        if len(exact) > 1:
            yield index, f"states {' and '.join(map(str, exact))} for the same rows (rule P32)"


# --- The checks ---
class NotReachedError(Exception):
    """A check needs what an earlier one did not establish."""


class Package:
    """What the checks have established so far: each adds to it, and asks for what those before it added."""

    files: dict[str, bytes]
    exporter: Key
    run: str  # only its entries are disclosed; "" if all are
    log_keys: list[Key]
    note: Note
    checkpoint: Checkpoint
    tree: Tree
    entries: dict[int, Entry]

    def __init__(self, data: bytes, keys: Sequence[str] = (), saved: bytes | None = None) -> None:
        self.data, self.trusted, self.saved = data, [read_key(key, "--key") for key in keys], saved

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - asked only for what is not there
        raise NotReachedError(name)

    def file(self, name: str) -> bytes:
        """A file that has to be there."""
        if name not in self.files:
            raise PackageError(name, "is missing")
        return self.files[name]

    def keys(self, name: str) -> list[Key]:
        """The keys of a file, one on each line."""
        return [read_key(line, name) for line in self.file(name).decode("utf-8", "replace").split("\n")[:-1]]

    def only(self, folder: str, expected: Mapping[str, bytes]) -> None:
        """These are the files of a folder, no more and no fewer."""
        for name in sorted({*expected, *(name for name in self.files if name.startswith(folder))}):
            if self.file(name) != expected.get(name):
                raise PackageError(name, "is not what follows from the log, or does not belong here")


def _archive(package: Package) -> tuple[str, str]:
    package.files, position = read_archive(package.data), 0
    for name, piece in archive(package.files):
        if package.data[position : position + len(piece)] != piece:
            raise PackageError(name, "its bytes, or those that the archive keeps about it, were changed")
        position += len(piece)
    if position != len(package.data):
        raise PackageError("the end of the archive", "is followed by what belongs to no file")
    return OK, f"{len(package.files)} files, and every byte of the archive is where it has to be"


def _manifest(package: Package) -> tuple[str, str]:
    note = read_note(package.file(MANIFEST), MANIFEST)
    keys = package.keys("keys/exporter.vkey")
    if len(note.signatures) != 1 or len(keys) != 1 or not is_signed(note, keys[0], MANIFEST):
        raise PackageError(MANIFEST, "is not signed by the key in keys/exporter.vkey alone")
    match = re.fullmatch(rf"{HEADER}\n(?:all|run ([a-z0-9-]{{1,64}}))\n(.*)\n", note.text, re.DOTALL)
    if match is None:
        raise PackageError(MANIFEST, "is not in its form")
    package.exporter, package.run, lines = keys[0], match[1] or "", match[2].split("\n")
    sums = {name: f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in package.files.items()}
    expected = [sums[name] for name in sorted(sums) if name != MANIFEST]
    wrong = sorted({line[66:] for line in {*expected} ^ {*lines}})
    if wrong or lines != expected:
        raise PackageError(", ".join(wrong[:4]) or MANIFEST, "is not as the manifest has it, or not in it")
    return OK, f"signed by {keys[0].short}; {len(lines)} files have its SHA-256"


def _checkpoint(package: Package) -> tuple[str, str]:
    keys, note = package.keys("keys/log.vkey"), read_note(package.file("checkpoint"), "checkpoint")
    checkpoint = read_checkpoint(note, "checkpoint")
    if not keys or any((key.kind, key.name) != (_PLAIN, checkpoint.origin) for key in keys):
        raise PackageError("keys/log.vkey", f"does not have the keys of the log {checkpoint.origin}")
    if not is_signed(note, keys[-1], "checkpoint"):
        raise PackageError("checkpoint", f"is not signed by {keys[-1].short}")
    package.log_keys, package.note, package.checkpoint = keys, note, checkpoint
    return OK, f"signed by {keys[-1].short}: {checkpoint.size} entries, root {checkpoint.root.hex()}"


def _tree(package: Package) -> tuple[str, str]:
    size = package.checkpoint.size
    names = (tile_name("0", first // TILE, min(TILE, size - first)) for first in range(0, size, TILE))
    data = b"".join(package.file(name) for name in names)
    tree = Tree([data[at : at + 32] for at in range(0, len(data), 32)])
    if len(tree.hashes) != size or tree.root(0, size) != package.checkpoint.root:
        raise PackageError("tile/0", "its hashes do not lead to the root that the log signed")
    package.tree = tree
    return OK, f"the hashes of {size} entries lead to the root that the log signed"


def _entries(package: Package) -> tuple[str, str]:
    hashes, leaves, entries, last = package.tree.hashes, list[bytes](), dict[int, Entry](), -1
    for line in package.file("entries.jsonl").split(b"\n")[:-1]:
        match = _LINE.fullmatch(line)
        index, leaf = (int(match[2]), _base64(match[1].decode())) if match else (last + 1, b"")
        if index >= len(hashes) or hashlib.sha256(b"\0" + leaf).digest() != hashes[index]:
            raise PackageError(f"entry {index}", "is not the one in the tree")
        if line + b"\n" != entry_line(index, leaf) or index <= last:
            raise PackageError(f"entry {index}", "is not decoded as it is, or not in its place")
        entries[index], last = read_entry(index, leaf), index
        leaves.append(leaf)
    hidden = len(hashes) - len(leaves)
    if hidden and not package.run:
        raise PackageError(f"entry {min({*range(len(hashes))} - {*entries})}", "is missing")
    package.only("tile/", {**package.tree.tiles(), **bundles([] if package.run else leaves)})
    package.entries = entries
    return (NOTE if hidden else OK), f"{len(leaves)} entries are those in the tree; {hidden} not disclosed"


def _log_key(package: Package) -> tuple[str, str]:
    changes = [index + 1 for index, entry in package.entries.items() if entry["type"] == "log.key-rotated"]
    keys = package.log_keys
    if len(keys) != len(changes) + 1:
        raise PackageError("keys/log.vkey", f"has {len(keys)} keys, and {len(changes)} were replaced")
    for number, size in enumerate(changes):
        name, old, new = f"rotations/{size}.checkpoint", keys[number], keys[number + 1]
        note = read_note(package.file(name), name)
        handed = Checkpoint(package.checkpoint.origin, size, package.tree.root(0, size))
        if package.entries[size - 1].get("new_key") != new.text or read_checkpoint(note, name) != handed:
            raise PackageError(name, f"does not hand the log over at entry {size - 1}")
        if not is_signed(note, old, name) or not is_signed(note, new, name):
            raise PackageError(name, f"is not signed by both {old.short} and {new.short}")
    text = ", then ".join(key.short for key in keys)
    if {*keys} & {*package.trusted}:
        return OK, f"{text}: you gave it (--key)"
    return NOTE, f"trust on first use: only this package says that {text} is the log's key (--key)"


def _witnesses(package: Package) -> tuple[str, str]:
    logs, witnesses, signed, quorum = read_policy(package.file("log.policy"), package.note, "log.policy")
    keys = [*witnesses.values()]
    if not logs or not {*logs} <= {*package.log_keys} or package.keys("keys/witnesses.vkey") != keys:
        raise PackageError("log.policy", "does not name the keys in keys/log.vkey and keys/witnesses.vkey")
    for key in package.trusted:
        if key not in (*package.log_keys, *keys, package.exporter):
            raise PackageError("--key", f"nothing in the package is of {key.short}")
    names = [name for name in witnesses if signed[name]]
    if not signed[quorum]:
        missing = ", ".join(sorted({*witnesses} - {*names}))
        raise PackageError("checkpoint", f"lacks the quorum of log.policy: no cosignature of {missing}")
    known = sum(witnesses[name] in package.trusted for name in names)
    text = f"co-signed by {', '.join(names) or 'nobody'}; you gave {known} of these keys (--key)"
    if quorum == "none":
        return NOTE, f"{text}; none is asked for: of a rewritten log, only a checkpoint that you kept tells"
    return OK, f"{text}; this is the quorum of log.policy"


def _saved(package: Package) -> tuple[str, str]:
    if package.saved is None:
        return NOTE, "none given (--since); keep the one of this package for the next time (--save)"
    note = read_note(package.saved, "--since")
    saved, size = read_checkpoint(note, "--since"), package.checkpoint.size
    signers = [key for key in package.log_keys if is_signed(note, key, "--since")]
    if saved.origin != package.checkpoint.origin or not signers:
        raise PackageError("--since", "is no checkpoint of this log")
    if saved.size > size:
        raise PackageError("checkpoint", f"is of {size} entries; {saved.size} were there before: cut off")
    if package.tree.root(0, saved.size) != saved.root:
        raise PackageError(f"the first {saved.size} entries", "are not those that you saved: rewritten")
    return OK, f"the first {saved.size} entries are still those of the checkpoint that you saved"


def _proofs(package: Package) -> tuple[str, str]:
    decisive = [index for index, entry in package.entries.items() if entry["type"] in DECISIVE]
    proofs = {}
    for index in decisive:
        siblings = "".join(f"{base64.b64encode(node).decode()}\n" for node in package.tree.proof(index))
        head = f"c2sp.org/tlog-proof@v1\nindex {index}\n{siblings}\n"
        proofs[f"proofs/{index}.tlog-proof"] = head.encode() + package.file("checkpoint")
    package.only("proofs/", proofs)
    return OK, f"{len(decisive)} entries that decide something are proven to be in the tree"


def _complete(package: Package) -> tuple[str, str]:
    found = [f"entry {at} {why}" for at, why in problems(package.entries, whole=not package.run)]
    if found:
        raise PackageError(f"{len(found)} problems", "; ".join(found[:5]))
    gaps = "" if package.run else "no actor's numbers have a gap, "
    return OK, f"{gaps}no time goes back, no run leaves out a round, rows used are rows admitted"


CHECKS = (_archive, _manifest, _checkpoint, _tree, _entries, _log_key, _witnesses, _saved, _proofs, _complete)


def check_package(package: Package, first: int = 0) -> list[tuple[str, str, str]]:
    """Makes all checks. Returns name, verdict and detail of each; skips the first ones if asked to."""
    results = []
    for check in CHECKS[first:]:
        name = check.__name__[1:].replace("_", " ")
        try:
            results.append((name, *check(package)))
        except PackageError as error:
            results.append((name, FAIL, str(error)))
        except NotReachedError:
            results.append((name, FAIL, "not checked, because of what fails above"))
        except RecursionError:
            results.append((name, FAIL, "an entry is nested too deeply to be one"))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Verifies an evidence package of Hanse, offline.")
    parser.add_argument("package", type=Path)
    parser.add_argument("--key", action="append", default=[], help="verifier key that you know; repeatable")
    parser.add_argument("--since", type=Path, help="checkpoint of this log that you saved earlier")
    parser.add_argument("--save", type=Path, help="file to save the checkpoint in, if every check holds")
    options = parser.parse_args(arguments)
    try:
        saved = options.since.read_bytes() if options.since else None
        package = Package(options.package.read_bytes(), options.key, saved)
    except (OSError, ValueError, PackageError) as error:
        parser.error(str(error))
    results = check_package(package)
    failed = sum(verdict == FAIL for _, verdict, _ in results)
    lines = [f"{verdict:5} {name:17} {detail}" for name, verdict, detail in results]
    lines += ["", "What this does not show:", *(f"  {limit};" for limit in LIMITS), ""]
    lines += [f"NOT VERIFIED: {failed} of {len(results)} checks fail" if failed else "VERIFIED; mind notes"]
    for line in lines:
        sys.stdout.write("".join(letter if letter.isprintable() else "?" for letter in line) + "\n")
    if options.save and not failed:
        options.save.write_bytes(package.file("checkpoint"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
