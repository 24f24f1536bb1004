"""Proofs from nodes: published vectors, RFC 6962 word by word, another implementation, all small trees."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales.tlog import ConsistencyProof, InclusionProof

from hanse.audit import (
    Node,
    TreeHashes,
    check_consistency,
    check_hash_inclusion,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    root_hash,
)
from hanse.errors import AuditError, ProtocolError

# Leaves and proofs of the reference implementation of RFC 6962: google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc (the same as in transparency-dev/merkle, testonly/constants.go). Leaf
# numbers are from 0 here.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CT_CONSISTENCY: dict[tuple[int, int], list[str]] = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

ALL_SIZES = 64
LEAVES = [b"leaf %d" % index for index in range(ALL_SIZES)]
TREE = TreeHashes.of_leaves(LEAVES)
SIZES_WITH_EVERY_BIT = 9  # in every run; all sizes in the slow one


# RFC 6962, section 2.1, word by word: MTH, PATH and SUBPROOF over a list of leaves.


def split(leaves: Sequence[bytes]) -> int:
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return k


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaf_hash(leaves[0]) if leaves else root_hash([])
    k = split(leaves)
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(leaves)
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(leaves)
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], whole=False), naive_root(leaves[:k])]


ROOTS = [naive_root(LEAVES[:size]) for size in range(ALL_SIZES + 1)]


# All against all is the fourth power of the size; the small trees have all shapes already.
every_size = pytest.mark.parametrize(
    "sizes", [range(1, 25), pytest.param(range(25, ALL_SIZES + 1), marks=pytest.mark.slow)], ids=str
)


def refused(check: Callable[..., None], *arguments: object) -> bool:
    """Whether a check fails as it should; cheaper than a context, of which there would be a million."""
    try:
        check(*arguments)
    except AuditError as error:
        return error.code == "audit.integrity"
    return False


def bit_flips(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The proof with each single bit of it changed."""
    for step, digest in enumerate(proof):
        for bit in range(8 * len(digest)):
            changed = (int.from_bytes(digest) ^ 1 << bit).to_bytes(len(digest))
            yield [*proof[:step], changed, *proof[step + 1 :]]


def shape(index: int, size: int) -> list[bool]:
    """On which side each hash of a path is: what of index and size a proof depends on."""
    first, end, sides = 0, size, []
    while end - first > 1:
        k = split(range(end - first))  # type: ignore[arg-type]  # only its length counts
        sides.append(index < first + k)
        first, end = (first, first + k) if index < first + k else (first + k, end)
    return sides


@pytest.mark.parametrize("case", CT_INCLUSION)
def test_published_inclusion_proofs(case: tuple[int, int]) -> None:
    proof = inclusion_proof(*case, TreeHashes.of_leaves(CT_LEAVES))
    assert [digest.hex() for digest in proof] == CT_INCLUSION[case]


@pytest.mark.parametrize("case", CT_CONSISTENCY)
def test_published_consistency_proofs(case: tuple[int, int]) -> None:
    proof = consistency_proof(*case, TreeHashes.of_leaves(CT_LEAVES))
    assert [digest.hex() for digest in proof] == CT_CONSISTENCY[case]


def test_every_root() -> None:
    for size in range(ALL_SIZES + 1):
        assert root_at(size, TREE) == ROOTS[size]
        assert root_at(size, TreeHashes(map(leaf_hash, LEAVES[:size]))) == ROOTS[size]


def test_every_inclusion_proof_of_every_tree() -> None:
    """From the nodes of a larger tree too: what is complete does not change."""
    for size in range(1, ALL_SIZES + 1):
        for index in range(size):
            leaf, root = LEAVES[index], ROOTS[size]
            proof = inclusion_proof(index, size, TREE)
            assert list(proof) == naive_path(index, LEAVES[:size])
            check_inclusion(leaf, index, size, root, proof)
            check_hash_inclusion(leaf_hash(leaf), index, size, root, proof)
            InclusionProof(index, size, list(proof)).check(leaf_hash(leaf), root)
            others = [at for at in range(-1, size + 2) if at != index]
            assert all(refused(check_inclusion, leaf, at, size, root, proof) for at in others)
            assert refused(check_inclusion, b"other", index, size, root, proof)
            assert refused(check_inclusion, leaf, index, size, root, [*proof, bytes(32)])
            assert all(
                refused(check_inclusion, leaf, index, size, root, proof[:length])
                for length in range(len(proof))
            )


@every_size
def test_every_wrong_size_of_an_inclusion_proof(sizes: range) -> None:
    """Refused with the root of that size; with a foreign root, unless the path has the same shape."""
    for size in sizes:
        for index in range(size):
            leaf, proof = LEAVES[index], inclusion_proof(index, size, TREE)
            for wrong in set(range(ALL_SIZES + 1)) - {size}:
                assert refused(check_inclusion, leaf, index, wrong, ROOTS[wrong], proof)
                same = index < wrong and shape(index, wrong) == shape(index, size)
                assert refused(check_inclusion, leaf, index, wrong, ROOTS[size], proof) != same


def test_every_consistency_proof_of_every_tree() -> None:
    for size in range(ALL_SIZES + 1):
        for old in range(size + 1):
            proof, old_root, root = consistency_proof(old, size, TREE), ROOTS[old], ROOTS[size]
            assert list(proof) == (naive_subproof(old, LEAVES[:size]) if old else [])
            check_consistency(old, old_root, size, root, proof)
            if old:
                ConsistencyProof(old, size, list(proof)).check(old_root, root)
            assert refused(check_consistency, old, bytes(32), size, root, proof)
            assert refused(check_consistency, old, old_root, size, root, [*proof, bytes(32)])
            # An empty tree is extended by any tree: there is nothing to prove.
            assert refused(check_consistency, old, old_root, size, bytes(32), proof) == (old > 0 or size == 0)
            assert all(
                refused(check_consistency, old, old_root, size, root, proof[:length])
                for length in range(len(proof))
            )


@every_size
def test_every_wrong_size_of_a_consistency_proof(sizes: range) -> None:
    for size in sizes:
        for old in range(1, size + 1):
            proof = consistency_proof(old, size, TREE)
            for wrong in set(range(1, ALL_SIZES + 1)) - {size}:
                assert refused(check_consistency, old, ROOTS[old], wrong, ROOTS[wrong], proof)
            for wrong in set(range(1, size + 2)) - {old}:
                at = ROOTS[min(wrong, ALL_SIZES)]
                assert refused(check_consistency, wrong, at, size, ROOTS[size], proof)
                assert refused(check_consistency, wrong, ROOTS[old], size, ROOTS[size], proof)


def check_every_bit(sizes: range) -> None:
    for size in sizes:
        for index in range(size):
            for changed in bit_flips(inclusion_proof(index, size, TREE)):
                assert refused(check_inclusion, LEAVES[index], index, size, ROOTS[size], changed)
        for old in range(1, size):
            for changed in bit_flips(consistency_proof(old, size, TREE)):
                assert refused(check_consistency, old, ROOTS[old], size, ROOTS[size], changed)


def test_every_changed_bit() -> None:
    check_every_bit(range(1, SIZES_WITH_EVERY_BIT + 1))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(SIZES_WITH_EVERY_BIT + 1, ALL_SIZES + 1, 4))
def test_every_changed_bit_of_larger_trees(first: int) -> None:
    check_every_bit(range(first, min(first + 4, ALL_SIZES + 1)))


def test_every_changed_bit_of_roots_and_leaf() -> None:
    proof, root, old = inclusion_proof(20, 37, TREE), ROOTS[37], consistency_proof(21, 37, TREE)
    for [changed] in bit_flips([root]):
        assert refused(check_inclusion, LEAVES[20], 20, 37, changed, proof)
        assert refused(check_consistency, 21, ROOTS[21], 37, changed, old)
    for [changed] in bit_flips([LEAVES[20]]):
        assert refused(check_inclusion, changed, 20, 37, root, proof)
    for [changed] in bit_flips([ROOTS[21]]):
        assert refused(check_consistency, 21, changed, 37, root, old)


class Counting:
    """Tells how many nodes are read, and in how many reads."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    def read(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        self.reads.append(len(nodes))
        return [bytes([node.level]) * 32 for node in nodes]


@given(st.integers(1, 2**40), st.data())
def test_a_proof_costs_one_read_of_few_nodes(size: int, data: st.DataObject) -> None:
    counting, bound = Counting(), 2 * size.bit_length()
    inclusion_proof(data.draw(st.integers(0, size - 1)), size, counting)
    consistency_proof(data.draw(st.integers(1, size)), size, counting)
    root_at(size, counting)
    assert len(counting.reads) == 3
    assert all(count <= bound for count in counting.reads)


def test_nodes_are_the_roots_of_their_leaves() -> None:
    for level in range(7):
        for index in range(ALL_SIZES >> level):
            first, end = index << level, (index + 1) << level
            assert TREE.read([Node(level, index)]) == [naive_root(LEAVES[first:end])]
    assert TREE.read([]) == []
    assert TREE.size == ALL_SIZES


@pytest.mark.parametrize(
    "node", [Node(0, 64), Node(6, 1), Node(7, 0), Node(0, -1), Node(-1, 0), Node(900, 0)]
)
def test_missing_nodes_are_reported(node: Node) -> None:
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        TREE.read([Node(0, 0), node])


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ProtocolError, match="no leaf"):
            inclusion_proof(index, size, TREE)
    for old in (-1, 4):
        with pytest.raises(ProtocolError, match="no tree"):
            consistency_proof(old, 3, TREE)
    with pytest.raises(ProtocolError, match="no tree"):
        root_at(-1, TREE)
    for beyond in (lambda: root_at(65, TREE), lambda: inclusion_proof(3, 65, TREE)):
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            beyond()
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        consistency_proof(3, 65, TREE)


def test_leaf_hashes_have_32_bytes() -> None:
    with pytest.raises(ProtocolError, match="32 bytes"):
        TreeHashes([bytes(32), bytes(31), bytes(33)])
