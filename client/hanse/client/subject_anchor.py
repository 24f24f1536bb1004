"""Ties a member's own log to the co-signed shared log, for a subject who trusts neither of the two alone.

The member's log has no witnesses: the member could sign a second one for the subject. But after every step it
stated, signed, the checkpoint of its log in the coordinator's shared log (``round.submitted``), and that one
is co-signed. An anchor is the newest such statement under a checkpoint with the quorum, the proof that it is
there, and the proof that the log of the bundle continues the stated one. Pure.

What it shows: every entry below the stated size is the one to which the member had committed in the log that
the witnesses saw. Assumption: of any two quorums a witness that is in both is honest and kept its memory.
Limit: for entries after that size there is the member's signature alone, and no witness knows whether an
entry is true.
"""

import base64
from collections.abc import Sequence

from hanse.audit import Checkpoint, Entry, EventType, check_consistency, consistency_proof, inclusion_proof
from hanse.audit.hashes import Hashes
from hanse.audit.policy_file import TrustPolicy
from hanse.audit.proof_file import ProofFile, check_proof, format_proof
from hanse.audit.statement import check_statement
from hanse.client.subject_bundle import Anchor
from hanse.crypto import VerifierKey
from hanse.errors import AuditError, HanseError
from hanse.evidence import Evidence

_MARK = f'"type":"{EventType.ROUND_SUBMITTED}"'.encode()


def make_anchor(shared: Evidence, keys: Sequence[VerifierKey], size: int, hashes: Hashes) -> Anchor | None:
    """Finds the newest statement of a member, and proves it.

    Args:
        shared: The shared log at its newest checkpoint that counts.
        keys: The keys that the member's log has had.
        size: Entries of that log at the bundle's checkpoint.
        hashes: The nodes of its tree.

    Returns:
        The anchor; None if the member stated nothing of this log up to that checkpoint.

    Raises:
        AuditError: ``audit.integrity`` if the nodes cannot be read.
    """
    for index in range(len(shared.leaves) - 1, -1, -1):
        leaf = shared.leaves[index]
        stated = _stated(leaf, keys) if _MARK in leaf else None
        if stated is not None and stated.size <= size:
            proof = inclusion_proof(index, shared.checkpoint.size, shared.hashes)
            return Anchor(
                statement=leaf.decode(),
                proof=format_proof(ProofFile(index, proof, shared.note)).decode(),
                consistency=_base64(consistency_proof(stated.size, size, hashes)),
            )
    return None


def check_anchor(
    anchor: Anchor | None, policy: TrustPolicy, keys: Sequence[VerifierKey], checkpoint: Checkpoint
) -> int:
    """Checks that witnesses have seen what the member committed to.

    Args:
        anchor: From a bundle.
        policy: Which log and which witnesses count, from an agreement or a policy file.
        keys: The keys that the member's log has had, from elsewhere.
        checkpoint: That of the bundle, whose signature was checked.

    Returns:
        How many of the log's entries, from the first, the co-signed statement covers.

    Raises:
        AuditError: ``audit.quorum`` if there is no anchor or too few witnesses co-signed, ``audit.integrity``
            if a proof does not hold or the statement is not about this log.
        IdentityError: If a signature is not by the keys that were given.
        ProtocolError: ``protocol.malformed`` if something is not of its form.
    """
    if anchor is None:
        raise AuditError(
            "audit.quorum", "the bundle has no co-signed checkpoint; ask for one made with --shared"
        )
    leaf = anchor.statement.encode()
    check_proof(anchor.proof.encode(), leaf, policy)
    stated = check_statement(Entry.parse(leaf), *keys)
    if stated.origin != checkpoint.origin:
        raise AuditError("audit.integrity", "the co-signed statement is about another log")
    path = [base64.b64decode(digest) for digest in anchor.consistency]
    check_consistency(stated.size, stated.root, checkpoint.size, checkpoint.root, path)
    return stated.size


def _stated(leaf: bytes, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    """The checkpoint in a statement, if it is by one of the keys."""
    try:
        return check_statement(Entry.parse(leaf), *keys)
    except HanseError:
        return None


def _base64(digests: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(base64.b64encode(digest).decode() for digest in digests)
