"""Rows that others wrote become a batch of events, or a reason why not; fast, and with one meaning.

What a row means is what :class:`hanse.policies.ConsentEvent` says. The cells that many rows share (everything
but id, subject and times) are read by it once per distinct combination; the others are checked here, by rules
that take nothing that the model would not take. Every row that does not pass goes to the model, which
decides, and says why.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError

from hanse.errors import ConfigurationError
from hanse.policies.consent import ConsentEvent, Terms
from hanse.policies.fields import UtcTime, from_ms, problems, to_ms
from hanse.policies.ledger.batch import REF_BYTES, Batch, cut
from hanse.policies.ledger.tables import STATE_CODES
from hanse.policies.subjects import Pseudonymiser

ROW_COLUMNS: Final = ("event_id", "subject_ref", "given_at", "expires_at")
"""What differs from row to row; every other column belongs to the row's form."""
IDENTIFIER: Final = "subject"
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t")
"""A cell that starts so is run as a formula by spreadsheets, where people look at exports of the ledger."""

_FIRST_BATCH_PART: Final = 8
_BLOCK_ROOM: Final = 4_000  # rows of one more block, as a rule
_MAX_CACHED_FORMS: Final = 10_000
_MAX_CACHED_TIMES: Final = 200_000
_EVENT_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_REF: Final = "[0-9a-f]{32}"
_TIME: Final = TypeAdapter(UtcTime)
_HOUR_CHARACTERS: Final = 13
_UNREAD: Final = 1 << 60  # a part of a time that the model has to look at
_FIRST_MS: Final = -62_135_596_800_000  # year 1
_LAST_MS: Final = 253_402_300_799_999  # year 9999

Cells: TypeAlias = Mapping[str, object]
Refusals = list[tuple[int, str]]


class Block(NamedTuple):
    """Rows of a source, column by column.

    Attributes:
        numbers: Line or row number of each.
        event_ids: As written; "" for a missing value, as in all columns of text.
        subjects: Pseudonyms, or identifiers if the source has those.
        given: Times as written, or milliseconds since 1970.
        expires: As ``given``.
        forms: All other cells of each row, under one hashable key.
        refused: Numbers and reasons of rows that could not be taken apart.
    """

    numbers: Sequence[int]
    event_ids: Sequence[str]
    subjects: Sequence[str]
    given: Sequence[str | int]
    expires: Sequence[str | int]
    forms: Sequence[Hashable]
    refused: Refusals


Row: TypeAlias = tuple[int, str, str, str | int, str | int, Hashable]
"""A row of a block, without the column of what was refused."""


def block_of(rows: Sequence[Row], refused: Refusals) -> Block:
    """A block from rows."""
    if not rows:
        return Block((), (), (), (), (), (), refused)
    numbers, event_ids, subjects, given, expires, forms = zip(*rows, strict=True)
    return Block(numbers, event_ids, subjects, given, expires, forms, refused)


class Source(Protocol):
    """Where rows come from."""

    @property
    def has_identifiers(self) -> bool:
        """Whether subjects are named by identifiers, not by pseudonyms."""
        ...

    def blocks(self) -> Iterator[Block]:
        """The rows, a bounded number at a time."""
        ...

    def cells(self, form: Hashable) -> Cells | str:
        """The cells of a form by column, without those that are missing; or what is wrong with them."""
        ...


class _Form(NamedTuple):
    terms: Terms
    state: int
    guardian: bytes | None
    age_at_least: int | None


@dataclass(slots=True)
class _Rows:
    """A batch in the making, column by column."""

    numbers: list[int] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    subjects: list[bytes] = field(default_factory=list)
    given: list[int | None] = field(default_factory=list)
    expires: list[int | None] = field(default_factory=list)
    forms: list[_Form] = field(default_factory=list)

    def columns(self) -> tuple[list[Any], ...]:
        return self.numbers, self.event_ids, self.subjects, self.given, self.expires, self.forms

    def extend(self, other: "_Rows") -> None:
        for column, more in zip(self.columns(), other.columns(), strict=True):
            column.extend(more)

    def without(self, places: AbstractSet[int]) -> "_Rows":
        if not places:
            return self
        keep = [place not in places for place in range(len(self.numbers))]
        return _Rows(*(list(compress(column, keep)) for column in self.columns()))

    def batch(self, recorded_ms: int) -> Batch:
        terms: dict[Terms, int] = {}
        # By identity: a form is one object for all rows that share it, and its terms are long to hash.
        places = {id(form): terms.setdefault(form.terms, len(terms)) for form in _distinct(self.forms)}
        return Batch(
            self.numbers,
            self.event_ids,
            self.subjects,
            [form.state for form in self.forms],
            self.given,
            self.expires,
            [recorded_ms] * len(self.numbers),
            [form.guardian for form in self.forms],
            [form.age_at_least for form in self.forms],
            [places[id(form)] for form in self.forms],
            list(terms),
        )


def _distinct(forms: Iterable[_Form]) -> Iterable[_Form]:
    return {id(form): form for form in forms}.values()


class _Times(dict[str, int]):
    """Milliseconds of the halves of times: few are distinct, in however many rows."""

    def __init__(self, form: str, before: str, after: str) -> None:
        super().__init__()
        self._form, self._before, self._after = re.compile(form), before, after

    def __missing__(self, half: str) -> int:
        if len(self) >= _MAX_CACHED_TIMES:
            self.clear()
        value = self[half] = self._read(half)
        return value

    def _read(self, half: str) -> int:
        if self._form.fullmatch(half) is None:
            return _UNREAD
        try:
            return to_ms(datetime.fromisoformat(f"{self._before}{half}{self._after}"))
        except ValueError:
            return _UNREAD


class Intake:
    """Reads the blocks of one source.

    Args:
        source: The source.
        now: When its events are recorded.
        pseudonymiser: Needed if the source names subjects by identifiers.
    """

    def __init__(self, source: Source, now: datetime, pseudonymiser: Pseudonymiser | None) -> None:
        self._source = source
        self._now = now
        self._now_ms = to_ms(_TIME.validate_python(now))
        self._pseudonymiser = pseudonymiser
        self._forms: dict[Hashable, _Form | None] = {}
        self._hours = _Times("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}", "", ":00:00Z")
        self._minutes = _Times(r":[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z", "1970-01-01T00", "")

    def batches(self, size: int) -> Iterator[tuple[Batch, Refusals]]:
        """The events of the source in batches of at most a size, each with the rows before it that are none.

        Raises:
            ConfigurationError: ``config.bad-data`` where the source cannot be read on, after what came before
                was yielded.
        """
        rows, refused, problem = _Rows(), Refusals(), None
        # The first are small, so that whoever writes them has not long to wait.
        enough = size // _FIRST_BATCH_PART
        try:
            for block in self._source.blocks():
                taken, bad = self._read(block)
                rows.extend(taken)
                refused += bad
                if len(rows.numbers) + len(refused) >= enough:
                    for batch in cut(rows.batch(self._now_ms), size):
                        yield batch, refused
                        refused = Refusals()
                    rows, enough = _Rows(), min(2 * enough, size - _BLOCK_ROOM)
        except ConfigurationError as error:
            problem = error
        for batch in cut(rows.batch(self._now_ms), size):
            yield batch, refused
            refused = Refusals()
        if problem is not None:
            raise problem

    def _read(self, block: Block) -> tuple[_Rows, Refusals]:
        """The events of a block, and the rows that are none."""
        doubtful: set[int] = set()
        known = self._known(block.forms)
        forms = [known[key] for key in block.forms]
        if None in known.values():
            doubtful.update(place for place, form in enumerate(forms) if form is None)
        doubtful |= _unfit(_EVENT_ID, block.event_ids)
        refs = self._refs(block.subjects) if self._source.has_identifiers else block.subjects
        doubtful |= _unfit(_REF, refs)
        given, expires = self._read_times(block.given, doubtful), self._read_times(block.expires, doubtful)
        doubtful |= _outside(given, _FIRST_MS, self._now_ms)
        subjects = _bytes_of(refs, doubtful)
        rows = _Rows(
            list(block.numbers), list(block.event_ids), subjects, given, expires, cast("list[_Form]", forms)
        )
        refused = list(block.refused)
        gone = {place for place in sorted(doubtful) if not self._decide(rows, refused, block, place)}
        return rows.without(gone), refused

    def _known(self, keys: Sequence[Hashable]) -> Mapping[Hashable, _Form | None]:
        """What the model says of each form, asked once."""
        if len(self._forms) >= _MAX_CACHED_FORMS:
            self._forms.clear()
        for key in set(keys).difference(self._forms):
            self._forms[key] = self._validate_form(key)
        return self._forms

    def _validate_form(self, key: Hashable) -> _Form | None:
        cells = self._source.cells(key)
        if isinstance(cells, str):
            return None
        row = {"event_id": "form", "subject_ref": "0" * 32, "recorded_at": self._now}
        try:
            return _form_of(ConsentEvent.model_validate({**cells, **row}))
        except ValidationError:
            return None

    def _refs(self, identifiers: Sequence[str]) -> Sequence[str]:
        return [self._ref(identifier) for identifier in identifiers]

    def _ref(self, identifier: str) -> str:
        if self._pseudonymiser is None or identifier.startswith(FORMULA_STARTS):
            return ""
        try:
            return self._pseudonymiser.ref(identifier)
        except ConfigurationError:
            return ""

    def _read_times(self, values: Sequence[str | int], doubtful: set[int]) -> list[int | None]:
        """Milliseconds of times; notes the places of those that the model has to look at."""
        hours, minutes, cut_at = self._hours, self._minutes, _HOUR_CHARACTERS
        read: list[int | None]
        if "" in values or {*map(type, values)} != {str}:
            read = [
                (hours[value[:cut_at]] + minutes[value[cut_at:]] if isinstance(value, str) else value)
                if value != ""
                else None
                for value in values
            ]
        else:
            texts = cast("Sequence[str]", values)
            read = [hours[text[:cut_at]] + minutes[text[cut_at:]] for text in texts]
        doubtful |= _outside(read, _FIRST_MS, _LAST_MS)
        return read

    def _decide(self, rows: _Rows, refused: Refusals, block: Block, place: int) -> bool:
        """Lets the model decide about a row, and say what is wrong with it; says whether it is an event."""
        shared = self._source.cells(block.forms[place])
        if isinstance(shared, str):
            refused.append((block.numbers[place], shared))
            return False
        name = IDENTIFIER if self._source.has_identifiers else "subject_ref"
        times = (_time_of(block.given[place]), _time_of(block.expires[place]))
        own = (block.event_ids[place], block.subjects[place], *times)
        cells = {**shared, **dict(zip(("event_id", name, "given_at", "expires_at"), own, strict=True))}
        event = read_event(cells, self._now, self._pseudonymiser)
        if isinstance(event, str):
            refused.append((block.numbers[place], event))
            return False
        act = event.act
        rows.event_ids[place], rows.subjects[place] = act.event_id, bytes.fromhex(act.subject_ref)
        rows.given[place], rows.expires[place] = act.given_ms, act.expires_ms
        rows.forms[place] = _form_of(event)
        return True


def _time_of(value: str | int) -> str | int | datetime:
    """A time as the model takes it; milliseconds beyond every date stay what they are, and are refused."""
    return from_ms(value) if isinstance(value, int) and _FIRST_MS <= value <= _LAST_MS else value


def _form_of(event: ConsentEvent) -> _Form:
    guardian = None if event.guardian_ref is None else bytes.fromhex(event.guardian_ref)
    return _Form(event.terms, STATE_CODES[event.state], guardian, event.age_at_least)


def _unfit(form: str, values: Sequence[str]) -> set[int]:
    """Places of the values that have not the form; usually none, which one search over all of them tells."""
    if re.fullmatch(f"(?:{form}\n)*", "\n".join(values) + "\n") is not None:
        return set()
    check = re.compile(form).fullmatch
    return {place for place, value in enumerate(values) if check(value) is None}


def _outside(values: Sequence[int | None], first: int, last: int) -> set[int]:
    """Places of the values that are not within limits; None is no value."""
    try:
        present = cast("Sequence[int]", values)
        if not values or (min(present) >= first and max(present) <= last):
            return set()
    except TypeError:  # some are None
        pass
    return {place for place, ms in enumerate(values) if ms is not None and not first <= ms <= last}


def _bytes_of(refs: Sequence[str], doubtful: set[int]) -> list[bytes]:
    """Pseudonyms as bytes; anything at all in the doubtful places."""
    if doubtful:
        refs = ["0" * 32 if place in doubtful else ref for place, ref in enumerate(refs)]
    joined = bytes.fromhex("".join(refs))
    return [joined[start : start + REF_BYTES] for start in range(0, len(joined), REF_BYTES)]


def read_event(cells: Cells, now: datetime, pseudonymiser: Pseudonymiser | None) -> ConsentEvent | str:
    """The event of one row, or why there is none.

    Args:
        cells: Cells by column; "" is a missing value.
        now: When the event is recorded.
        pseudonymiser: Needed if the row names its subject by an identifier.
    """
    formulas = [
        name for name, cell in cells.items() if isinstance(cell, str) and cell.startswith(FORMULA_STARTS)
    ]
    if formulas:
        return f"{formulas[0]}: begins like a spreadsheet formula; write plain text"
    given = {name: cell for name, cell in cells.items() if cell != ""}
    try:
        if pseudonymiser is not None and IDENTIFIER in cells:
            given["subject_ref"] = pseudonymiser.ref(str(given.pop(IDENTIFIER, "")))
        return ConsentEvent.model_validate({**given, "recorded_at": now})
    except ConfigurationError as error:
        return f"{IDENTIFIER}: {error.detail}"
    except ValidationError as error:
        return "; ".join(problems(error))
