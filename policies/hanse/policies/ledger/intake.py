"""Rows that others wrote become a batch of events, or a reason why not; fast, and with one meaning.

What a row means is what :class:`hanse.policies.ConsentEvent` says. The cells that many rows share (everything
but id, subject and times) are read by it once per distinct combination; the others are checked here, by rules
that take nothing that the model would not take. Every row that does not pass goes to the model, which
decides, and says why.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol, TypeAlias

from pydantic import TypeAdapter, ValidationError

from hanse.errors import ConfigurationError
from hanse.policies.consent import ConsentEvent, Terms
from hanse.policies.fields import UtcTime, problems, to_ms
from hanse.policies.ledger.batch import Batch, cut
from hanse.policies.ledger.tables import GIVEN, STATE_CODES
from hanse.policies.subjects import Pseudonymiser

ROW_COLUMNS: Final = ("event_id", "subject_ref", "given_at", "expires_at")
"""What differs from row to row; every other column belongs to the row's form."""
IDENTIFIER: Final = "subject"
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t")
"""A cell that starts so is run as a formula by spreadsheets, where people look at exports of the ledger."""

_MAX_CACHED_FORMS: Final = 10_000
_MAX_CACHED_TIMES: Final = 200_000
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REF: Final = re.compile("[0-9a-f]{32}")
_TIME: Final = TypeAdapter(UtcTime)
_DATE_CHARACTERS: Final = 10
_EPOCH_CLOCK: Final = "1970-01-01"
_NO_CLOCK: Final = "T00:00:00Z"

Cells: TypeAlias = Mapping[str, object]
Refusals: TypeAlias = list[tuple[int, str]]


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
class Intake:
    """Reads the blocks of one source.

    Attributes:
        source: The source.
        now: When its events are recorded.
        pseudonymiser: Needed if the source names subjects by identifiers.
    """

    source: Source
    now: datetime
    pseudonymiser: Pseudonymiser | None
    _now_ms: int = field(init=False)
    _forms: dict[Hashable, _Form | None] = field(default_factory=dict)
    _days: dict[str, int | None] = field(default_factory=dict)
    _clocks: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._now_ms = to_ms(_TIME.validate_python(self.now))

    def _read(self, rows: "_Rows", block: Block) -> Refusals:
        """Takes the events of a block; returns the rows that are none."""
        refused = list(block.refused)
        for row in zip(*block[:6], strict=True):
            if not self._take(rows, *row):
                self._decide(rows, refused, *row)
        return refused

    def batches(self, size: int) -> Iterator[tuple[Batch, Refusals]]:
        """The events of the source in batches of at most a size, each with the rows before it that are none.

        Raises:
            ConfigurationError: ``config.bad-data`` where the source cannot be read on, after what came before.
        """
        rows, refused = _Rows(), list[tuple[int, str]]()
        problem = None
        blocks = self.source.blocks()
        while problem is None:
            try:
                block = next(blocks, None)
            except ConfigurationError as error:
                problem, block = error, None
            if block is not None:
                refused += self._read(rows, block)
            if block is None or len(rows) + len(refused) >= size:
                for batch in cut(rows.batch(), size):
                    yield batch, refused
                    refused = []
                rows = _Rows()
            if block is None:
                break
        if problem is not None:
            raise problem

    def _take(
        self,
        rows: "_Rows",
        number: int,
        event_id: str,
        subject: str,
        given: str | int,
        expires: str | int,
        key: Hashable,
    ) -> bool:
        """Takes a row that needs no second look; says whether it did."""
        forms = self._forms
        form = forms[key] if key in forms else self._read_form(key)
        if form is None or not _EVENT_ID.fullmatch(event_id):
            return False
        ref = subject if not self.source.has_identifiers else self._ref(subject)
        if ref is None or not _REF.fullmatch(ref):
            return False
        given_ms = expires_ms = None
        if given != "" and (given_ms := self._time(given)) is None:
            return False
        if expires != "" and (expires_ms := self._time(expires)) is None:
            return False
        if form.state == GIVEN and given_ms is not None and given_ms > self._now_ms:
            return False
        rows.add(number, event_id, bytes.fromhex(ref), given_ms, expires_ms, self._now_ms, form)
        return True

    def _ref(self, identifier: str) -> str | None:
        if self.pseudonymiser is None or identifier.startswith(FORMULA_STARTS):
            return None
        try:
            return self.pseudonymiser.ref(identifier)
        except ConfigurationError:
            return None

    def _time(self, value: str | int) -> int | None:
        """Milliseconds of a time in UTC; None if the model has to look at it."""
        if isinstance(value, int):
            return value
        day = self._part(self._days, value[:_DATE_CHARACTERS], "", _NO_CLOCK)
        clock = self._part(self._clocks, value[_DATE_CHARACTERS:], _EPOCH_CLOCK, "")
        return None if day is None or clock is None else day + clock

    @staticmethod
    def _part(known: dict[str, int | None], value: str, before: str, after: str) -> int | None:
        """Milliseconds of a date, or of a clock time in UTC: few are distinct, in however many rows."""
        if value in known:
            return known[value]
        if len(known) >= _MAX_CACHED_TIMES:
            known.clear()
        try:
            found = (
                to_ms(_TIME.validate_python(f"{before}{value}{after}")) if _is_plain(value, before) else None
            )
        except ValidationError:
            found = None
        known[value] = found
        return found

    def _read_form(self, key: Hashable) -> _Form | None:
        if len(self._forms) >= _MAX_CACHED_FORMS:
            self._forms.clear()
        self._forms[key] = form = self._validate_form(key)
        return form

    def _validate_form(self, key: Hashable) -> _Form | None:
        cells = self.source.cells(key)
        if isinstance(cells, str):
            return None
        row = {"event_id": "form", "subject_ref": "0" * 32, "recorded_at": self.now}
        try:
            event = ConsentEvent.model_validate({**cells, **row})
        except ValidationError:
            return None
        guardian = None if event.guardian_ref is None else bytes.fromhex(event.guardian_ref)
        return _Form(event.terms, STATE_CODES[event.state], guardian, event.age_at_least)

    def _decide(
        self,
        rows: "_Rows",
        refused: Refusals,
        number: int,
        event_id: str,
        subject: str,
        given: str | int,
        expires: str | int,
        key: Hashable,
    ) -> None:
        """Lets the model decide about a row, and say what is wrong with it."""
        shared = self.source.cells(key)
        if isinstance(shared, str):
            refused.append((number, shared))
            return
        name = IDENTIFIER if self.source.has_identifiers else "subject_ref"
        own = {"event_id": event_id, name: subject, "given_at": given, "expires_at": expires}
        event = read_event({**shared, **own}, self.now, self.pseudonymiser)
        if isinstance(event, str):
            refused.append((number, event))
            return
        act = event.act
        guardian = None if act.guardian_ref is None else bytes.fromhex(act.guardian_ref)
        form = _Form(event.terms, STATE_CODES[act.state], guardian, act.age_at_least)
        subject_bytes = bytes.fromhex(act.subject_ref)
        rows.add(number, act.event_id, subject_bytes, act.given_ms, act.expires_ms, act.recorded_ms, form)


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


def _is_plain(value: str, before: str) -> bool:
    """Whether a part may be read apart from the other: a date alone, or a clock time in UTC."""
    return value.endswith("Z") if before else len(value) == _DATE_CHARACTERS


class _Rows:
    """A batch in the making."""

    def __init__(self) -> None:
        self._columns: list[tuple[int, str, bytes, int | None, int | None, int, _Form]] = []

    def __len__(self) -> int:
        return len(self._columns)

    def add(
        self,
        number: int,
        event_id: str,
        subject: bytes,
        given: int | None,
        expires: int | None,
        recorded: int,
        form: _Form,
    ) -> None:
        self._columns.append((number, event_id, subject, given, expires, recorded, form))

    def batch(self) -> Batch:
        if not self._columns:
            return Batch(*[()] * 11)
        numbers, event_ids, subjects, given, expires, recorded, forms = zip(*self._columns, strict=True)
        places: dict[Terms, int] = {}
        by_form = {id(form): (form, places.setdefault(form.terms, len(places))) for form in forms}
        return Batch(
            numbers,
            event_ids,
            subjects,
            [form.state for form in forms],
            given,
            expires,
            recorded,
            [form.guardian for form in forms],
            [form.age_at_least for form in forms],
            [by_form[id(form)][1] for form in forms],
            list(places),
        )
