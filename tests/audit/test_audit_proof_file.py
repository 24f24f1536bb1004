"""Proof files have the form of the specification, and prove what they say and nothing else."""

import contextlib
import hashlib
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import Checkpoint, TreeHashes, inclusion_proof, root_at, sign_checkpoint
from hanse.audit.policy_file import quorum_of
from hanse.audit.proof_file import ProofFile, check_proof, format_proof, parse_proof
from hanse.crypto import CosignerKey, SigningKey, add_lines
from hanse.errors import AuditError, HanseError, IdentityError, ProtocolError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = SigningKey("example.com/log", bytes(range(32)))
WITNESSES = [CosignerKey("w1", "ed25519", bytes(32)), CosignerKey("w2", "ml-dsa-44", bytes(32))]
LEAVES = [b"entry %d" % index for index in range(13)]
TREE = TreeHashes.of_leaves(LEAVES)
POLICY = quorum_of(LOG.verifier, [key.verifier for key in WITNESSES], 2)
NOTE = sign_checkpoint(Checkpoint(LOG.name, 13, root_at(13, TREE)), LOG)
TEXT = NOTE.decode().rpartition("\n\n")[0] + "\n"
COSIGNED = add_lines(NOTE, *(key.cosign(TEXT, NOW) for key in WITNESSES))


def proof_of(index: int, extra: bytes = b"") -> bytes:
    return format_proof(ProofFile(index, inclusion_proof(index, 13, TREE), COSIGNED, extra))


# github.com/transparency-dev/formats, proof/tlog_proof_test.go, TestMarshal: the same parts, but a checkpoint
# that is one.
H1, H2 = (b64encode(hashlib.sha256(text).digest()).decode() for text in (b"hash1", b"hash2"))
GO_FORMS = {
    f"c2sp.org/tlog-proof@v1\nindex 5\n{H1}\n{H2}\n\n": (5, 2, b""),
    f"c2sp.org/tlog-proof@v1\nextra {b64encode(b'extra information').decode()}\nindex 10\n{H1}\n\n": (
        10, 1, b"extra information",
    ),
    "c2sp.org/tlog-proof@v1\nindex 0\n\n": (0, 0, b""),
}  # fmt: skip


@pytest.mark.parametrize("text", GO_FORMS)
def test_forms_of_the_go_implementation(text: str) -> None:
    proof = parse_proof(text.encode() + NOTE)
    assert (proof.index, len(proof.proof), proof.extra) == GO_FORMS[text]
    assert proof.note == NOTE
    assert format_proof(proof) == text.encode() + NOTE


# The first eight: the same test file, TestUnmarshalErrors.
@pytest.mark.parametrize(
    "head",
    [
        "wrong-header\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\n\n\n",
        "c2sp.org/tlog-proof@v1\nindex notanumber\n\n",
        "c2sp.org/tlog-proof@v1\nindex -5\n\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{b64encode(bytes(64)).decode()}\n\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{'a' * 65 * 1024}\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n",
        " c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\n",
        "c2sp.org/tlog-proof@v1\nindex 00\n\n",
        "c2sp.org/tlog-proof@v1\nindex 1000000000000000000\n\n",
        "c2sp.org/tlog-proof@v1\nindex 0 \n\n",
        "c2sp.org/tlog-proof@v1\r\nindex 0\n\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{H1[:-1]}\n\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{H1}\u2028{H2}\n\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{H1}\n" * 64 + "\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n\n",
    ],
)
def test_other_forms_are_refused(head: str) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        parse_proof(head.encode() + NOTE)


def test_the_checkpoint_is_one() -> None:
    head = b"c2sp.org/tlog-proof@v1\nindex 0\n\n"
    for note in (
        b"",
        b"checkpoint\n",
        TEXT.encode(),
        b"\xff",
        NOTE[:-1],
        NOTE.replace(b"\n13\n", b"\n013\n"),
    ):
        with pytest.raises(ProtocolError):
            parse_proof(head + note)
        with pytest.raises(ProtocolError):
            format_proof(ProofFile(0, (), note))
    for bad in (ProofFile(-1, (), NOTE), ProofFile(0, (bytes(31),), NOTE), ProofFile(10**18, (), NOTE)):
        with pytest.raises(ProtocolError):
            format_proof(bad)


@given(st.integers(0, 10**18 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary())
def test_what_is_written_is_read(index: int, proof: list[bytes], extra: bytes) -> None:
    file = ProofFile(index, tuple(proof), COSIGNED, extra)
    assert parse_proof(format_proof(file)) == file


@given(st.binary() | st.binary().map(lambda middle: b"c2sp.org/tlog-proof@v1\nindex 1\n" + middle + NOTE))
def test_reading_is_total(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert format_proof(parse_proof(data)) == data


@pytest.mark.parametrize("index", range(13))
def test_every_entry_is_proven(index: int) -> None:
    proven = check_proof(proof_of(index, b"why"), LEAVES[index], POLICY)
    assert proven == (index, Checkpoint(LOG.name, 13, root_at(13, TREE)))
    for other in {*range(13)} - {index}:
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            check_proof(proof_of(index), LEAVES[other], POLICY)


def test_what_a_proof_needs() -> None:
    data = proof_of(3)
    with pytest.raises(AuditError, match=r"audit\.quorum.*w2"):
        check_proof(data[: data.rindex("— ".encode())], LEAVES[3], POLICY)
    stranger = quorum_of(SigningKey.generate(LOG.name).verifier, [], 0)
    with pytest.raises(IdentityError, match=r"identity\.unknown-signer"):
        check_proof(data, LEAVES[3], stranger)
    beyond = format_proof(ProofFile(13, inclusion_proof(3, 13, TREE), COSIGNED))
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        check_proof(beyond, LEAVES[3], POLICY)


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """Of a proof without extra data, which nothing covers."""
    file = bytearray(proof_of(5))
    file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(HanseError):
        check_proof(bytes(file), LEAVES[5], POLICY)
