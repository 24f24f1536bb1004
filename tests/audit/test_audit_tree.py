"""Roots against published vectors, and checks of proofs that believe nothing made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import (
    Frontier,
    check_consistency,
    check_hash_inclusion,
    check_inclusion,
    leaf_hash,
    node_hash,
    root_hash,
)
from hanse.errors import AuditError

# Leaves and roots of the reference implementation of RFC 6962:
# google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc (the same as in transparency-dev/merkle,
# testonly/constants.go). Leaf numbers are from 0 here.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

ALL_SIZES = 64
LEAVES = [b"leaf %d" % index for index in range(ALL_SIZES)]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if len(leaves) <= 1:
        return leaf_hash(leaves[0]) if leaves else bytes.fromhex(CT_ROOTS[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


ROOTS = [naive_root(LEAVES[:size]) for size in range(ALL_SIZES + 1)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root_hash(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


def test_frontier_has_every_root_and_copies_are_independent() -> None:
    frontier = Frontier()
    for size, leaf in enumerate(LEAVES):
        assert (frontier.size, frontier.root()) == (size, ROOTS[size])
        branch = frontier.copy()
        branch.append(b"another")
        assert frontier.append(leaf)[:32] == leaf_hash(leaf)
    assert frontier.root() == ROOTS[ALL_SIZES]


HASHES = st.binary(min_size=32, max_size=32)


@given(st.integers(-1, 70), st.integers(-1, 70), HASHES, st.lists(HASHES | st.binary(max_size=3), max_size=9))
def test_checks_are_total(first: int, size: int, root: bytes, proof: list[bytes]) -> None:
    """Nothing made up is believed, and no shape of a proof makes a check fail in another way."""
    with pytest.raises(AuditError):
        check_inclusion(b"leaf", first, size, root, proof)
    with pytest.raises(AuditError):
        check_hash_inclusion(root, first, size, node_hash(root, root), [*proof, bytes(31)])
    if first != 0 or proof:
        with pytest.raises(AuditError):
            check_consistency(first, root, size, node_hash(root, root), proof)


def test_the_root_of_a_part_is_not_the_root() -> None:
    """A proof that stops early leads to a hash inside the tree; a tree of that root has another size."""
    with pytest.raises(AuditError, match="does not lead to the root"):
        check_inclusion(LEAVES[0], 0, 2, leaf_hash(LEAVES[0]), ())
    with pytest.raises(AuditError, match="does not lead to the root"):
        check_inclusion(LEAVES[0], 0, 4, ROOTS[2], (leaf_hash(LEAVES[1]),))


def test_a_leaf_is_never_an_inner_node() -> None:
    """Second preimage: the two children of a root, taken as one leaf, give another root (RFC 6962, 2.1)."""
    left, right = leaf_hash(LEAVES[0]), leaf_hash(LEAVES[1])
    assert root_hash([left + right]) != root_hash(LEAVES[:2]) == node_hash(left, right)
