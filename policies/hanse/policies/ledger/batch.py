"""A batch of events, column by column, and the bytes of it that are hashed.

The bytes are those that go to the database, so that every byte of every event is under the hash. Columns have
one width each; no two different batches have the same bytes.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hanse.policies.consent import Act, ConsentEvent, Terms
from hanse.policies.ledger.tables import STATE_CODES, STATES

EMPTY_CHAIN: Final = hashlib.sha256(b"hanse/consent-ledger/v2").digest()
REF_BYTES: Final = 16
TIME_WIDTH: Final = 15  # the year 9999 in milliseconds, with a sign
NO_TIME: Final = 10**TIME_WIDTH - 1
AGE_WIDTH: Final = 3
NO_AGE: Final = 999
TERMS_WIDTH: Final = 10
GUARDIAN_WIDTH: Final = 1 + REF_BYTES
_NO_GUARDIAN: Final = b"\0" * GUARDIAN_WIDTH
_IDS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:\n[A-Za-z0-9][A-Za-z0-9._-]{0,63})*")


class EventRow(NamedTuple):
    """One event as the history keeps it, without its number."""

    event_id: str
    subject: bytes
    state: int
    given_ms: int | None
    expires_ms: int | None
    recorded_ms: int
    guardian: bytes | None
    age_at_least: int | None
    terms: int

    @property
    def act(self) -> Act:
        """The same without its terms, as the pure functions take it."""
        return Act(
            self.event_id,
            self.subject.hex(),
            STATES[self.state],
            self.given_ms,
            self.expires_ms,
            self.recorded_ms,
            None if self.guardian is None else self.guardian.hex(),
            self.age_at_least,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to record, in order, column by column; ``terms`` are positions in ``forms``.

    Attributes:
        numbers: Line, row or position of each event where it came from.
        forms: The different terms of the batch.
    """

    numbers: Sequence[int]
    event_ids: Sequence[str]
    subjects: Sequence[bytes]
    states: Sequence[int]
    given: Sequence[int | None]
    expires: Sequence[int | None]
    recorded: Sequence[int]
    guardians: Sequence[bytes | None]
    ages: Sequence[int | None]
    terms: Sequence[int]
    forms: Sequence[Terms]

    def __len__(self) -> int:
        return len(self.event_ids)

    def rows(self, terms_ids: Sequence[int]) -> Iterable[EventRow]:
        """The events row by row, with the numbers under which the ledger keeps their terms."""
        numbers = [terms_ids[form] for form in self.terms]
        return map(
            EventRow,
            self.event_ids,
            self.subjects,
            self.states,
            self.given,
            self.expires,
            self.recorded,
            self.guardians,
            self.ages,
            numbers,
        )

    def pick(self, places: Sequence[int]) -> "Batch":
        """The events at some places only."""

        def take(column: Sequence[object]) -> list[object]:
            return [column[place] for place in places]

        names = tuple(self.__dataclass_fields__)[:-1]
        columns = {name: take(getattr(self, name)) for name in names}
        return Batch(**columns, forms=self.forms)  # type: ignore[arg-type]


def cut(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in parts of at most a size."""
    if len(batch) <= size:
        yield batch
        return
    for start in range(0, len(batch), size):
        yield batch.pick(range(start, min(start + size, len(batch))))


def batch_of(events: Sequence[ConsentEvent]) -> Batch:
    """A batch of events that are numbered from 0."""
    acts = [event.act for event in events]
    places: dict[Terms, int] = {}
    terms = [places.setdefault(event.terms, len(places)) for event in events]
    return Batch(
        numbers=range(len(acts)),
        event_ids=[act.event_id for act in acts],
        subjects=[bytes.fromhex(act.subject_ref) for act in acts],
        states=[STATE_CODES[act.state] for act in acts],
        given=[act.given_ms for act in acts],
        expires=[act.expires_ms for act in acts],
        recorded=[act.recorded_ms for act in acts],
        guardians=[None if act.guardian_ref is None else bytes.fromhex(act.guardian_ref) for act in acts],
        ages=[act.age_at_least for act in acts],
        terms=terms,
        forms=list(places),
    )


class Packed(NamedTuple):
    """The columns of a batch as bytes of one width each."""

    size: int
    id_width: int
    event_ids: bytes
    subjects: bytes
    states: bytes
    given: bytes
    expires: bytes
    recorded: bytes
    guardians: bytes
    ages: bytes
    terms: bytes


def pack(batch: Batch) -> Packed:
    """Packs a batch, but for the ledger's numbers of its terms; see :func:`with_terms`."""
    id_width = max(map(len, batch.event_ids), default=0)
    return Packed(
        len(batch),
        id_width,
        _ids(batch.event_ids, id_width),
        b"".join(batch.subjects),
        _digits(batch.states, 1),
        _times(batch.given),
        _times(batch.expires),
        _times(batch.recorded),
        _guardians(batch.guardians),
        _ages(batch.ages),
        b"",
    )


def with_terms(packed: Packed, batch: Batch, terms_ids: Sequence[int]) -> Packed:
    """A packed batch with the ledger's number of each of its forms."""
    numbers = [b"%010d" % number for number in terms_ids]
    if len(numbers) == 1:
        return packed._replace(terms=numbers[0] * packed.size)
    return packed._replace(terms=b"".join([numbers[form] for form in batch.terms]))


def pack_rows(rows: Sequence[EventRow]) -> Packed:
    """Packs events that the history has.

    Raises:
        ValueError: A cell cannot have been written by this program.
    """
    columns = list(zip(*rows, strict=True))
    if not _IDS.fullmatch("\n".join(columns[0])) or any(len(subject) != REF_BYTES for subject in columns[1]):
        raise ValueError("malformed event")
    numbers = sorted(set(columns[8]))
    places = {number: place for place, number in enumerate(numbers)}
    terms = [places[number] for number in columns[8]]
    ids, subjects, states, given, expires, recorded, guardians, ages = columns[:8]
    batch = Batch((), ids, subjects, states, given, expires, recorded, guardians, ages, terms, ())
    return with_terms(pack(batch), batch, numbers)


def link(chain: bytes, first_seq: int, packed: Packed, terms: Mapping[int, str]) -> bytes:
    """Hash over a batch and all before it.

    Args:
        chain: Hash of the batch before.
        first_seq: Number of its first event.
        packed: Its events.
        terms: Digest of the terms that it uses, by number.

    Returns:
        32 bytes.
    """
    forms = "".join(f"{number:010d}{terms[number]}" for number in sorted(terms)).encode("ascii")
    columns = (*packed[2:], forms)
    widths = [packed.size, packed.id_width, *map(len, columns)]
    header = first_seq.to_bytes(8, "big") + b"".join(width.to_bytes(8, "big") for width in widths)
    # In one piece: each update would give Python's lock away and wait for it again.
    return hashlib.sha256(b"".join((b"hanse/consent-batch/v2\0", chain, header, *columns))).digest()


def _ids(values: Sequence[str], width: int) -> bytes:
    if sum(map(len, values)) != width * len(values):
        values = [value.ljust(width) for value in values]
    return "".join(values).encode("ascii")


def _times(values: Sequence[int | None]) -> bytes:
    return _digits([NO_TIME if value is None else value for value in values], TIME_WIDTH)


def _ages(values: Sequence[int | None]) -> bytes:
    return _digits([NO_AGE if value is None else value for value in values], AGE_WIDTH)


def _digits(values: Sequence[int], width: int) -> bytes:
    form = f"%0{width}d"
    if values and values.count(values[0]) == len(values):  # as everything that one file says once
        return (form % values[0]).encode("ascii") * len(values)
    return (form * len(values) % tuple(values)).encode("ascii")


def _guardians(values: Sequence[bytes | None]) -> bytes:
    if values.count(None) == len(values):
        return _NO_GUARDIAN * len(values)
    return b"".join([_NO_GUARDIAN if value is None else b"\1" + value for value in values])
