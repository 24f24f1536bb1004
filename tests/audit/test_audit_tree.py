"""Roots and proofs against published vectors, an independent implementation, and all small trees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales.tlog import ConsistencyProof, InclusionProof

from hanse.audit import (
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    root_hash,
)
from hanse.errors import AuditError, ProtocolError

# Leaves, roots and proofs of the reference implementation of RFC 6962:
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


@pytest.mark.parametrize("case", CT_INCLUSION)
def test_published_inclusion_proofs(case: tuple[int, int]) -> None:
    index, size = case
    assert [digest.hex() for digest in prove_inclusion(CT_LEAVES[:size], index)] == CT_INCLUSION[case]


@pytest.mark.parametrize("case", CT_CONSISTENCY)
def test_published_consistency_proofs(case: tuple[int, int]) -> None:
    old, size = case
    assert [digest.hex() for digest in prove_consistency(CT_LEAVES[:size], old)] == CT_CONSISTENCY[case]


def test_frontier_has_every_root_and_copies_are_independent() -> None:
    frontier = Frontier()
    for size, leaf in enumerate(LEAVES):
        assert (frontier.size, frontier.root()) == (size, ROOTS[size])
        branch = frontier.copy()
        branch.append(b"another")
        assert frontier.append(leaf) == leaf_hash(leaf)
    assert frontier.root() == ROOTS[ALL_SIZES]


def test_every_inclusion_proof_of_every_tree() -> None:
    for size in range(1, ALL_SIZES + 1):
        for index in range(size):
            proof = prove_inclusion(LEAVES[:size], index)
            assert len(proof) <= (size - 1).bit_length()
            check_inclusion(LEAVES[index], index, size, ROOTS[size], proof)
            InclusionProof(index, size, list(proof)).check(leaf_hash(LEAVES[index]), ROOTS[size])
            bad: list[tuple[bytes, int, bytes, tuple[bytes, ...]]] = [
                (b"other", index, ROOTS[size], proof),
                (LEAVES[index], index, ROOTS[size - 1], proof),
                (LEAVES[index], index, ROOTS[size], (*proof, bytes(32))),
            ]
            if proof:
                bad.append((LEAVES[index], index, ROOTS[size], proof[:-1]))
                bad.append((LEAVES[index], index ^ 1, ROOTS[size], proof))
            for leaf, where, root, steps in bad:
                with pytest.raises(AuditError, match=r"audit\.integrity"):
                    check_inclusion(leaf, where, size, root, steps)


def test_every_consistency_proof_of_every_tree() -> None:
    for size in range(ALL_SIZES + 1):
        for old in range(size + 1):
            proof = prove_consistency(LEAVES[:size], old)
            check_consistency(old, ROOTS[old], size, ROOTS[size], proof)
            if old:
                ConsistencyProof(old, size, list(proof)).check(ROOTS[old], ROOTS[size])
            bad = [
                (old, bytes(32), ROOTS[size], proof),
                (old, ROOTS[old], bytes(32), proof),
                (old, ROOTS[old], ROOTS[size], (*proof, bytes(32))),
                (size + 1, ROOTS[old], ROOTS[size], proof),
            ]
            if proof:
                bad.append((old, ROOTS[old], ROOTS[size], proof[:-1]))
                bad.append((old, ROOTS[old], ROOTS[size], (proof[0][:-1], *proof[1:])))
            for old_size, old_root, root, steps in bad:
                if old == 0 and steps == () and root == bytes(32) and size:
                    continue  # an empty tree is extended by any tree: there is nothing to prove
                with pytest.raises(AuditError, match=r"audit\.integrity"):
                    check_consistency(old_size, old_root, size, root, steps)


HASHES = st.binary(min_size=32, max_size=32)


@given(st.integers(-1, 70), st.integers(-1, 70), HASHES, st.lists(HASHES | st.binary(max_size=3), max_size=9))
def test_checks_are_total(first: int, size: int, root: bytes, proof: list[bytes]) -> None:
    """Nothing made up is believed, and no shape of a proof makes a check fail in another way."""
    with pytest.raises(AuditError):
        check_inclusion(b"leaf", first, size, root, proof)
    if first != 0 or proof:
        with pytest.raises(AuditError):
            check_consistency(first, root, size, node_hash(root, root), proof)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index in (-1, 3):
        with pytest.raises(ProtocolError, match="no leaf"):
            prove_inclusion(LEAVES[:3], index)
    for old in (-1, 4):
        with pytest.raises(ProtocolError, match="no tree"):
            prove_consistency(LEAVES[:3], old)


def test_the_root_of_a_part_is_not_the_root() -> None:
    """A proof that stops early leads to a hash inside the tree; a tree of that root has another size."""
    with pytest.raises(AuditError, match="does not lead to the root"):
        check_inclusion(LEAVES[0], 0, 2, leaf_hash(LEAVES[0]), ())
    with pytest.raises(AuditError, match="does not lead to the root"):
        check_inclusion(LEAVES[0], 0, 4, ROOTS[2], prove_inclusion(LEAVES[:2], 0))


def test_a_leaf_is_never_an_inner_node() -> None:
    """Second preimage: the two children of a root, taken as one leaf, give another root (RFC 6962, 2.1)."""
    left, right = leaf_hash(LEAVES[0]), leaf_hash(LEAVES[1])
    assert root_hash([left + right]) != root_hash(LEAVES[:2]) == node_hash(left, right)
