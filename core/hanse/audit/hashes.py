"""Proofs from the inner nodes of a tree: a few reads for each, wherever the nodes are kept. Pure.

A tree of RFC 6962 that only grows never changes a node once the subtree below it is complete. So a store
keeps just those nodes, and every root and every proof, of the newest tree and of each earlier one, follows
from at most 2 log2(size) of them, without a leaf being read. This is the layout of Go's ``sumdb/tlog``.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, Self

from hanse.audit.tree import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash, node_hash
from hanse.errors import AuditError, ProtocolError

_NODE_PREFIX: Final = b"\x01"


class Node(NamedTuple):
    """The root of a complete subtree.

    Attributes:
        level: Its height: 0 for the hash of a leaf.
        index: Which one of its level: it covers the leaves from ``index << level`` up to and without
            ``(index + 1) << level``.
    """

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class Hashes(Protocol):
    """Where the nodes of a tree are kept."""

    def read(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        """Reads nodes, in one go.

        Args:
            nodes: Which ones.

        Returns:
            Their hashes, 32 bytes each, in the same order.

        Raises:
            AuditError: ``audit.integrity`` if one is missing.
        """
        ...


class _Range(NamedTuple):
    """Leaves ``first`` up to and without ``end``, as they arise when RFC 6962 splits a tree."""

    first: int
    end: int


def root_at(size: int, hashes: Hashes) -> bytes:
    """The root of the tree of the first leaves (``MTH`` of RFC 6962, section 2.1).

    Args:
        size: Number of leaves; may be less than there are.
        hashes: The nodes.

    Returns:
        The root hash, 32 bytes.

    Raises:
        AuditError: ``audit.integrity`` if there are fewer leaves.
        ProtocolError: ``protocol.malformed`` if the size is negative.
    """
    if size < 0:
        raise ProtocolError("protocol.malformed", f"no tree of {size}")
    return EMPTY_ROOT if size == 0 else _roots([_Range(0, size)], hashes)[0]


def frontier_at(size: int, hashes: Hashes) -> Frontier:
    """The tree of the first leaves, ready to grow.

    Args:
        size: Number of leaves; may be less than there are.
        hashes: The nodes.

    Returns:
        The tree. Its root is to be compared with a signed one: so far it is what the store says.

    Raises:
        AuditError: ``audit.integrity`` if there are fewer leaves.
    """
    return Frontier(size, list(hashes.read(_peaks(_Range(0, size)))))


def inclusion_proof(index: int, size: int, hashes: Hashes) -> tuple[bytes, ...]:
    """``PATH`` of RFC 6962, section 2.1.1: proves that a leaf is in the tree of the first leaves.

    Args:
        index: Which leaf, from 0.
        size: Number of leaves of the tree.
        hashes: The nodes.

    Returns:
        Hashes from the leaf's sibling up to the root's child; at most log2(size) rounded up. For
        :func:`hanse.audit.tree.check_inclusion`.

    Raises:
        AuditError: ``audit.integrity`` if the store has fewer leaves.
        ProtocolError: ``protocol.malformed`` if there is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ProtocolError("protocol.malformed", f"no leaf {index} in a tree of {size}")
    siblings: list[_Range] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            siblings.append(_Range(middle, end))
            end = middle
        else:
            siblings.append(_Range(first, middle))
            first = middle
    return _roots(siblings[::-1], hashes)


def consistency_proof(old_size: int, size: int, hashes: Hashes) -> tuple[bytes, ...]:
    """``PROOF`` of RFC 6962, section 2.1.2: proves that a tree was only appended to.

    Args:
        old_size: Number of leaves of the earlier tree.
        size: Number of leaves of the later tree.
        hashes: The nodes.

    Returns:
        The proof, for :func:`hanse.audit.tree.check_consistency`; empty if the earlier tree is empty or the
        same.

    Raises:
        AuditError: ``audit.integrity`` if the store has fewer leaves.
        ProtocolError: ``protocol.malformed`` if the earlier tree is larger.
    """
    if not 0 <= old_size <= size:
        raise ProtocolError("protocol.malformed", f"no tree of {old_size} in a tree of {size}")
    if old_size == 0:
        return ()
    parts: list[_Range] = []
    first, end = 0, size
    while end != old_size:
        middle = first + _split(end - first)
        if old_size <= middle:
            parts.append(_Range(middle, end))
            end = middle
        else:
            parts.append(_Range(first, middle))
            first = middle
    if first:  # otherwise what is left is the whole old tree, whose root the verifier has
        parts.append(_Range(first, end))
    return _roots(parts[::-1], hashes)


class TreeHashes:
    """The nodes of a tree in memory: 64 bytes for each leaf.

    For verifiers, exports and sets. A tree of a million leaf hashes is built in about a second.

    Args:
        leaf_hashes: The :func:`~hanse.audit.tree.leaf_hash` of every leaf, in order.

    Raises:
        ProtocolError: ``protocol.malformed`` if one does not have 32 bytes.
    """

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        digests = list(leaf_hashes)
        if any(len(digest) != HASH_BYTES for digest in digests):
            raise ProtocolError("protocol.malformed", f"a leaf hash has {HASH_BYTES} bytes")
        self._size = len(digests)
        self._levels = [b"".join(digests)]  # one string for each level: fewer objects than hashes
        while len(self._levels[-1]) >= 2 * HASH_BYTES:
            self._levels.append(_parents(self._levels[-1]))

    @classmethod
    def of_leaves(cls, leaves: Iterable[bytes]) -> Self:
        """Builds the nodes from the leaves.

        Args:
            leaves: The bytes of every entry, in order.

        Returns:
            The nodes.
        """
        return cls(map(leaf_hash, leaves))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def read(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        """See :meth:`Hashes.read`."""
        return [self._read(node) for node in nodes]

    def _read(self, node: Node) -> bytes:
        level, index = node
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise AuditError("audit.integrity", f"no node {index} at level {level} in a tree of {self._size}")
        return self._levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES]


def _parents(level: bytes) -> bytes:
    """The nodes above those of a level; an odd one at its end has none yet."""
    pair, sha256 = 2 * HASH_BYTES, hashlib.sha256
    ends = range(pair, len(level) + 1, pair)
    return b"".join([sha256(_NODE_PREFIX + level[end - pair : end]).digest() for end in ends])


def _split(size: int) -> int:
    """The largest power of two below the size (RFC 6962's ``k``)."""
    return 1 << ((size - 1).bit_length() - 1)


def _peaks(part: _Range) -> list[Node]:
    """The complete subtrees that a range consists of, largest first: one for each bit of its length."""
    nodes: list[Node] = []
    first, end = part
    while first < end:
        level = (end - first).bit_length() - 1
        nodes.append(Node(level, first >> level))
        first += 1 << level
    return nodes


def _roots(parts: Sequence[_Range], hashes: Hashes) -> tuple[bytes, ...]:
    """The root over each range, all from one read."""
    peaks = [_peaks(part) for part in parts]
    read = iter(hashes.read([node for nodes in peaks for node in nodes]))
    return tuple(_fold([next(read) for _ in nodes]) for nodes in peaks)


def _fold(digests: list[bytes]) -> bytes:
    """The root over complete subtrees, largest first; at least one."""
    digest = digests[-1]
    for left in reversed(digests[:-1]):
        digest = node_hash(left, digest)
    return digest
