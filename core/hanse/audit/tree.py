"""Merkle trees as in RFC 6962, section 2.1: roots, and proofs that an auditor checks without the log. Pure.

A *leaf* is always the bytes of an entry as they are stored, never their hash; the functions hash it
themselves, with the prefixes that keep a leaf from being taken for an inner node.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from hanse.errors import AuditError, ProtocolError

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
            Its :func:`leaf_hash`.
        """
        hashed = digest = leaf_hash(leaf)
        # The low bits of the size that are set are the subtrees which the new leaf completes.
        complete = self.size
        while complete & 1:
            digest = node_hash(self.peaks.pop(), digest)
            complete >>= 1
        self.peaks.append(digest)
        self.size += 1
        return hashed

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


def prove_inclusion(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """``PATH`` of RFC 6962: proves that a leaf is in the tree.

    Args:
        leaves: All leaves of the tree.
        index: Which leaf, from 0.

    Returns:
        Hashes from the leaf's sibling up to the root's child; at most log2(size) rounded up.

    Raises:
        ProtocolError: ``protocol.malformed`` if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ProtocolError("protocol.malformed", f"no leaf {index} in a tree of {len(leaves)}")
    return tuple(_path(index, [leaf_hash(leaf) for leaf in leaves]))


def check_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Checks what :func:`prove_inclusion` made (RFC 9162, section 2.1.3.2).

    Args:
        leaf: The bytes of the entry.
        index: Where it is claimed to be.
        size: Number of leaves of the tree.
        root: Root hash of that tree, from a checkpoint whose signature was checked.
        proof: The proof.

    Raises:
        AuditError: ``audit.integrity`` if the proof does not show it.
    """
    if not 0 <= index < size:
        raise AuditError("audit.integrity", f"no leaf {index} in a tree of {size}", entry=index)
    digest, node, last = leaf_hash(leaf), index, size - 1
    for sibling in proof:
        if last == 0:
            raise AuditError("audit.integrity", "the inclusion proof is too long", entry=index)
        if node & 1 or node == last:
            digest = node_hash(sibling, digest)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        node, last = node >> 1, last >> 1
    if last or digest != root or any(len(sibling) != HASH_BYTES for sibling in proof):
        raise AuditError("audit.integrity", "the inclusion proof does not lead to the root", entry=index)


def prove_consistency(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """``PROOF`` of RFC 6962: proves that the tree of the first leaves was only appended to.

    Args:
        leaves: All leaves of the tree.
        old_size: Size of the earlier tree, at most the number of leaves.

    Returns:
        The proof; empty if the earlier tree is empty or the same.

    Raises:
        ProtocolError: ``protocol.malformed`` if the earlier tree is larger.
    """
    if not 0 <= old_size <= len(leaves):
        raise ProtocolError("protocol.malformed", f"no tree of {old_size} in a tree of {len(leaves)}")
    if old_size == 0:
        return ()
    return tuple(_subproof(old_size, [leaf_hash(leaf) for leaf in leaves], whole=True))


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Checks what :func:`prove_consistency` made (RFC 9162, section 2.1.4.2).

    Args:
        old_size: Size of the earlier tree.
        old_root: Its root hash, from a checkpoint whose signature was checked.
        size: Size of the later tree.
        root: Its root hash, likewise.
        proof: The proof.

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


def _split(size: int) -> int:
    """The largest power of two below the size (RFC 6962's ``k``)."""
    return 1 << ((size - 1).bit_length() - 1)


def _root(hashes: list[bytes]) -> bytes:
    """Root of the tree over leaf hashes; at least one."""
    if len(hashes) == 1:
        return hashes[0]
    middle = _split(len(hashes))
    return node_hash(_root(hashes[:middle]), _root(hashes[middle:]))


def _path(index: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*_path(index, hashes[:middle]), _root(hashes[middle:])]
    return [*_path(index - middle, hashes[middle:]), _root(hashes[:middle])]


def _subproof(old_size: int, hashes: list[bytes], *, whole: bool) -> list[bytes]:
    """``SUBPROOF``; ``whole`` while the old tree is a subtree whose root the verifier knows."""
    if old_size == len(hashes):
        return [] if whole else [_root(hashes)]
    middle = _split(len(hashes))
    if old_size <= middle:
        return [*_subproof(old_size, hashes[:middle], whole=whole), _root(hashes[middle:])]
    return [*_subproof(old_size - middle, hashes[middle:], whole=False), _root(hashes[:middle])]
