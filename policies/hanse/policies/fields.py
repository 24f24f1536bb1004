"""The field types that every document of this layer is made of, and how a mistake in one is told.

Nothing here coerces: a number is not a string, a date is not a time, "yes" is not true. Messages name the
field and what to do, and never repeat the value, because a value may be a person's.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from hanse.crypto import VerifierKey
from hanse.crypto.cosigning import CosignerVerifier
from hanse.errors import IdentityError

MAX_TEXT_CHARACTERS: Final = 400
_MAX_PROBLEMS: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
# What pydantic says in a programmer's words, said so that the author of a document knows what to do.
_WORDS: Final = {
    "missing": "is missing; add it",
    "extra_forbidden": "is not a known field; remove it, or correct its name",
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "string_type": "write text; put it in quotes if it looks like a number",
    "tuple_type": "write a list",
    "finite_number": "write a finite number",
}


class Document(BaseModel):
    """Base of all documents: frozen, no unknown fields, no coercion, no value in an error message."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def check_form(pattern: str, advice: str) -> AfterValidator:
    """A validator for text of one form.

    Args:
        pattern: Regular expression that the whole text must match.
        advice: What to write instead, for the author of the document.
    """
    form = re.compile(pattern)

    def check(value: str) -> str:
        if form.fullmatch(value) is None:
            raise PydanticCustomError("form", "{advice}", {"advice": advice})
        return value

    return AfterValidator(check)


def _check_text(value: str) -> str:
    """Refuses what a person who signs could not see: control and direction characters, outer spaces."""
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise PydanticCustomError("text", "write visible text without line breaks or outer spaces")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise PydanticCustomError("text", "shorten the text")
    return value


def _check_key(value: str) -> str:
    """Refuses what is not a verifier key."""
    try:
        VerifierKey.decode(value)
    except IdentityError as error:
        raise PydanticCustomError(
            "key", "write a public key in the form name+id+key, as `hanse init` prints it"
        ) from error
    return value


def _check_witness_key(value: str) -> str:
    """Refuses what is not the verifier key of a cosigner."""
    try:
        CosignerVerifier.decode(value)
    except IdentityError as error:
        raise PydanticCustomError(
            "key", "write the public key of a witness, name+id+key, as `hanse init` prints it"
        ) from error
    return value


def _read_time(value: object) -> datetime:
    """Reads an RFC 3339 time (or takes a datetime with time zone) as UTC, cut to milliseconds."""
    advice = PydanticCustomError("time", "write a time with time zone, as 2026-01-31T09:00:00Z")
    try:
        if isinstance(value, str) and _RFC3339.fullmatch(value):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise advice
        utc = value.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise advice from error
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def format_time(value: datetime) -> str:
    """Writes a UTC time as RFC 3339, with milliseconds only if there are any."""
    precision = "milliseconds" if to_ms(value) % 1_000 else "seconds"
    return f"{value.replace(tzinfo=None).isoformat(timespec=precision)}Z"


def to_ms(value: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z, rounded down."""
    return (value - _EPOCH) // _MILLISECOND


def from_ms(value: int) -> datetime:
    """The UTC time that many milliseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + value * _MILLISECOND


UtcTime: TypeAlias = Annotated[
    datetime, BeforeValidator(_read_time), PlainSerializer(format_time, return_type=str, when_used="json")
]
"""A time in UTC with millisecond precision; RFC 3339 in documents."""

Text: TypeAlias = Annotated[str, AfterValidator(_check_text)]
"""One line of visible text."""

Name: TypeAlias = Annotated[
    str,
    check_form(r"[a-z0-9][a-z0-9.-]{0,62}", "write a name of lower-case letters, digits, dots and hyphens"),
]
"""A short name of a member, coordinator, caller or agreement."""

ColumnName: TypeAlias = Annotated[
    str,
    check_form(
        r"\w(?:[\w .-]{0,62}\w)?",
        "write a column name of letters, digits, underscores, spaces, dots and hyphens",
    ),
]
"""A column of the data source; has no quotes, so that it can always be quoted."""

Country: TypeAlias = Annotated[
    str, check_form(r"[A-Z]{2}", "write the two-letter country code of ISO 3166, as DE or CN")
]
"""A jurisdiction, ISO 3166-1 alpha-2."""

PurposeKey: TypeAlias = Annotated[
    str, check_form(r"[a-z_]{1,40}(\.[a-z_]{1,40}){0,3}", "write a purpose, as joint_modelling.propensity")
]
"""A purpose by its dotted key; whether it is a known one is decided by the rules."""

Sha256Hex: TypeAlias = Annotated[
    str, check_form(r"[0-9a-f]{64}", "write the 64 lower-case hex digits of a SHA-256")
]
"""A SHA-256 digest."""

SubjectRef: TypeAlias = Annotated[
    str,
    check_form(
        r"[0-9a-f]{32}", "write the subject's pseudonym, 32 lower-case hex digits; never an identifier"
    ),
]
"""A subject's pseudonym (:class:`hanse.policies.Pseudonymiser`)."""

EventId: TypeAlias = Annotated[
    str,
    check_form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "write an event id of letters, digits, dots and hyphens"),
]
"""Identifies a consent event for ever, so that it can be delivered twice."""

PublicKey: TypeAlias = Annotated[str, AfterValidator(_check_key)]
"""A verifier key in its text form (:class:`hanse.crypto.VerifierKey`)."""

WitnessKey: TypeAlias = Annotated[str, AfterValidator(_check_witness_key)]
"""A witness's verifier key in its text form (:class:`hanse.crypto.cosigning.CosignerVerifier`)."""

Classification: TypeAlias = Literal["basic", "behavioural", "transaction", "sensitive"]
"""Class of a column's content, from least to most protected."""

_Item = TypeVar("_Item")

Many: TypeAlias = Annotated[tuple[_Item, ...], Field(strict=False)]
"""A tuple; written as a list. Its items are as strict as everything else."""

Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A whole number of things, at least one."""

Positive: TypeAlias = Annotated[float, Field(gt=0)]
"""A finite number above zero."""


def require_unique(what: str, values: Iterable[Hashable]) -> None:
    """Refuses repeated values; says where, not which.

    Args:
        what: What must differ, in the plural.
        values: The values.

    Raises:
        PydanticCustomError: If two are equal.
    """
    if any(count > 1 for count in Counter(values).values()):
        raise PydanticCustomError("unique", "{what} must differ from each other", {"what": what})


def problems(error: ValidationError) -> list[str]:
    """What is wrong with a document, one line per field, without any value of it.

    Args:
        error: What pydantic raised.

    Returns:
        Lines of the form ``field: what to do``, at most 20.
    """
    lines = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_PROBLEMS]:
        # The name of an unknown field is the author's; nothing of it but a plain name may reach a terminal.
        field = re.sub(r"[^\w.-]", "?", ".".join(str(part) for part in item["loc"]))[:80] or "document"
        lines.append(f"{field}: {_WORDS.get(item['type'], item['msg'])}")
    return lines
