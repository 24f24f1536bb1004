"""Proofs in a file (https://c2sp.org/tlog-proof): that an entry is in a log, for whoever lacks the log. Pure.

A file ``*.tlog-proof`` is a text::

    c2sp.org/tlog-proof@v1
    extra <base64>            only if there is data that the application needs to make the entry; not covered
    index <number>            of the entry, from 0
    <base64 of a hash>        the inclusion proof, RFC 6962, section 2.1.1: one line for each hash, maybe none

    <a checkpoint with its signatures and cosignatures, as it is>

The entry itself is not in it.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from hanse.audit.policy_file import TrustPolicy
from hanse.audit.tree import HASH_BYTES, check_inclusion
from hanse.crypto.checkpoint import Checkpoint, parse_checkpoint
from hanse.crypto.keys import decode_base64, encode_base64
from hanse.crypto.note import MAX_NOTE_BYTES, split_note
from hanse.errors import ProtocolError

_MAGIC: Final = "c2sp.org/tlog-proof@v1"
_MAX_HASHES: Final = 63
_FORM: Final = re.compile(
    rf"{re.escape(_MAGIC)}\n"
    r"(?:extra (?P<extra>[^\n]+)\n)?"
    r"index (?P<index>0|[1-9][0-9]{0,17})\n"
    r"(?P<hashes>(?:[^\n]+\n)*)"
    r"\n"
    r"(?P<note>.+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ProofFile:
    """What is in such a file. Nothing about it is known before :func:`check_proof`.

    Attributes:
        index: Index of the entry.
        proof: Hashes from the entry's sibling up to the root's child.
        note: The checkpoint's note.
        extra: Data that the application adds; no signature covers it.
    """

    index: int
    proof: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""


class Proven(NamedTuple):
    """What a file proves.

    Attributes:
        entry: Index of the entry in the log.
        checkpoint: The state of the log that it is part of.
    """

    entry: int
    checkpoint: Checkpoint


def format_proof(proof: ProofFile) -> bytes:
    """Writes a file.

    Args:
        proof: What to write.

    Returns:
        Its bytes.

    Raises:
        ProtocolError: ``protocol.malformed`` if a part is not valid.
    """
    extra = f"extra {encode_base64(proof.extra)}\n" if proof.extra else ""
    hashes = "".join(f"{encode_base64(digest)}\n" for digest in proof.proof)
    data = f"{_MAGIC}\n{extra}index {proof.index}\n{hashes}\n".encode() + proof.note
    parse_proof(data)
    return data


def parse_proof(data: bytes) -> ProofFile:
    """Reads what :func:`format_proof` wrote.

    Args:
        data: Bytes from anywhere.

    Returns:
        The parts.

    Raises:
        ProtocolError: ``protocol.malformed`` for any other bytes.
    """
    try:
        match = _FORM.fullmatch(data.decode()) if len(data) <= MAX_NOTE_BYTES else None
        if match is None:
            raise ProtocolError("protocol.malformed", "not a proof file: see c2sp.org/tlog-proof")
        extra = decode_base64(match["extra"] or "")
        proof = tuple(map(decode_base64, match["hashes"].split("\n")[:-1]))
    except ValueError as error:
        raise ProtocolError("protocol.malformed", "a proof file is UTF-8 with lines of base64") from error
    if len(proof) > _MAX_HASHES or any(len(digest) != HASH_BYTES for digest in proof):
        raise ProtocolError("protocol.malformed", f"at most {_MAX_HASHES} hashes of {HASH_BYTES} bytes")
    note = match["note"].encode()
    parse_checkpoint(split_note(note)[0])
    return ProofFile(int(match["index"]), proof, note, extra)


def check_proof(data: bytes, leaf: bytes, policy: TrustPolicy) -> Proven:
    """Checks that an entry is in a log, with nothing but a file and the keys that the caller trusts.

    It shows that the log and the quorum's witnesses committed to the entry; not that what it says is true.

    Args:
        data: The bytes of a proof file from anywhere.
        leaf: The bytes of the entry.
        policy: Which log and which witnesses count.

    Returns:
        Where the entry is.

    Raises:
        AuditError: ``audit.integrity`` if the proof does not lead to the checkpoint's root, ``audit.quorum``
            if too few witnesses cosigned it.
        IdentityError: As :meth:`hanse.audit.policy_file.TrustPolicy.check`.
        ProtocolError: ``protocol.malformed`` if it is not a proof file.
    """
    file = parse_proof(data)
    checkpoint = policy.check(file.note)
    check_inclusion(leaf, file.index, checkpoint.size, checkpoint.root, file.proof)
    return Proven(file.index, checkpoint)
