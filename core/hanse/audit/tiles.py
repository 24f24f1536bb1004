"""Tiles (https://c2sp.org/tlog-tiles): a log as files that anybody can serve, copy and check. Pure.

A *tile* is 256 consecutive nodes of one level, 32 bytes each, one after the other; levels of tiles are 8
levels of nodes apart. Its file is ``tile/<level>/<index>``. A *bundle* has the entries of a tile of level 0,
each after its length in two bytes, big-endian: ``tile/entries/<index>``. The rightmost tile or bundle may be
*partial*: its name ends in ``.p/<width>``. An index is written in groups of three digits, all but the last
after an ``x``: 1234067 is ``x001/x234/067``.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from hanse.audit.entry import MAX_ENTRY_BYTES
from hanse.audit.hashes import Hashes, Node, TreeHashes, root_at
from hanse.audit.tree import HASH_BYTES, leaf_hash
from hanse.errors import AuditError, ProtocolError

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
_LENGTH_BYTES: Final = 2
_MAX_LEVEL: Final = 63
_MAX_INDEX: Final = (1 << 63) - 1
_PATH: Final = re.compile(
    r"tile/(?P<level>[0-9]{1,2}|entries)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)


class Tile(NamedTuple):
    """The name of a tile.

    Attributes:
        level: Level of the tile, 0 to 63: its nodes are of level ``8 * level``.
        index: Which one of its level, from 0.
        width: Number of nodes, 1 to 256; less than 256 in a partial tile.
    """

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where its file is."""
        return f"tile/{self.level}/{_number(self.index, self.width)}"

    @property
    def nodes(self) -> list[Node]:
        """The nodes that it has."""
        first = self.index * TILE_WIDTH
        return [Node(self.level * TILE_HEIGHT, first + offset) for offset in range(self.width)]


class Bundle(NamedTuple):
    """The name of a bundle of entries.

    Attributes:
        index: Which one, from 0: its first entry is ``256 * index``.
        width: Number of entries, 1 to 256; less than 256 in a partial bundle.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where its file is."""
        return f"tile/entries/{_number(self.index, self.width)}"

    @property
    def entries(self) -> range:
        """The indices of its entries."""
        first = self.index * TILE_WIDTH
        return range(first, first + self.width)


def parse_path(path: str) -> Tile | Bundle:
    """Reads :attr:`Tile.path` and :attr:`Bundle.path`.

    Args:
        path: Text from anywhere.

    Returns:
        The tile or bundle.

    Raises:
        ProtocolError: ``protocol.malformed`` for any other text.
    """
    match = _PATH.fullmatch(path)
    if match is not None:
        index = int(match["index"].replace("x", "").replace("/", ""))
        width = int(match["width"] or TILE_WIDTH)
        level = match["level"]
        named = Bundle(index, width) if level == "entries" else Tile(int(level), index, width)
        small = index <= _MAX_INDEX and 1 <= width <= TILE_WIDTH
        # Written again: no leading zeroes, no partial tile of full width.
        if small and named.path == path and (isinstance(named, Bundle) or named.level <= _MAX_LEVEL):
            return named
    raise ProtocolError("protocol.malformed", "not the path of a tile")


def tiles_of(size: int) -> Iterator[Tile]:
    """The tiles of a tree, level by level.

    Args:
        size: Number of leaves.

    Yields:
        Each full tile, and the partial one at the end of a level.
    """
    level, width = 0, size
    while width:
        yield from (Tile(level, *part) for part in _parts(width))
        level, width = level + 1, width >> TILE_HEIGHT


def bundles_of(size: int) -> Iterator[Bundle]:
    """The bundles that hold all entries of a log.

    Args:
        size: Number of entries.

    Yields:
        Each full bundle, and the partial one at the end.
    """
    yield from (Bundle(*part) for part in _parts(size))


def encode_tile(tile: Tile, hashes: Hashes) -> bytes:
    """The bytes of a tile.

    Args:
        tile: Which one.
        hashes: The nodes of a tree that has it.

    Returns:
        Its nodes, 32 bytes each.

    Raises:
        AuditError: ``audit.integrity`` if the tree does not have it.
    """
    return b"".join(hashes.read(tile.nodes))


def decode_tile(tile: Tile, data: bytes) -> list[bytes]:
    """Reads what :func:`encode_tile` wrote.

    Args:
        tile: Which one.
        data: Bytes from anywhere.

    Returns:
        The nodes. Nothing is known about them before :func:`check_tiles`, or a proof that they are part of.

    Raises:
        ProtocolError: ``protocol.malformed`` if the length is not the tile's.
    """
    if len(data) != tile.width * HASH_BYTES:
        raise ProtocolError("protocol.malformed", f"{tile.path} does not have {tile.width} hashes")
    return [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """The bytes of a bundle.

    Args:
        leaves: The bytes of its entries, in order, 65535 each at most.

    Returns:
        Each entry after its length.

    Raises:
        ProtocolError: ``protocol.malformed`` if an entry is longer.
    """
    if any(len(leaf) > MAX_ENTRY_BYTES for leaf in leaves):
        raise ProtocolError("protocol.malformed", f"an entry in a bundle has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(leaf).to_bytes(_LENGTH_BYTES) + leaf for leaf in leaves)


def decode_bundle(bundle: Bundle, data: bytes) -> list[bytes]:
    """Reads what :func:`encode_bundle` wrote.

    Args:
        bundle: Which one.
        data: Bytes from anywhere.

    Returns:
        The bytes of the entries. Nothing is known about them before :func:`check_bundle`.

    Raises:
        ProtocolError: ``protocol.malformed`` if it does not have the bundle's number of entries.
    """
    leaves: list[bytes] = []
    start = 0
    for _ in range(bundle.width):
        end = start + _LENGTH_BYTES
        end += int.from_bytes(data[start:end])
        leaves.append(data[start + _LENGTH_BYTES : end])
        start = end
    # A slice past the end is cut short, and only the sum of all lengths tells.
    if start != len(data):
        raise ProtocolError("protocol.malformed", f"{bundle.path} does not have {bundle.width} entries")
    return leaves


def check_bundle(bundle: Bundle, data: bytes, digests: Sequence[bytes]) -> list[bytes]:
    """Checks the entries of a bundle.

    Args:
        bundle: Which one.
        data: Bytes from anywhere.
        digests: The nodes of the tile of level 0 over the same entries, which were checked.

    Returns:
        The bytes of the entries.

    Raises:
        AuditError: ``audit.integrity`` if an entry is another one; its ``entry`` is the first such index.
        ProtocolError: As :func:`decode_bundle`.
    """
    leaves = decode_bundle(bundle, data)
    for index, leaf, digest in zip(bundle.entries, leaves, digests, strict=True):
        if leaf_hash(leaf) != digest:
            raise AuditError("audit.integrity", f"{bundle.path} has another entry {index}", entry=index)
    return leaves


class TileHashes:
    """The nodes of a tree, read from its tiles.

    Nothing is known about them before :func:`check_tiles`; a proof that they lead to, checked against a root
    from a checkpoint, shows for itself.

    Args:
        size: Number of leaves of the tree that the tiles are of.
        read_tile: Gives the bytes of a tile.
    """

    def __init__(self, size: int, read_tile: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._read_tile = read_tile

    def read(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        """See :meth:`hanse.audit.hashes.Hashes.read`; each tile is read once for all nodes.

        Raises:
            AuditError: ``audit.integrity`` if the tree does not have a node.
            ProtocolError: As :func:`decode_tile`.
        """
        needed = {node: self._tile_of(node) for node in nodes}
        tiles = {tile: decode_tile(tile, self._read_tile(tile)) for tile in set(needed.values())}
        return [_node_in(tiles[needed[node]], node) for node in nodes]

    def _tile_of(self, node: Node) -> Tile:
        level, index = node
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise AuditError("audit.integrity", f"no node {index} at level {level} in a tree of {self._size}")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index = (index << height) >> TILE_HEIGHT
        width = (self._size >> tile_level * TILE_HEIGHT) - tile_index * TILE_WIDTH
        return Tile(tile_level, tile_index, min(width, TILE_WIDTH))


def check_tiles(size: int, root: bytes, read_tile: Callable[[Tile], bytes]) -> None:
    """Checks every tile of a tree.

    Args:
        size: Number of leaves.
        root: Root of the tree; both from a checkpoint whose signatures were checked.
        read_tile: Gives the bytes of a tile.

    Raises:
        AuditError: ``audit.integrity`` if a tile is not the tree's; the message names its path.
        ProtocolError: As :func:`decode_tile`.
    """
    read_once = functools.lru_cache(maxsize=16)(read_tile)  # a tile is compared with 256 below it
    hashes = TileHashes(size, read_once)
    # From the top: what is below a tile is compared with a tile that was already found right.
    if root_at(size, hashes) != root:
        raise AuditError("audit.integrity", "the tiles do not lead to the root")
    for tile in reversed(list(tiles_of(size))):
        if tile.width == TILE_WIDTH:
            digests = decode_tile(tile, read_once(tile))
            [above] = hashes.read([Node((tile.level + 1) * TILE_HEIGHT, tile.index)])
            if root_at(TILE_WIDTH, TreeHashes(digests)) != above:
                raise AuditError("audit.integrity", f"{tile.path} is not of this tree")


def _parts(width: int) -> Iterator[tuple[int, int]]:
    """Index and width of the tiles over that many nodes or entries."""
    full, rest = divmod(width, TILE_WIDTH)
    yield from ((index, TILE_WIDTH) for index in range(full))
    if rest:
        yield full, rest


def _node_in(digests: list[bytes], node: Node) -> bytes:
    """A node of one of the 8 levels that a tile stands for."""
    height = node.level % TILE_HEIGHT
    first = (node.index << height) % TILE_WIDTH
    return root_at(1 << height, TreeHashes(digests[first : first + (1 << height)]))


def _number(index: int, width: int) -> str:
    """Index and width as they stand in a path."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups) + ("" if width == TILE_WIDTH else f".p/{width}")
