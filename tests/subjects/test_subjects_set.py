"""Sets of tags: right about everybody, and no proof of a gap that is none."""

import hashlib
import hmac
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import leaf_hash, root_hash
from hanse.audit.hashes import TreeHashes, inclusion_proof
from hanse.audit.subject_set import (
    Epoch,
    InclusionProof,
    Neighbour,
    NonInclusionProof,
    SubjectProof,
    SubjectSet,
    check_proof,
    check_set,
    check_together,
    encode_proof,
    parse_proof,
    subject_tag,
    subject_tags,
)
from hanse.errors import AuditError, HanseError, ProtocolError

BYTES_32 = st.binary(min_size=32, max_size=32)
EPOCH = Epoch("ab" * 32, "run-1", 1)


def tag(number: int) -> bytes:
    """Tag number 0, 1, 2, …: in order, with room for one between any two."""
    return (2 * number).to_bytes(32, "big")


def gap(number: int) -> bytes:
    """Between the tags ``number - 1`` and ``number``."""
    return (2 * number - 1).to_bytes(32, "big") if number else b""


def refuses(proof: SubjectProof, about: bytes, root: bytes, size: int) -> None:
    with pytest.raises(AuditError) as caught:
        check_proof(proof, about, root, size)
    assert caught.value.code == "audit.subject-proof"


def test_a_tag_is_the_hmac_of_the_epoch() -> None:
    secret = bytes(range(32))
    text = b"hanse/subject-tag/v1\0" + b"\0\0\0\x40" + b"ab" * 32 + b"\0\0\0\x05run-1"
    text += b"\0\0\0\x08" + (1).to_bytes(8, "big")
    assert subject_tag(secret, EPOCH) == hmac.digest(secret, text, hashlib.sha256)


@given(
    st.binary(min_size=32, max_size=32), st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**64 - 1)
)
def test_tags_agree_with_the_library(secret: bytes, agreement: str, run: str, number: int) -> None:
    parts = (agreement.encode(), run.encode(), number.to_bytes(8, "big"))
    text = b"hanse/subject-tag/v1\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert subject_tag(secret, Epoch(agreement, run, number)) == hmac.digest(secret, text, "sha256")


def test_tags_differ_by_secret_agreement_run_and_epoch_and_by_nothing_else() -> None:
    one, two = bytes(32), bytes(31) + b"\1"
    epochs = [EPOCH, Epoch("a", "brun-1", 1), Epoch("ab", "run-1", 1), Epoch("a", "run-1", 2)]
    tags = [tag for epoch in epochs for tag in subject_tags([one, two], epoch)]
    assert len(set(tags)) == 8
    assert subject_tags([two, one], EPOCH) == subject_tags([one, two], EPOCH)[::-1]


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_secret_has_32_bytes(secret: bytes) -> None:
    with pytest.raises(ProtocolError):
        subject_tag(secret, EPOCH)


def test_a_set_has_the_tree_of_its_sorted_tags() -> None:
    for size in range(40):
        tags = [tag(number) for number in range(size)]
        made = SubjectSet(reversed(tags))
        assert (made.root, len(made), list(made.tags)) == (root_hash(tags), size, tags)


def test_all_sets_to_40_prove_every_member_and_every_gap() -> None:
    for size in range(40):
        made = SubjectSet(tag(number) for number in range(size))
        for number in range(size):
            proof = parse_proof(encode_proof(made.prove(tag(number))))
            assert check_proof(proof, tag(number), made.root, size)
        for number in range(size + 1):
            between = gap(number) or None
            if between is None:
                continue  # nothing is smaller than the smallest tag of all
            proof = parse_proof(encode_proof(made.prove(between)))
            assert isinstance(proof, NonInclusionProof)
            assert not check_proof(proof, between, made.root, size)


def test_the_ends_and_the_empty_set() -> None:
    empty = SubjectSet([])
    proof = empty.prove(tag(5))
    assert proof == NonInclusionProof(0, 0, None, None)
    assert check_proof(parse_proof(encode_proof(proof)), tag(5), empty.root, 0) is False
    refuses(proof, tag(5), bytes(32), 0)
    made = SubjectSet([tag(1), tag(2)])
    first, last = made.prove(tag(0)), made.prove(tag(3))
    assert isinstance(first, NonInclusionProof)
    assert isinstance(last, NonInclusionProof)
    assert (first.before, last.after) == (None, None)
    assert not check_proof(first, tag(0), made.root, 2)
    assert not check_proof(last, tag(3), made.root, 2)


def test_tags_that_are_no_set_are_refused() -> None:
    for tags in ([tag(1), tag(1)], [b"short"], [bytes(33)]):
        with pytest.raises(ProtocolError):
            SubjectSet(tags)
    with pytest.raises(AuditError, match="sorted"):
        check_set([tag(2), tag(1)], SubjectSet([tag(1), tag(2)]).root, 2)


@pytest.fixture(scope="module")
def made() -> SubjectSet:
    return SubjectSet(tag(number) for number in range(13))


def leaf(made: SubjectSet, number: int) -> Neighbour:
    proof = made.prove(tag(number))
    assert isinstance(proof, InclusionProof)
    return Neighbour(tag(number), proof.path)


def test_neighbours_that_are_not_adjacent_hide_nobody(made: SubjectSet) -> None:
    """For several in the set, every pair of leaves, at every claimed place."""
    for hidden in (1, 6, 11):
        for left, right in combinations(range(13), 2):
            for place in range(14):
                forged = NonInclusionProof(13, place, leaf(made, left), leaf(made, right))
                refuses(forged, tag(hidden), made.root, 13)


def test_other_forgeries_of_a_gap_are_refused(made: SubjectSet) -> None:
    about = gap(5)
    right = made.prove(about)
    assert isinstance(right, NonInclusionProof)
    before, after = right.before, right.after
    assert before is not None
    assert after is not None
    forgeries = [
        right._replace(before=after, after=before),
        right._replace(before=after),
        right._replace(after=before),
        right._replace(before=None),
        right._replace(after=None),
        right._replace(before=None, after=None),
        right._replace(place=0, before=None),
        right._replace(place=13, after=None),
        right._replace(place=4),
        right._replace(place=-1),
        right._replace(place=14),
        right._replace(size=12),
        right._replace(before=before._replace(tag=tag(3))),
        right._replace(before=before._replace(path=before.path[:-1])),
        right._replace(after=after._replace(path=(*after.path, bytes(32)))),
        right._replace(after=after._replace(tag=b"\xff")),
    ]
    for forged in forgeries:
        refuses(forged, about, made.root, 13)
    refuses(right, tag(4), made.root, 13)  # the neighbours themselves are in the set
    refuses(right, tag(5), made.root, 13)
    refuses(right, gap(6), made.root, 13)
    refuses(right, about, made.root, 12)
    refuses(right, about, SubjectSet([tag(1)]).root, 13)
    refuses(right, about[:31], made.root, 13)


def test_forgeries_of_an_inclusion_are_refused(made: SubjectSet) -> None:
    right = made.prove(tag(6))
    assert isinstance(right, InclusionProof)
    for forged in (
        right._replace(place=5),
        right._replace(place=13),
        right._replace(place=-1),
        right._replace(size=14),
        right._replace(path=right.path[::-1]),
        right._replace(path=()),
    ):
        refuses(forged, tag(6), made.root, 13)
    refuses(right, tag(7), made.root, 13)
    refuses(right, gap(6), made.root, 13)


def unsorted(order: list[int]) -> tuple[list[bytes], TreeHashes, bytes]:
    """A member that puts tags where they do not belong."""
    tags = [tag(number) for number in order]
    return tags, TreeHashes(leaf_hash(item) for item in tags), root_hash(tags)


def test_what_one_proof_cannot_tell_several_can_and_the_whole_set_does() -> None:
    tags, hashes, root = unsorted([0, 1, 4, 5, 6, 7, 2])

    def shown(place: int) -> Neighbour:
        return Neighbour(tags[place], inclusion_proof(place, 7, hashes))

    denied = NonInclusionProof(7, 2, shown(1), shown(2))
    assert check_proof(denied, tag(2), root, 7) is False  # in the set, at its end: one proof cannot tell
    elsewhere = InclusionProof(7, 6, shown(6).path)
    at_the_end = NonInclusionProof(7, 6, shown(5), None)
    for other, about in ((elsewhere, tag(2)), (at_the_end._replace(place=7, before=shown(6)), gap(4))):
        assert check_proof(other, about, root, 7) in (True, False)
        with pytest.raises(AuditError, match="out of order"):
            check_together([(denied, tag(2)), (other, about)], root, 7)
    refuses(at_the_end, gap(9), root, 7)  # a gap at the end must be shown at the end
    with pytest.raises(AuditError, match="sorted"):
        check_set(tags, root, 7)


def test_proofs_of_an_honest_set_agree(made: SubjectSet) -> None:
    asked = [tag(number) for number in range(13)] + [gap(number) for number in range(1, 14)]
    check_together([(made.prove(item), item) for item in asked], made.root, 13)
    assert check_set(made.tags, made.root, 13).root == made.root
    for tags, size in ((made.tags, 12), (made.tags[1:], 12), (made.tags[1:], 13)):
        with pytest.raises(AuditError):
            check_set(tags, made.root, size)


@given(st.sets(BYTES_32, max_size=50), BYTES_32)
def test_proofs_say_what_is_so(tags: set[bytes], about: bytes) -> None:
    made = SubjectSet(tags)
    for asked in (about, *tags):
        data = encode_proof(made.prove(asked))
        assert check_proof(parse_proof(data), asked, made.root, len(tags)) is (asked in tags)


@given(st.binary(max_size=300))
def test_parsing_is_total(data: bytes) -> None:
    try:
        parsed = parse_proof(data)
    except ProtocolError:
        return
    assert encode_proof(parsed) == data


@given(st.integers(0, 20), st.booleans(), st.integers(0, 800), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_proves_nothing_else(
    number: int, included: bool, position: int, change: int
) -> None:
    made = SubjectSet(tag(n) for n in range(21))
    about = tag(number) if included else gap(number + 1)
    data = bytearray(encode_proof(made.prove(about)))
    data[position % len(data)] ^= change
    with pytest.raises(HanseError):
        check_proof(parse_proof(bytes(data)), about, made.root, 21)


def test_sizes_at_a_million() -> None:
    """Sizes follow from the form alone: a path of a million has 20 hashes at most."""
    path = (bytes(32),) * 20
    assert len(encode_proof(InclusionProof(1_000_000, 0, path))) == 657
    neighbour = Neighbour(tag(1), path)
    assert len(encode_proof(NonInclusionProof(1_000_000, 5, neighbour, neighbour))) == 1361
    with pytest.raises(ProtocolError):
        parse_proof(encode_proof(InclusionProof(1_000_000, 0, path[1:])))
