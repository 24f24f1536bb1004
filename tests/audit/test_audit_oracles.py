"""Two other implementations verify what ours writes, and ours verifies what they write.

``tlog-scales`` runs here. ``aics-tlog`` needs Python 3.12: make an environment with it and name its
interpreter in ``HANSE_AICS_PYTHON``, or have it with the ``python3.12`` of the path. Without it these tests
are skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tlog_scales import signing
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.tiles import leaf_hash as their_leaf_hash
from tlog_scales.writer import TilesWriter

from hanse.audit import (
    Checkpoint,
    TreeHashes,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    root_at,
    sign_checkpoint,
)
from hanse.audit.policy_file import TrustPolicy, quorum_of
from hanse.audit.proof_file import check_proof, format_proof, parse_proof
from hanse.audit.tiles import (
    Tile,
    TileHashes,
    bundles_of,
    check_bundle,
    check_tiles,
    decode_tile,
    encode_bundle,
    encode_tile,
    tiles_of,
)
from hanse.crypto import Algorithm, CosignerKey, CosignerVerifier, SigningKey, VerifierKey, add_lines
from hanse.errors import AuditError

Aics = Callable[[str, Path], None]
ORACLE = Path(__file__).with_name("aics_oracle.py")
INTERPRETER = os.environ.get("HANSE_AICS_PYTHON") or shutil.which("python3.12")
SEED = bytes(range(32))
LOG = SigningKey("example.com/log", SEED)
SIZE = 70_000
SIZES = (1, 255, 256, 257, 65_536, SIZE - 1)
INDICES = (0, 1, 255, 256, 65_535, 65_536, SIZE - 1)
LEAVES = [b"entry %d" % index for index in range(SIZE)]
TREE = TreeHashes.of_leaves(LEAVES)
CHECKPOINT = Checkpoint(LOG.name, SIZE, root_at(SIZE, TREE))


def write_log(folder: Path, algorithms: Sequence[Algorithm]) -> list[CosignerKey]:
    """Our log as files: every tile, every bundle, and the cosigned checkpoint."""
    keys = [CosignerKey(f"witness.example/{algorithm}", algorithm, SEED) for algorithm in algorithms]
    files = {tile.path: encode_tile(tile, TREE) for tile in tiles_of(SIZE)}
    for bundle in bundles_of(SIZE):
        files[bundle.path] = encode_bundle(LEAVES[bundle.entries.start : bundle.entries.stop])
    note = sign_checkpoint(CHECKPOINT, LOG)
    text = note.decode().rpartition("\n\n")[0] + "\n"
    files["checkpoint"] = add_lines(note, *(key.cosign(text, datetime.now(UTC)) for key in keys))
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return keys


def check_log(folder: Path, policy: TrustPolicy, leaves: Sequence[bytes]) -> Checkpoint:
    """What a reader of ours does with the files of a log."""

    def read_tile(tile: Tile) -> bytes:
        return (folder / tile.path).read_bytes()

    checkpoint = policy.check((folder / "checkpoint").read_bytes())
    check_tiles(checkpoint.size, checkpoint.root, read_tile)
    read: list[bytes] = []
    for bundle in bundles_of(checkpoint.size):
        tile = Tile(0, bundle.index, bundle.width)
        data = (folder / bundle.path).read_bytes()
        read += check_bundle(bundle, data, decode_tile(tile, read_tile(tile)))
    assert read == list(leaves)
    hashes = TileHashes(checkpoint.size, read_tile)
    assert root_at(checkpoint.size, hashes) == checkpoint.root
    return checkpoint


def test_tlog_scales_verifies_our_log(tmp_path: Path) -> None:
    keys = write_log(tmp_path, ["ed25519", "ml-dsa-44"])
    reader = TilesReader(LocalBackend(tmp_path))
    checkpoint = reader.get_checkpoint()
    for text in (LOG.verifier.encode(), *(key.verifier.encode() for key in keys)):
        checkpoint.verify(signing.Vkey.from_string(text))
    assert (checkpoint.origin, checkpoint.size) == (LOG.name, SIZE)
    assert reader.calculate_root_hash() == checkpoint.root_hash == CHECKPOINT.root
    for index in INDICES:
        theirs = reader.get_inclusion_proof(index, SIZE)
        assert tuple(theirs.node_hashes) == inclusion_proof(index, SIZE, TREE)
        assert reader.get_entry(index) == LEAVES[index]
        theirs.check(their_leaf_hash(LEAVES[index]), checkpoint.root_hash)
    for old in SIZES:
        proof = reader.get_consistency_proof(old, SIZE)
        assert tuple(proof.node_hashes) == consistency_proof(old, SIZE, TREE)
        proof.check(root_at(old, TREE), checkpoint.root_hash)
    policy = quorum_of(LOG.verifier, [key.verifier for key in keys], 2)
    assert check_log(tmp_path, policy, LEAVES) == CHECKPOINT


def scales_log(folder: Path, sizes: Sequence[int]) -> TrustPolicy:
    """A log that tlog-scales writes, a commit up to each size, cosigned with ML-DSA-44."""
    writer = TilesWriter.create(folder, LOG.name)
    witness = signing.MLDSA44CosignatureSigner("witness.example/pq", SEED)
    for size in sizes:
        for leaf in LEAVES[writer.size : size]:
            writer.add_leaf(leaf)
        writer.commit([signing.PlainEd25519Signer(LOG.name, SEED), witness])
    # The key of that seed; without it, the text form that it writes could not be trusted to be the right one.
    expected = CosignerKey("witness.example/pq", "ml-dsa-44", SEED).verifier
    assert expected.public_bytes == witness.vkey.pubkey
    return quorum_of(LOG.verifier, [expected], 1)


@pytest.mark.parametrize("sizes", [(1,), (3, 255, 257), (256, 512), (200, 65_537)])
def test_ours_verifies_a_log_of_tlog_scales(tmp_path: Path, sizes: Sequence[int]) -> None:
    policy = scales_log(tmp_path / "log", sizes)
    checkpoint = check_log(tmp_path / "log", policy, LEAVES[: sizes[-1]])
    assert checkpoint.root == root_at(sizes[-1], TREE)


def test_ours_verifies_a_proof_file_of_tlog_scales(tmp_path: Path) -> None:
    policy = scales_log(tmp_path / "log", [300])
    for index in (0, 17, 299):
        command = [sys.executable, "-m", "tlog_scales.cli", "gen-proof", str(tmp_path / "log"), str(index)]
        data = subprocess.run(command, capture_output=True, check=True).stdout
        assert check_proof(data, LEAVES[index], policy).entry == index
        assert format_proof(parse_proof(data)) == data
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            check_proof(data, LEAVES[index + 1], policy)


@pytest.fixture
def aics() -> Aics:
    """Runs the other implementation."""
    if INTERPRETER is None:
        pytest.skip("no Python 3.12 with aics-tlog: set HANSE_AICS_PYTHON to its interpreter")
    probe = subprocess.run([INTERPRETER, "-c", "import aics_tlog"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"{INTERPRETER} has no aics-tlog: set HANSE_AICS_PYTHON to an interpreter that has")

    def run(action: str, folder: Path) -> None:
        command = [INTERPRETER, str(ORACLE), action, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


def test_aics_tlog_verifies_our_log(tmp_path: Path, aics: Aics) -> None:
    """It knows Ed25519 cosignatures alone, and passes over the line of the ML-DSA-44 witness."""
    keys = write_log(tmp_path, ["ed25519", "ml-dsa-44"])
    facts: dict[str, Any] = {
        "origin": LOG.name,
        "log": LOG.verifier.encode(),
        "witnesses": [keys[0].verifier.encode()],
        "inclusion": [[at, [step.hex() for step in inclusion_proof(at, SIZE, TREE)]] for at in INDICES],
        "consistency": [
            [at, root_at(at, TREE).hex(), [step.hex() for step in consistency_proof(at, SIZE, TREE)]]
            for at in SIZES
        ],
    }
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    aics("check", tmp_path)
    damaged = tmp_path / "tile" / "entries" / "100"
    damaged.write_bytes(damaged.read_bytes().replace(b"entry 25601", b"entry 35601"))
    with pytest.raises(AssertionError, match="TileVerificationError"):
        aics("check", tmp_path)


def test_ours_verifies_a_log_of_aics_tlog(tmp_path: Path, aics: Aics) -> None:
    aics("write", tmp_path)
    facts = json.loads((tmp_path / "facts.json").read_text())
    log, witness = VerifierKey.decode(facts["log"]), CosignerVerifier.decode(facts["witness"])
    checkpoint = check_log(tmp_path, quorum_of(log, [witness], 1), LEAVES)
    for index, proof in facts["inclusion"].items():
        hashes = [bytes.fromhex(step) for step in proof]
        check_inclusion(LEAVES[int(index)], int(index), checkpoint.size, checkpoint.root, hashes)
    for old, (root, proof) in facts["consistency"].items():
        hashes = [bytes.fromhex(step) for step in proof]
        check_consistency(int(old), bytes.fromhex(root), checkpoint.size, checkpoint.root, hashes)
