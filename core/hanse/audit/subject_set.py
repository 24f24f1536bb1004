"""Who was in a set of admitted subjects, provable to each of them and to nobody else. Pure.

Every subject has a *secret* of 32 random bytes, which the member and the subject know. For one set of one run
(its *epoch*) the subject's *tag* is HMAC-SHA256 of agreement, run and epoch under that secret. The tags of a
set, sorted, are the leaves of a tree as in RFC 6962; its root and its size are in the log. Whoever has no
secret learns nothing from tags: not who is in a set, not whether two sets have anybody in common.

A proof has one form in bytes; integers are big-endian, of 8 bytes::

    byte  0      1: the tag is in the set; 2: it is not
    bytes 1-8    size of the set
    bytes 9-16   place: number of smaller tags in the set
    1:           the tag's path: RFC 6962 section 2.1.1, 32 bytes a hash
    2:           the tag before the place (unless the place is 0) and its path,
                 then the tag at the place (unless the place is the size) and its path

The number of hashes of a path follows from place and size. In a set of a million a proof of the first form
has 657 bytes, one of the second 1,361 at most.

What one proof cannot tell. That a tag is missing between two neighbours means that it is nowhere in the set
*if the leaves are sorted*, which the member promises by the root and one proof shows for two leaves only: a
member that put the tag at a wrong place, or hid leaves below a hash that it never opens, could deny it.
:func:`check_together` finds leaves out of order among all that several proofs show of one set;
:func:`check_set` settles it, from all tags of the set, which the member keeps and an auditor may ask for.
"""

import hashlib
import operator
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, NamedTuple, TypeAlias

from hanse.audit.hashes import TreeHashes, inclusion_proof, root_at
from hanse.audit.tree import EMPTY_ROOT, HASH_BYTES, check_inclusion
from hanse.errors import AuditError, ProtocolError

SECRET_BYTES: Final = 32
TAG_BYTES: Final = 32
_CONTEXT: Final = b"hanse/subject-tag/v1\0"
_LEAF_PREFIX: Final = b"\x00"
_BLOCK_BYTES: Final = 64  # of SHA-256
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))  # the pads of HMAC (RFC 2104)
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_INNER_REST: Final = _INNER[:1] * (_BLOCK_BYTES - SECRET_BYTES)
_OUTER_REST: Final = _OUTER[:1] * (_BLOCK_BYTES - SECRET_BYTES)
_INCLUDED: Final = 1
_NOT_INCLUDED: Final = 2
_NUMBER_BYTES: Final = 8
_HEAD_BYTES: Final = 1 + 2 * _NUMBER_BYTES


class Epoch(NamedTuple):
    """Which set.

    Attributes:
        agreement: Digest of the agreement.
        run: The run.
        number: Which set of the run, from 1: a new one whenever other subjects are admitted.
    """

    agreement: str
    run: str
    number: int


def subject_tags(secrets: Iterable[bytes], epoch: Epoch) -> list[bytes]:
    """The tags of some subjects in a set, 32 bytes each, in the order of their secrets.

    Args:
        secrets: Their secrets, 32 bytes each.
        epoch: The set.

    Returns:
        HMAC-SHA256 (RFC 2104), from its two halves: with a key of its own for every text, that takes half as
        long as a call that sets up HMAC each time.

    Raises:
        ProtocolError: ``protocol.malformed`` if a secret does not have 32 bytes, or the set's number does not
            fit in 8.
    """
    given = list(secrets)
    if any(len(secret) != SECRET_BYTES for secret in given):
        raise ProtocolError("protocol.malformed", f"a subject's secret has {SECRET_BYTES} bytes")
    sha256, inner_end = hashlib.sha256, _INNER_REST + _message(epoch)
    return [
        sha256(
            secret.translate(_OUTER) + _OUTER_REST + sha256(secret.translate(_INNER) + inner_end).digest()
        ).digest()
        for secret in given
    ]


def subject_tag(secret: bytes, epoch: Epoch) -> bytes:
    """The tag of one subject in a set; see :func:`subject_tags`."""
    return subject_tags([secret], epoch)[0]


def _message(epoch: Epoch) -> bytes:
    """The text under the HMAC: each part with its length, so that parts cannot run into each other."""
    if not 0 <= epoch.number < 1 << (8 * _NUMBER_BYTES):
        raise ProtocolError("protocol.malformed", "no set has such a number")
    parts = (epoch.agreement.encode(), epoch.run.encode(), _number(epoch.number))
    return _CONTEXT + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class InclusionProof(NamedTuple):
    """Shows that a tag is in a set.

    Attributes:
        size: Size of the set.
        place: Where the tag is, from 0.
        path: Hashes from the leaf's sibling up.
    """

    size: int
    place: int
    path: tuple[bytes, ...]


class Neighbour(NamedTuple):
    """A leaf beside the gap where a tag would be.

    Attributes:
        tag: The leaf.
        path: Hashes from its sibling up.
    """

    tag: bytes
    path: tuple[bytes, ...]


class NonInclusionProof(NamedTuple):
    """Shows that a tag is not in a set whose leaves are sorted.

    Attributes:
        size: Size of the set.
        place: Where the tag would be, from 0 to the size.
        before: The leaf at ``place - 1``; None at the beginning.
        after: The leaf at ``place``; None at the end.
    """

    size: int
    place: int
    before: Neighbour | None
    after: Neighbour | None


SubjectProof: TypeAlias = InclusionProof | NonInclusionProof


class SubjectSet:
    """A set of tags, and its tree.

    Attributes:
        tags: The tags, sorted.
        root: Root of their tree, 32 bytes.

    Args:
        tags: Tags of 32 bytes in any order, each once.

    Raises:
        ProtocolError: ``protocol.malformed`` if one has another length, or is there twice.
    """

    def __init__(self, tags: Iterable[bytes]) -> None:
        self.tags: Sequence[bytes] = sorted(tags)
        if any(len(tag) != TAG_BYTES for tag in self.tags):
            raise ProtocolError("protocol.malformed", f"a subject's tag has {TAG_BYTES} bytes")
        if any(map(operator.eq, self.tags, islice(self.tags, 1, None))):
            raise ProtocolError("protocol.malformed", "a tag is in a set once")
        sha256 = hashlib.sha256
        self._hashes = TreeHashes(sha256(_LEAF_PREFIX + tag).digest() for tag in self.tags)
        self.root = root_at(len(self.tags), self._hashes)

    def __len__(self) -> int:
        """Number of subjects."""
        return len(self.tags)

    def prove(self, tag: bytes) -> SubjectProof:
        """Proves that a tag is in the set, or that it is not.

        Args:
            tag: The tag of whoever asks.

        Returns:
            The proof; :func:`check_proof` checks it against root and size.
        """
        size, place = len(self.tags), bisect_left(self.tags, tag)
        if place < size and self.tags[place] == tag:
            return InclusionProof(size, place, self._path(place))
        before = Neighbour(self.tags[place - 1], self._path(place - 1)) if place else None
        after = Neighbour(self.tags[place], self._path(place)) if place < size else None
        return NonInclusionProof(size, place, before, after)

    def _path(self, place: int) -> tuple[bytes, ...]:
        return inclusion_proof(place, len(self.tags), self._hashes)


def check_proof(proof: SubjectProof, tag: bytes, root: bytes, size: int) -> bool:
    """Checks a proof about a tag.

    Args:
        proof: The proof, from anywhere.
        tag: The tag, computed from the subject's own secret.
        root: Root of the set, from the log.
        size: Its size, from the same entry.

    Returns:
        Whether the tag is in the set; that it is not is shown for a sorted set, see the module docstring.

    Raises:
        AuditError: ``audit.subject-proof`` if the proof shows neither.
    """
    if len(tag) != TAG_BYTES or proof.size != size or not 0 <= proof.place <= size:
        raise _refused("it is about another set")
    if isinstance(proof, InclusionProof):
        _check_leaf(tag, proof.place, proof.path, root, size)
        return True
    if size == 0 and root != EMPTY_ROOT:
        raise _refused("the root is not that of a set without subjects")
    if (proof.before is None) != (proof.place == 0) or (proof.after is None) != (proof.place == size):
        raise _refused("it does not show both neighbours of the gap")
    for leaf, index in ((proof.before, proof.place - 1), (proof.after, proof.place)):
        if leaf is not None:
            _check_leaf(leaf.tag, index, leaf.path, root, size)
    if proof.before is not None and not proof.before.tag < tag:
        raise _refused("the tag does not come after its neighbour")
    if proof.after is not None and not tag < proof.after.tag:
        raise _refused("the tag does not come before its neighbour")
    return False


def _check_leaf(tag: bytes, index: int, path: Sequence[bytes], root: bytes, size: int) -> None:
    if len(tag) != TAG_BYTES:
        raise _refused(f"a tag has {TAG_BYTES} bytes")
    try:
        check_inclusion(tag, index, size, root, path)
    except AuditError as error:
        raise _refused("a leaf is not where it says") from error


def check_together(proofs: Iterable[tuple[SubjectProof, bytes]], root: bytes, size: int) -> None:
    """Checks proofs about one set against each other: all leaves that they show must be in order.

    A set that is not sorted can deny a subject who is in it. The more subjects put their proofs together, the
    more of the leaves are seen; all of them in order leave no room.

    Args:
        proofs: Proofs, each with the tag that it is about.
        root: Root of the set, from the log.
        size: Its size.

    Raises:
        AuditError: ``audit.subject-proof`` if one of them is not valid, or they show leaves out of order.
    """
    leaves: dict[int, bytes] = {}
    for proof, tag in proofs:
        check_proof(proof, tag, root, size)
        leaves.update(_shown(proof, tag))
    ordered = [leaves[index] for index in sorted(leaves)]
    if any(tag >= following for tag, following in pairwise(ordered)):
        raise _refused("the proofs show leaves out of order: the set can deny who is in it")


def _shown(proof: SubjectProof, tag: bytes) -> dict[int, bytes]:
    """The leaves that a valid proof shows, by place."""
    if isinstance(proof, InclusionProof):
        return {proof.place: tag}
    sides = ((proof.place - 1, proof.before), (proof.place, proof.after))
    return {index: leaf.tag for index, leaf in sides if leaf is not None}


def check_set(tags: Sequence[bytes], root: bytes, size: int) -> SubjectSet:
    """Checks a whole set: then its proofs of both kinds hold without a further assumption.

    Args:
        tags: All its tags, in order.
        root: Its root, from the log.
        size: Its size, from the same entry.

    Returns:
        The set.

    Raises:
        AuditError: ``audit.subject-proof`` if it is another set, or its tags are not sorted.
    """
    try:
        found = SubjectSet(tags)
    except ProtocolError as error:
        raise _refused(error.detail) from error
    if list(found.tags) != list(tags):
        raise _refused("its tags are not sorted")
    if (found.root, len(found)) != (root, size):
        raise _refused("the tags are not those of the root in the log")
    return found


def encode_proof(proof: SubjectProof) -> bytes:
    """A proof as bytes; see the module docstring."""
    if isinstance(proof, InclusionProof):
        form, parts = _INCLUDED, list(proof.path)
    else:
        form, sides = _NOT_INCLUDED, (proof.before, proof.after)
        parts = [part for leaf in sides if leaf is not None for part in (leaf.tag, *leaf.path)]
    return b"".join([bytes([form]), _number(proof.size), _number(proof.place), *parts])


def parse_proof(data: bytes) -> SubjectProof:
    """Reads what :func:`encode_proof` wrote, and no other spelling of it.

    Args:
        data: Bytes from anywhere.

    Returns:
        The proof, of which nothing is checked but its form.

    Raises:
        ProtocolError: ``protocol.malformed`` if it has another form.
    """
    head, body = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    if len(head) < _HEAD_BYTES or head[0] not in (_INCLUDED, _NOT_INCLUDED):
        raise _malformed()
    size = int.from_bytes(head[1 : 1 + _NUMBER_BYTES], "big")
    place = int.from_bytes(head[1 + _NUMBER_BYTES :], "big")
    reader = _Reader(body)
    proof: SubjectProof
    if head[0] == _INCLUDED:
        if place >= size:
            raise _malformed()
        proof = InclusionProof(size, place, reader.path(place, size))
    else:
        if place > size:
            raise _malformed()
        before = Neighbour(reader.hash(), reader.path(place - 1, size)) if place else None
        after = Neighbour(reader.hash(), reader.path(place, size)) if place < size else None
        proof = NonInclusionProof(size, place, before, after)
    reader.end()
    return proof


@dataclass(slots=True)
class _Reader:
    """Takes hashes from the front of some bytes."""

    rest: bytes

    def hash(self) -> bytes:
        if len(self.rest) < HASH_BYTES:
            raise _malformed()
        taken, self.rest = self.rest[:HASH_BYTES], self.rest[HASH_BYTES:]
        return taken

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        return tuple(self.hash() for _ in range(_path_length(index, size)))

    def end(self) -> None:
        if self.rest:
            raise _malformed()


def _path_length(index: int, size: int) -> int:
    """Number of hashes that lead from a leaf to the root (RFC 6962, section 2.1.1)."""
    length = 0
    while size > 1:
        middle = 1 << ((size - 1).bit_length() - 1)
        index, size = (index, middle) if index < middle else (index - middle, size - middle)
        length += 1
    return length


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big")


def _malformed() -> ProtocolError:
    return ProtocolError("protocol.malformed", "not a proof about a subject")


def _refused(reason: str) -> AuditError:
    return AuditError("audit.subject-proof", f"the proof about a subject does not hold: {reason}")
