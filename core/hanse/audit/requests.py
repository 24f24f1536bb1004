"""Several calls in one entry: a Merkle tree over the digests of their requests (RFC 9162, section 2.1).

Calls that are committed together and that an entry says the same about share one. Its ``requests`` says how
many they are, its ``request`` is the root of the tree over their digests in the order of their positions, and
its counts are the sums. An entry of one call has that call's digest itself, and no ``requests``.

A caller is told the index of the entry, the position and the path. Whoever has the bytes of a request and the
site's key can compute the digest, and with position and path show that the entry is about this request.
"""

from collections.abc import Sequence

from hanse.audit.event import Event
from hanse.audit.tree import check_inclusion, leaf_hash, node_hash
from hanse.errors import AuditError


def request_tree(digests: Sequence[str]) -> tuple[str, list[tuple[bytes, ...]]]:
    """Root and paths of a tree.

    Args:
        digests: Digest of each request, 64 hex digits, at least one.

    Returns:
        The root, 64 hex digits, and for each request the hashes beside its way to it, from the leaf up. Of
        one request alone, its digest and an empty path.
    """
    if len(digests) == 1:
        return digests[0], [()]
    level = [leaf_hash(bytes.fromhex(digest)) for digest in digests]
    places = list(range(len(level)))
    paths: list[list[bytes]] = [[] for _ in level]
    while len(level) > 1:
        for path, place in zip(paths, places, strict=True):
            if place ^ 1 < len(level):  # the last of an odd number goes up as it is
                path.append(level[place ^ 1])
        places = [place >> 1 for place in places]
        above = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = above + level[len(level) - len(level) % 2 :]
    return level[0].hex(), [tuple(path) for path in paths]


def check_request(entry: Event, digest: str, position: int, path: Sequence[bytes]) -> None:
    """Checks that an entry is about a request.

    Args:
        entry: The entry, from a verified log.
        digest: Digest of the request, computed with the site's key, 64 hex digits.
        position: Where it is said to be among the entry's requests, from 0.
        path: The hashes beside its way to the root.

    Raises:
        AuditError: ``audit.integrity`` if the entry is not about it.
    """
    if entry.request is None:
        raise AuditError("audit.integrity", "an entry about no request")
    if entry.requests is None:
        if entry.request != digest or position or path:
            raise AuditError("audit.integrity", "an entry about another request")
        return
    try:
        leaf = bytes.fromhex(digest)
    except ValueError:
        raise AuditError("audit.integrity", "not a digest") from None
    check_inclusion(leaf, position, entry.requests, bytes.fromhex(entry.request), path)
