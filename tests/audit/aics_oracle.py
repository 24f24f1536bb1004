"""What another implementation says of a log of ours, and a log that it writes; for Python 3.12 or later.

Usage: aics_oracle.py check|write FOLDER. The folder has the tiles, a file ``checkpoint`` and a file
``facts.json``: the keys and proofs, which are no part of the tiles.
"""

import json
import sys
from pathlib import Path
from typing import Any

import aics_tlog  # type: ignore[import-not-found,unused-ignore]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN, WITNESS, TIME = "other.example/log", "witness.example/w", 1_767_225_600
SIZES = (5, 256, 300, 70_000)


def require(*, true: bool, what: str) -> None:
    """An assertion that stays with ``python -O``."""
    if not true:
        raise SystemExit(what)


def check(folder: Path) -> None:
    """Verifies checkpoint, cosignatures, every tile and entry, and the proofs."""
    facts = json.loads((folder / "facts.json").read_text())
    note = aics_tlog.parse_note((folder / "checkpoint").read_bytes())
    witnesses = [aics_tlog.parse_vkey(text) for text in facts["witnesses"]]
    log = aics_tlog.parse_vkey(facts["log"])
    found = aics_tlog.verify_checkpoint(note, log, witnesses, len(witnesses), expected_origin=facts["origin"])
    require(true=found.ok, what=f"checkpoint: {found.error}")
    reader = aics_tlog.FileSystemTileReader(folder)
    aics_tlog.audit_tiles(reader, found.size, found.root)
    for index, proof in facts["inclusion"]:
        leaf = aics_tlog.read_entry(reader, index, found.size)
        hashes = [bytes.fromhex(text) for text in proof]
        proven = aics_tlog.verify_leaf_inclusion(leaf, index, found.size, hashes, found.root)
        require(true=proven, what=f"inclusion of {index}")
        theirs = aics_tlog.inclusion_proof_from_tiles(reader, index, found.size)
        require(true=theirs == hashes, what=f"another inclusion proof of {index}")
    for size, root, proof in facts["consistency"]:
        hashes = [bytes.fromhex(text) for text in proof]
        old_root = bytes.fromhex(root)
        proven = aics_tlog.verify_consistency(size, found.size, old_root, found.root, hashes)
        require(true=proven, what=f"consistency with {size}")


def write(folder: Path) -> None:
    """Writes a log in several steps, its newest checkpoint cosigned, and proofs."""
    log_key, witness_key = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
    leaves = [b"entry %d" % index for index in range(SIZES[-1])]
    store = aics_tlog.DirectoryTileStore(folder, fsync=False)
    writer = aics_tlog.IncrementalTileWriter(store)
    for size in SIZES:
        writer.append(leaves[writer.size : size])
    root = writer.root()
    note = aics_tlog.sign_checkpoint(aics_tlog.Checkpoint(ORIGIN, writer.size, root), log_key, ORIGIN)
    _, line = aics_tlog.sign_cosignature(witness_key, WITNESS, TIME, ORIGIN, writer.size, root)
    signed = aics_tlog.Note(text=note.text, signatures=(*note.signatures, line))
    (folder / "checkpoint").write_bytes(signed.to_bytes())
    tree = aics_tlog.MerkleTree(leaves)
    facts: dict[str, Any] = {
        "log": aics_tlog.format_vkey(aics_tlog.vkey_from_ed25519(ORIGIN, log_key.public_key())),
        "witness": aics_tlog.format_vkey(aics_tlog.cosignature_vkey(WITNESS, witness_key.public_key())),
        "inclusion": {at: [step.hex() for step in tree.inclusion_proof(at)] for at in (0, 255, 256, 69_999)},
        "consistency": {
            at: [tree.root(at).hex(), [step.hex() for step in tree.consistency_proof(at, len(leaves))]]
            for at in SIZES[:-1]
        },
    }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    {"check": check, "write": write}[sys.argv[1]](Path(sys.argv[2]))
