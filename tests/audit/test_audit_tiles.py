"""Tiles have the names and bytes of the specification, and what is changed in them is seen and named."""

import contextlib
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import Node, TreeHashes, inclusion_proof, root_at
from hanse.audit.tiles import (
    Bundle,
    Tile,
    TileHashes,
    bundles_of,
    check_bundle,
    check_tiles,
    decode_bundle,
    decode_tile,
    encode_bundle,
    encode_tile,
    parse_path,
    tiles_of,
)
from hanse.errors import AuditError, HanseError, ProtocolError

SIZE = 70_000
LEAVES = [b"entry %d" % index for index in range(SIZE)]
TREE = TreeHashes.of_leaves(LEAVES)


def read_from(size: int) -> Callable[[Tile], bytes]:
    """Serves the tiles of a tree of that size, and no others."""
    files = {tile.path: encode_tile(tile, TREE) for tile in tiles_of(size)}
    return lambda tile: files[tile.path]


def test_paths_of_the_specification() -> None:
    # https://c2sp.org/tlog-tiles: the example of an index, and a partial tile.
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Bundle(1234067, 112).path == "tile/entries/x001/x234/067.p/112"
    assert Tile(63, 0, 1).path == "tile/63/000.p/1"


def test_tiles_of_the_specification() -> None:
    """https://c2sp.org/tlog-tiles: 70,000 leaves and 256 leaves."""
    tiles = list(tiles_of(SIZE))
    assert tiles[:273] == [Tile(0, index) for index in range(273)]
    assert tiles[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(bundles_of(SIZE)) == [*(Bundle(index) for index in range(273)), Bundle(273, 112)]
    assert not list(tiles_of(0))
    assert not list(bundles_of(0))


@given(st.integers(0, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_paths_come_back(level: int, index: int, width: int) -> None:
    for named in (Tile(level, index, width), Bundle(index, width)):
        assert parse_path(named.path) == named


@pytest.mark.parametrize(
    "path",
    [
        "", "tile/0", "tile/0/0", "tile/0/00", "tile/0/0000", "/tile/0/000", "tile/0/000/", "tile/64/000",
        "tile/00/000", "tile/-1/000", "tile/0/x000/001", "tile/0/001/001", "tile/0/x1/001", "tile/0/x001",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000.p",
        "tile/data/000", "tile/entries/000.p/x", "tile/0/\u0660\u0660\u0660", "tile/0/000\n", "tile/8/0/000",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
    ],
)  # fmt: skip
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ProtocolError, match=r"protocol\.malformed"):
        parse_path(path)


@given(st.text() | st.from_regex(r"tile/[0-9e]{1,3}/x?[0-9x/]{0,9}(\.p/[0-9]{0,3})?", fullmatch=True))
def test_reading_paths_is_total(path: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse_path(path).path == path


def test_a_tile_is_the_hashes_of_rfc_6962() -> None:
    """In the words of the specification: MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    for tile in (Tile(0, 3), Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)):
        nodes = decode_tile(tile, encode_tile(tile, TREE))
        for i in (0, tile.width - 1):
            first, end = ((tile.index * 256 + at) * 256**tile.level for at in (i, i + 1))
            part = TreeHashes.of_leaves(LEAVES[first:end])
            assert nodes[i] == root_at(end - first, part)
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        encode_tile(Tile(0, 273, 113), TREE)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, SIZE])
def test_proofs_come_from_tiles(size: int) -> None:
    hashes = TileHashes(size, read_from(size))
    assert root_at(size, hashes) == root_at(size, TREE)
    for index in {0, 1, size // 2, size - 1}:
        if index < size:
            assert inclusion_proof(index, size, hashes) == inclusion_proof(index, size, TREE)
    check_tiles(size, root_at(size, TREE), read_from(size))


def test_every_node_comes_from_tiles() -> None:
    size = 700
    hashes = TileHashes(size, read_from(size))
    nodes = [Node(level, index) for level in range(10) for index in range(size >> level)]
    assert hashes.read(nodes) == TREE.read(nodes)
    for missing in (Node(0, size), Node(9, 1), Node(-1, 0), Node(0, -1)):
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            hashes.read([missing])


@pytest.mark.parametrize("size", [3, 300, 66_000])
def test_any_changed_tile_is_named(size: int) -> None:
    root, read = root_at(size, TREE), read_from(size)
    for changed in tiles_of(size):
        if changed.level == 0 and changed.index not in {0, 200, size >> 8}:
            continue
        data = bytearray(read(changed))
        data[-1] ^= 1

        def tampered(tile: Tile, changed: Tile = changed, data: bytes = bytes(data)) -> bytes:
            return data if tile == changed else read(tile)

        with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
            check_tiles(size, root, tampered)
        assert changed.path in str(caught.value) or "root" in str(caught.value)
    with pytest.raises(AuditError, match="root"):
        check_tiles(size, bytes(32), read)
    check_tiles(0, hashlib.sha256(b"").digest(), read)


def test_tiles_of_another_length_are_refused() -> None:
    for data in (b"", bytes(31), bytes(33), bytes(64)):
        with pytest.raises(ProtocolError, match="tile/0/000"):
            decode_tile(Tile(0, 0, 1), data)


def test_bundles_are_lengths_and_entries() -> None:
    """https://c2sp.org/tlog-tiles, log entries: "big-endian uint16 length-prefixed log entries"."""
    assert encode_bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    assert encode_bundle([bytes(65_535)])[:2] == b"\xff\xff"
    with pytest.raises(ProtocolError, match="65535"):
        encode_bundle([bytes(65_536)])


@given(st.lists(st.binary(), min_size=1, max_size=256))
def test_bundles_come_back(leaves: list[bytes]) -> None:
    assert decode_bundle(Bundle(0, len(leaves)), encode_bundle(leaves)) == leaves


@given(st.integers(1, 256), st.binary())
def test_reading_bundles_is_total_and_has_one_form(width: int, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        leaves = decode_bundle(Bundle(0, width), data)
        assert len(leaves) == width
        assert encode_bundle(leaves) == data


def test_every_changed_bit_of_a_bundle_names_the_entry() -> None:
    bundle = Bundle(273, 112)
    leaves, digests = (
        LEAVES[273 * 256 :],
        decode_tile(Tile(0, 273, 112), encode_tile(Tile(0, 273, 112), TREE)),
    )
    data = encode_bundle(leaves)
    assert check_bundle(bundle, data, digests) == leaves
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(HanseError) as caught:
            check_bundle(bundle, bytes(changed), digests)
        if isinstance(caught.value, AuditError):
            assert caught.value.entry == next(
                index
                for index, leaf in zip(bundle.entries, decode_bundle(bundle, bytes(changed)), strict=True)
                if leaf != LEAVES[index]
            )
