"""Merkle trees as in RFC 6962, section 2.1: roots, and what checks a proof without having the log. Pure.

A *leaf* is always the bytes of an entry as they are stored, never their hash; the functions hash it
themselves, with the prefixes that keep a leaf from being taken for an inner node.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from hanse.errors import AuditError

HASH_BYTES: Final = 32
_LEAF_PREFIX: Final = b"\x00"
_NODE_PREFIX: Final = b"\x01"
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf, 32 bytes."""
    return hashlib.sha256(_LEAF_PREFIX + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node, 32 bytes."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """A tree that grows by one leaf at a time and keeps only the roots of its complete subtrees.

    Memory and time of a step are O(log size).

    Attributes:
        size: Number of leaves.
        peaks: Roots of the complete subtrees, largest first: one for each bit of ``size`` that is set.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> bytes:
        """Adds a leaf.

        Args:
            leaf: The bytes of the entry.

        Returns:
            The nodes that it completes, 32 bytes each: its :func:`leaf_hash`, then the root of each complete
            subtree that ends with it, from small to large.
        """
        sha256 = hashlib.sha256  # not leaf_hash and node_hash: a quarter of the time would go to calls
        digest = sha256(_LEAF_PREFIX + leaf).digest()
        if not self.size & 1:
            self.peaks.append(digest)
            self.size += 1
            return digest
        nodes = [digest]
        # The low bits of the size that are set are the subtrees which the new leaf completes.
        complete = self.size
        while complete & 1:
            digest = sha256(_NODE_PREFIX + self.peaks.pop() + digest).digest()
            nodes.append(digest)
            complete >>= 1
        self.peaks.append(digest)
        self.size += 1
        return b"".join(nodes)

    def root(self) -> bytes:
        """The root hash, 32 bytes; :data:`EMPTY_ROOT` without leaves."""
        if not self.peaks:
            return EMPTY_ROOT
        digest = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            digest = node_hash(peak, digest)
        return digest

    def copy(self) -> Self:
        """An independent tree of the same leaves."""
        return type(self)(self.size, self.peaks.copy())


def root_hash(leaves: Iterable[bytes]) -> bytes:
    """``MTH`` of RFC 6962: the root hash of these leaves in this order, 32 bytes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def check_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Checks a proof that a leaf is in a tree (RFC 9162, section 2.1.3.2).

    A proof alone does not pin the size: in trees of 3 and of 4 leaves, leaf 0 has a path of the same shape.
    Size and root must come from one checkpoint.

    Args:
        leaf: The bytes of the entry.
        index: Where it is claimed to be.
        size: Number of leaves of the tree.
        root: Root hash of that tree, from a checkpoint whose signature was checked.
        proof: What :func:`hanse.audit.hashes.inclusion_proof` made.

    Raises:
        AuditError: ``audit.integrity`` if the proof does not show it.
    """
    check_hash_inclusion(leaf_hash(leaf), index, size, root, proof)


def check_hash_inclusion(digest: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """As :func:`check_inclusion`, for whoever has the hash of the leaf and not its bytes.

    Args:
        digest: The :func:`leaf_hash` of the entry. The caller computed it, or has it from a tile that was
            checked: a hash that came with the proof could be that of an inner node.
        index: Where it is claimed to be.
        size: Number of leaves of the tree.
        root: Root hash of that tree, from a checkpoint whose signature was checked.
        proof: What :func:`hanse.audit.hashes.inclusion_proof` made.

    Raises:
        AuditError: ``audit.integrity`` if the proof does not show it.
    """
    if not 0 <= index < size:
        raise AuditError("audit.integrity", f"no leaf {index} in a tree of {size}", entry=index)
    node, last, sha256 = index, size - 1, hashlib.sha256  # not node_hash: half of the time would go to calls
    for sibling in proof:
        if last == 0:
            raise AuditError("audit.integrity", "the inclusion proof is too long", entry=index)
        if node & 1 or node == last:
            digest = sha256(_NODE_PREFIX + sibling + digest).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = sha256(_NODE_PREFIX + digest + sibling).digest()
        node, last = node >> 1, last >> 1
    if last or digest != root or any(len(sibling) != HASH_BYTES for sibling in proof):
        raise AuditError("audit.integrity", "the inclusion proof does not lead to the root", entry=index)


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Checks a proof that a tree was only appended to (RFC 9162, section 2.1.4.2).

    Args:
        old_size: Size of the earlier tree.
        old_root: Its root hash, from a checkpoint whose signature was checked.
        size: Size of the later tree.
        root: Its root hash, likewise.
        proof: What :func:`hanse.audit.hashes.consistency_proof` made.

    Raises:
        AuditError: ``audit.integrity`` if the proof does not show that the later tree extends the earlier.
    """
    failure = AuditError("audit.integrity", f"the tree of {size} does not extend the tree of {old_size}")
    if not 0 <= old_size <= size or any(len(digest) != HASH_BYTES for digest in proof):
        raise failure
    if old_size in {0, size}:
        same = EMPTY_ROOT if old_size == 0 else root
        if proof or old_root != same or (size == 0 and root != EMPTY_ROOT):
            raise failure
        return
    if _fold_consistency(old_size, old_root, size, proof) != (old_root, root):
        raise failure


def _fold_consistency(
    old_size: int, old_root: bytes, size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    """The two roots that a consistency proof leads to, or None if its length is wrong."""
    # The proof leaves out the old root where that is itself a node of the new tree.
    hashes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not hashes:
        return None
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None
