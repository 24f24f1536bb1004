"""One entry of a log: an event, who wrote it, when, and as which one of that writer."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator

from hanse.audit.event import Document, Event, Token
from hanse.errors import AuditError, ProtocolError
from hanse.pieces.ends import FRAME_START, read_ends

MAX_ENTRY_BYTES: Final = (1 << 16) - 1
"""No entry is longer: a bundle of entries (C2SP tlog-tiles) has two bytes for the length of each. A longer
one could not be exported, nor read in bounded memory; a writer is refused, and a reader refuses."""

_VERSION: Final = 1
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", re.ASCII)


class Actor(Document):
    """Who writes an entry.

    Attributes:
        organisation: Name of the organisation.
        key_id: Identifier of the key that it acts with, 8 hex digits.
        role: What it acts as, e.g. ``member``, ``coordinator``, ``scorer``.
    """

    organisation: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f@]{1,128}$")]
    key_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    role: Token

    def canonical(self) -> str:
        """Canonical JSON, as it stands in an entry."""
        return _ENCODER.encode(self)


class Entry(Event):
    """An event as it stands in a log. Its canonical bytes are stored once and hashed as stored.

    Attributes:
        version: Of this schema.
        seq: How many entries this actor wrote to this log before; without gaps, so that an omission shows.
        time: RFC 3339, UTC, milliseconds. Never earlier than the entry before.
        clock_behind_ms: If the actor's clock was behind the entry before, by how many milliseconds; ``time``
            is then that entry's.
        actor: Who wrote it.
    """

    version: Literal[1] = 1
    seq: int = Field(ge=0)
    time: str
    clock_behind_ms: int | None = Field(default=None, ge=1)
    actor: Actor

    @field_validator("time")
    @classmethod
    def _is_time(cls, time: str) -> str:
        parse_time(time)
        return time

    @property
    def at(self) -> datetime:
        """:attr:`time` as an aware datetime."""
        return parse_time(self.time)

    def canonical(self) -> bytes:
        """The bytes that are stored and hashed: canonical JSON without what does not apply."""
        return _ENCODER.encode(self).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`canonical` wrote.

        Args:
            data: Bytes from anywhere.

        Returns:
            The entry.

        Raises:
            ProtocolError: ``protocol.malformed`` for any other bytes, more than :data:`MAX_ENTRY_BYTES`, or
                an entry of a later version. The message quotes none of them.
        """
        if len(data) > MAX_ENTRY_BYTES:
            raise ProtocolError("protocol.malformed", f"not an entry: more than {MAX_ENTRY_BYTES} bytes")
        try:
            entry = cls.model_validate_json(data)
        except ValidationError as error:
            kinds = sorted(
                {problem["type"] for problem in error.errors(include_input=False, include_url=False)}
            )
            raise ProtocolError("protocol.malformed", f"not an entry: {', '.join(kinds)}") from None
        if entry.canonical() != data:
            raise ProtocolError("protocol.malformed", "an entry that is not in canonical form")
        return entry


class Frame(NamedTuple):
    """What makes an entry the next one of its log.

    Attributes:
        actor: Canonical JSON of the :class:`Actor`.
        seq: See :class:`Entry`.
        time: See :class:`Entry`.
    """

    actor: str
    seq: int
    time: str


def write_entry(event: Event, frame: Frame, clock_behind_ms: int | None = None) -> bytes:
    """The canonical bytes of an event's entry, without validating again what the event has validated.

    Args:
        event: What happened.
        frame: Who wrote it, as which one of that actor, and when.
        clock_behind_ms: See :class:`Entry`.

    Returns:
        What :meth:`Entry.canonical` gives for the same entry.

    Raises:
        AuditError: ``audit.entry-size`` if that is more than :data:`MAX_ENTRY_BYTES`; names the event and its
            longest field.
    """
    fields = _stated(event)
    fields["seq"], fields["time"], fields["version"] = frame.seq, frame.time, _VERSION
    if clock_behind_ms is not None:
        fields["clock_behind_ms"] = clock_behind_ms
    # No name sorts before the actor's, which is encoded already.
    data = f'{{"actor":{frame.actor},{_ENCODER.encode(fields)[1:]}'.encode("ascii")
    if len(data) > MAX_ENTRY_BYTES:
        raise AuditError(
            "audit.entry-size",
            f"an entry {event.type} of {len(data)} bytes; at most {MAX_ENTRY_BYTES} fit, and its field "
            f"{_longest(event)} is the longest",
        )
    return data


def _longest(document: Document) -> str:
    """The field of a document that takes the most bytes, as ``privacy.events``."""
    sizes = {name: len(_ENCODER.encode(value)) for name, value in vars(document).items()}
    name = max(sizes, key=sizes.__getitem__)
    inner = getattr(document, name)
    return f"{name}.{_longest(inner)}" if isinstance(inner, Document) else name


def read_frame(data: bytes) -> Frame | None:
    """Finds the frame in the canonical bytes of an entry.

    Args:
        data: Bytes from anywhere.

    Returns:
        The frame, equal to the one that parsing gives if the bytes are an entry at all; whether they are is
        not checked. None if there is no frame, or more bytes than an entry has.
    """
    if len(data) > MAX_ENTRY_BYTES:
        return None
    start = FRAME_START.match(data)
    end = read_ends([data])[0]
    if start is None or end is None:
        return None
    return Frame(start[1].decode("ascii", "replace"), int(end[0]), end[1].decode())


def _stated(document: Document) -> dict[str, Any]:
    """The fields of a document that are not left out."""
    return {name: value for name, value in vars(document).items() if value is not None}


def _plain(value: object) -> dict[str, Any]:
    """What the encoder does not know: documents within documents, and mappings that are no dicts."""
    if isinstance(value, Document):
        return _stated(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an entry holds no {type(value).__name__}")


# A validated document holds no circle, and looking for one at every value takes a fifth of the time.
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=True,
    allow_nan=False,
    check_circular=False,
    default=_plain,
)


def format_time(at: datetime) -> str:
    """Writes a time as entries have it.

    Args:
        at: Time zone aware.

    Returns:
        RFC 3339 in UTC, milliseconds, cut off, not rounded. Such texts sort like the times.

    Raises:
        ProtocolError: ``protocol.malformed`` if there is no time zone.
    """
    if at.tzinfo is None:
        raise ProtocolError("protocol.malformed", "a time without time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """Reads what :func:`format_time` wrote.

    Args:
        text: Text from anywhere.

    Returns:
        The time, aware, UTC.

    Raises:
        ValueError: For any other text.
    """
    if not _TIME.fullmatch(text):
        raise ValueError("not a time of an entry")
    return datetime.fromisoformat(text)


def milliseconds_between(earlier: str, later: str) -> int:
    """Milliseconds from one entry's time to another's; negative if they are the other way round."""
    return (parse_time(later) - parse_time(earlier)) // timedelta(milliseconds=1)
