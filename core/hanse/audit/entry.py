"""One entry of a log: an event, who wrote it, when, and as which one of that writer."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator

from hanse.audit.event import Document, Event, Token
from hanse.crypto import canonical_json
from hanse.errors import ProtocolError

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

    @classmethod
    def of(
        cls, event: Event, *, seq: int, time: str, actor: Actor, clock_behind_ms: int | None = None
    ) -> Self:
        """Makes the entry of an event.

        Args:
            event: What happened.
            seq: See the class.
            time: See the class.
            actor: See the class.
            clock_behind_ms: See the class.

        Returns:
            The entry.
        """
        fields: dict[str, Any] = {name: getattr(event, name) for name in Event.model_fields}
        return cls(**fields, seq=seq, time=time, actor=actor, clock_behind_ms=clock_behind_ms)

    def canonical(self) -> bytes:
        """The bytes that are stored and hashed: canonical JSON without what does not apply."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`canonical` wrote.

        Args:
            data: Bytes from anywhere.

        Returns:
            The entry.

        Raises:
            ProtocolError: ``protocol.malformed`` for any other bytes, or an entry of a later version. The
                message quotes none of them.
        """
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
