"""Whatever is done to a log file is found, and the entry is named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.audit import Actor, AuditLog, Event, EventType, verify_log
from hanse.audit.entry import Entry
from hanse.audit.replay import Replay, format_entry, format_header, format_seal
from hanse.crypto import SigningKey, add_signature
from hanse.errors import AuditError, IdentityError, ProtocolError

NewLog = Callable[[], AuditLog]
ORIGIN = "brand.example/log"
COMMITS = (1, 2)


@dataclass(frozen=True)
class Sample:
    """A log of two commits, and for each byte the entries that a change of it may be put down to."""

    folder: Path
    data: bytes
    blame: tuple[frozenset[int], ...]

    def attempt(self, data: bytes) -> Path:
        path = self.folder / "changed.log"
        path.write_bytes(data)
        return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, key: SigningKey, actor: Actor) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    AuditLog.create(folder / "log", ORIGIN, key)
    log = AuditLog.open(folder / "log", key, actor)
    for size in COMMITS:
        log.append(*[Event(type=EventType.RUN_STARTED)] * size)
    data = log.path.read_bytes()
    blame: list[frozenset[int]] = []
    index = commit = 0
    for line in data.splitlines(keepends=True):
        # An entry's line that no longer begins as one may be taken for a broken seal of the commit so far.
        is_entry = line.startswith(b"e ")
        blame += [frozenset({commit, index} if is_entry else {commit})] * len(line)
        index += is_entry
        commit = commit if is_entry else index
    assert len(blame) == len(data)
    return Sample(folder, data, tuple(blame))


def flip(data: bytes, offset: int, mask: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


@settings(max_examples=400)
@given(st.data())
def test_any_flipped_byte_is_found_and_its_entry_named(
    sample: Sample, key: SigningKey, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(sample.data) - 1))
    path = sample.attempt(flip(sample.data, offset, data.draw(st.integers(1, 255))))
    with pytest.raises(AuditError) as caught:
        verify_log(path, key.verifier)
    assert caught.value.code == "audit.integrity"
    assert caught.value.entry in sample.blame[offset]


def test_every_byte_with_some_bit_flipped(sample: Sample, key: SigningKey) -> None:
    for offset in range(len(sample.data)):
        path = sample.attempt(flip(sample.data, offset, 1 << offset % 8))
        with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
            verify_log(path, key.verifier)
        assert caught.value.entry in sample.blame[offset]


def test_a_flipped_byte_is_never_taken_for_an_interrupted_write(
    sample: Sample, key: SigningKey, actor: Actor
) -> None:
    """Otherwise opening the log would cut off entries that were acknowledged."""
    last_commit = sample.data.rindex(b"e ", 0, sample.data.rindex(b"\nc "))
    for offset in range(last_commit, len(sample.data)):
        changed = flip(sample.data, offset, 1 << offset % 8)
        path = sample.attempt(changed)
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            AuditLog.open(path, key, actor)
        assert path.read_bytes() == changed


def test_every_shorter_file_is_found(sample: Sample, key: SigningKey) -> None:
    ends = {end for end in range(len(sample.data)) if sample.data[:end].rpartition(b"\n")[1:] == (b"\n", b"")}
    whole = 0
    for end in sorted({*range(0, len(sample.data), 5), *ends}):
        path = sample.attempt(sample.data[:end])
        last_line = sample.data[:end].splitlines(keepends=True)[-1] if end else b""
        if end in ends and last_line.startswith(b"c "):
            whole += 1  # an earlier state of the log, which only a saved checkpoint tells from the last
            verify_log(path, key.verifier)
        else:
            with pytest.raises(AuditError, match=r"audit\.integrity"):
                verify_log(path, key.verifier)
    assert whole == len(COMMITS)


def lines_of(sample: Sample) -> list[bytes]:
    return sample.data.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (lambda lines: lines[1:], 0),
        (lambda lines: [lines[0], *lines[2:]], 0),
        (lambda lines: [lines[0], *lines], 0),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 0),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], 1),
        (lambda lines: [*lines[:4], *lines[5:]], 1),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], 2),
        (lambda lines: [*lines, lines[-1]], 3),
        (lambda lines: [*lines, b"\n"], 3),
        (lambda lines: [*lines, b"x"], 3),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], 0),
        (lambda lines: lines[:0], 0),
    ],
    ids=[
        "no header", "no first seal", "two headers", "first seal twice", "entries swapped", "entry removed",
        "entry repeated", "last seal twice", "empty line", "stray byte", "other newlines", "empty file",
    ],
)  # fmt: skip
def test_rearranged_lines_are_found(
    sample: Sample, key: SigningKey, change: Callable[[list[bytes]], list[bytes]], entry: int
) -> None:
    path = sample.attempt(b"".join(change(lines_of(sample))))
    with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
        verify_log(path, key.verifier)
    assert caught.value.entry == entry


@settings(max_examples=200)
@given(st.data())
def test_foreign_lines_are_refused(sample: Sample, key: SigningKey, data: st.DataObject) -> None:
    """A line of anything after any line of the log."""
    lines = lines_of(sample)
    where = data.draw(st.integers(0, len(lines)))
    content = st.binary(max_size=60) | st.binary(max_size=60).map(
        lambda tail: b"e " + b"0" * 64 + b" " + tail
    )
    lines.insert(
        where, data.draw(content | st.text(max_size=60).map(lambda text: f'c "{text}"'.encode())) + b"\n"
    )
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        verify_log(sample.attempt(b"".join(lines)), key.verifier)


def forge(key: SigningKey, entries: Sequence[bytes]) -> bytes:
    """What the holder of the log's key can always write: any entries, properly sealed."""
    state = Replay(key.verifier, ORIGIN)
    lines = [format_header(ORIGIN, key.verifier), state.seal(key)]
    lines += [format_entry(state.frontier.append(data), data) for data in entries]
    return b"".join([*lines, state.seal(key)])


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([{"seq": 0}, {"seq": 2}], "entry 1 is not the next of its actor"),
        ([{"seq": 0}, {"seq": 0}], "entry 1 is not the next of its actor"),
        ([{"seq": 1}], "entry 0 is not the next of its actor"),
        ([{"seq": 0}, {"seq": 1, "time": "2025-12-31T23:59:59.999Z"}], "entry 1 is older"),
    ],
)
def test_signed_nonsense_is_found(
    sample: Sample, key: SigningKey, actor: Actor, entries: list[dict[str, object]], problem: str
) -> None:
    base = {"type": "run.started", "time": "2026-01-01T00:00:00.000Z", "actor": actor}
    data = [Entry.model_validate({**base, **fields}).canonical() for fields in entries]
    with pytest.raises(AuditError, match=problem) as caught:
        verify_log(sample.attempt(forge(key, data)), key.verifier)
    assert caught.value.entry == len(entries) - 1


def test_signed_bytes_that_are_no_entry_are_found(sample: Sample, key: SigningKey) -> None:
    with pytest.raises(AuditError, match="cannot be read") as caught:
        verify_log(sample.attempt(forge(key, [b'{"type":"run.started"}'])), key.verifier)
    assert caught.value.entry == 0


def test_seal_has_one_signature(sample: Sample, key: SigningKey) -> None:
    """A seal with a further signature, which anybody can add, is another file of the same tree."""
    state = Replay(key.verifier, ORIGIN)
    state.seal(key)
    seal = format_seal(add_signature(state.note, SigningKey.generate("stranger")))
    path = sample.attempt(format_header(ORIGIN, key.verifier) + seal)
    with pytest.raises(AuditError, match="form"):
        verify_log(path, key.verifier)


def test_other_key_and_other_origin(sample: Sample, key: SigningKey) -> None:
    path = sample.attempt(sample.data)
    with pytest.raises(AuditError, match="expected key"):
        verify_log(path, SigningKey.generate(key.name).verifier)
    with pytest.raises(AuditError, match="not other/log"):
        verify_log(path, key.verifier, origin="other/log")


def test_rewritten_and_signed_again_by_the_key_holder(new_log: NewLog, key: SigningKey, event: Event) -> None:
    """The rewritten log is valid in itself; what the reviewer saved earlier shows it."""
    log = new_log()
    log.append(*[event] * 30)
    saved = verify_log(log.path, key.verifier).checkpoint
    log.append(event)
    leaves = list(verify_log(log.path, key.verifier, since=saved).leaves)
    leaves[12] = leaves[12].replace(b'"rows_out":900', b'"rows_out":901')
    log.path.write_bytes(forge(key, leaves))
    assert verify_log(log.path, key.verifier).size == 31
    with pytest.raises(AuditError, match="rewritten"):
        verify_log(log.path, key.verifier, since=saved)
    with pytest.raises(AuditError, match=r"audit\.integrity"):
        log.append(event)  # the process that has it open notices without a saved checkpoint


def test_cut_back_by_the_key_holder(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    log.append(event)
    shorter = log.path.read_bytes()
    log.append(event)
    saved = log.checkpoint()
    log.path.write_bytes(shorter)
    assert verify_log(log.path, key.verifier).size == 1
    with pytest.raises(AuditError, match="has 1 entries") as caught:
        verify_log(log.path, key.verifier, since=saved)
    assert caught.value.entry == 1
    with pytest.raises(AuditError, match="while open"):
        log.append(event)


def test_since_accepts_every_earlier_checkpoint(new_log: NewLog, key: SigningKey, event: Event) -> None:
    log = new_log()
    saved = [log.checkpoint()]
    for _ in range(5):
        log.append(event, event)
        saved.append(log.checkpoint())
    for checkpoint in saved:
        verify_log(log.path, key.verifier, since=checkpoint)
    stranger = SigningKey.generate("witness")
    verify_log(log.path, key.verifier, since=add_signature(saved[2], stranger))


def test_since_must_be_a_checkpoint_of_this_log(
    new_log: NewLog, tmp_path: Path, key: SigningKey, actor: Actor, event: Event
) -> None:
    log = new_log()
    log.append(event)
    AuditLog.create(tmp_path / "other", "brand.example/other", key)
    other = AuditLog.open(tmp_path / "other", key, actor)
    with pytest.raises(AuditError, match=r"brand\.example/other"):
        verify_log(log.path, key.verifier, since=other.checkpoint())
    with pytest.raises(ProtocolError):
        verify_log(log.path, key.verifier, since=b"nonsense")
    with pytest.raises(IdentityError):
        verify_log(log.path, SigningKey.generate(key.name).verifier, since=log.checkpoint())
