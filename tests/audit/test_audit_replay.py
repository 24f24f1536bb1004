"""A log is replayed many entries at a time; here is the same, one entry after the other."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.audit import Actor, Event, EventType, Frontier, replay
from hanse.audit.entry import Frame, format_time, write_entry
from hanse.audit.replay import Replay
from hanse.audit.store import CHUNK_ENTRIES, Piece
from hanse.crypto import SigningKey
from hanse.errors import AuditError
from hanse.pieces import summary
from hanse.pieces.ends import read_ends

KEY = SigningKey("brand.example/log", bytes(32))
ACTORS = [Actor(organisation=f'A "{name}"', key_id="00c0ffee", role="member").canonical() for name in "ab"]
EVENTS = [
    Event(type=EventType.RUN_STARTED),
    Event(type=EventType.ROUND_ADMITTED, subject_set_root="ab" * 32, subject_set_size=7, subject_epoch=1),
    Event(type=EventType.ROUND_TRAINED, statement_signature="A" * 86 + "=="),
    Event(type=EventType.LOG_KEY_ROTATED, new_key=KEY.verifier.encode()),
    Event(type=EventType.LOG_KEY_ROTATED),  # names no key
]
START = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AT_THE_END: list[Callable[[bytes], bytes]] = [
    lambda data: b"?" + data,
    lambda data: data.replace(b'"actor"', b'"factor"'),
    lambda data: data.rpartition(b',"seq":')[2],
]
AT_THE_END: list[Callable[[bytes], bytes]] = [
    lambda data: data + b"\n",
    lambda data: data.replace(b',"time"', b',\n"time"'),
    lambda data: data.replace(b'"time":"2', b'"time":"x'),
    lambda data: data.replace(b'"seq":', b'"seq":0'),
    lambda data: data.replace(b',"time"', b',"s_x":"\\","time"'),
    lambda data: data.replace(b',"time"', b',"s_x":"a\nb","time"'),
    lambda data: data.replace(b',"time"', b',"s_x":{"seq":1},"time"'),
    lambda _: b"",
]
CHANGES = [*NOT_AT_THE_END, *AT_THE_END]
FAULTS = 5 + len(CHANGES)


def log_of(faults: Sequence[int], actors: Sequence[str]) -> list[bytes]:
    """Entries of the actors by turns; 0 is as a writer makes it, anything else is a fault."""
    written, leaves, at = dict.fromkeys(actors, 0), [], START
    for place, fault in enumerate(faults):
        actor = actors[place % len(actors)]
        at += timedelta(milliseconds=-1 if fault == 1 else place % 2)
        event = EVENTS[fault] if fault in {3, 4} else EVENTS[place % 3]
        data = write_entry(event, Frame(actor, written[actor] + (fault == 2), format_time(at)))
        leaves.append(CHANGES[fault - 5](data) if fault >= 5 else data)
        written[actor] += 1
    return leaves


def pieces_of(leaves: Sequence[bytes], count: int) -> list[Piece]:
    """The log in pieces, with the right hashes."""
    tree = Frontier()
    beside = [tree.append(leaf) for leaf in leaves]
    return [
        Piece(first, tuple(leaves[first : first + count]), tuple(beside[first : first + count]))
        for first in range(0, len(leaves), count)
    ]


def outcome(leaves: Sequence[bytes], count: int, monkeypatch: pytest.MonkeyPatch) -> object:
    """What is known after a log in pieces of so many entries, or what was wrong."""
    for module in (replay, summary):
        monkeypatch.setattr(module, "CHUNK_ENTRIES", count)
    state = Replay(detailed=False)
    try:
        for piece in pieces_of(leaves, count):
            state.take(piece)
    except AuditError as error:
        return error.entry, str(error)
    return state.tree, state.last_time, state.sequences, state.last_entries, state.rotations


@pytest.mark.parametrize("actors", [ACTORS[:1], ACTORS])
@pytest.mark.parametrize("first", range(FAULTS))
def test_many_at_a_time_find_what_one_by_one_finds(
    first: int, actors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault alone and with each other one, in each place, in one piece and in two."""
    for second in range(FAULTS):
        for faults in ((0, first, 0, second), (first, second, 0, 0)):
            leaves = log_of(faults, actors)
            one_by_one = outcome(leaves, 1, monkeypatch)
            assert outcome(leaves, 2, monkeypatch) == one_by_one
            assert outcome(leaves, 4, monkeypatch) == one_by_one


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b'"', b"5,", b""]), max_size=4))
def test_reading_ends_is_total(noise: Sequence[bytes]) -> None:
    good = write_entry(EVENTS[1], Frame(ACTORS[0], 5, format_time(START)))
    texts = [good, *noise, *(good + data for data in noise), *(data + good for data in noise)]
    ends = read_ends(texts)
    assert ends == [read_ends([data])[0] for data in texts]
    assert ends[0] == (b"5", format_time(START).encode(), b"round.admitted")


def test_an_end_has_one_form() -> None:
    good = [write_entry(event, Frame(ACTORS[0], 5, format_time(START))) for event in EVENTS]
    assert None not in read_ends(good)
    for data in good:
        assert None not in read_ends([change(data) for change in NOT_AT_THE_END])
        for change in AT_THE_END:
            assert read_ends([data, change(data), data])[1] is None


@pytest.mark.parametrize("rest", [1, 2, 3, 255, 256, 257, 1_023, CHUNK_ENTRIES - 1])
def test_pieces_make_the_tree_that_leaves_make(rest: int) -> None:
    tree, state = Frontier(), Replay(detailed=False)
    leaves = [
        write_entry(EVENTS[0], Frame(ACTORS[0], seq, format_time(START)))
        for seq in range(CHUNK_ENTRIES + rest)
    ]
    for piece in pieces_of(leaves, CHUNK_ENTRIES):
        state.take(piece)
        for leaf in piece.data:
            tree.append(leaf)
        assert state.tree == tree


def test_the_first_hash_that_differs_is_named() -> None:
    leaves = [write_entry(EVENTS[0], Frame(ACTORS[0], seq, format_time(START))) for seq in range(6)]
    (right,) = pieces_of(leaves, CHUNK_ENTRIES)
    for place, wrong, what in (
        (2, bytes(32), "its leaf hash"),
        (3, right.hashes[3][:-1] + b"x", "the tree"),
        (5, right.hashes[5] + bytes(32), "the tree"),
    ):
        hashes = (*right.hashes[:place], wrong, *right.hashes[place + 1 :])
        with pytest.raises(AuditError, match=f"entry {place} .* {what}"):
            Replay(detailed=False).take(right._replace(hashes=hashes))


def test_the_type_of_an_entry_that_changes_the_key() -> None:
    assert EventType.LOG_KEY_ROTATED.value.encode() == summary.ROTATED
