"""Findings about a model as documents: canonical JSON, one reading, no second spelling."""

from typing import TypeVar

from pydantic import ValidationError

from hanse.crypto import canonical_json
from hanse.errors import ProtocolError
from hanse.policies.fields import Document, problems

_Statement = TypeVar("_Statement", bound=Document)


def statement_to_json(statement: Document) -> bytes:
    """The canonical JSON of a statement: what is signed, stored and put into a model card."""
    return canonical_json(statement.model_dump(mode="json"))


def statement_from_json(kind: type[_Statement], data: bytes) -> _Statement:
    """Reads what :func:`statement_to_json` wrote, and no other spelling of it.

    Args:
        kind: The kind of statement that is expected.
        data: Bytes from anywhere.

    Returns:
        The statement.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not one; no value of it is repeated.
    """
    try:
        statement = kind.model_validate_json(data)
    except ValidationError as error:
        raise ProtocolError("protocol.malformed", f"{kind.__name__}: {problems(error)[0]}") from error
    if statement_to_json(statement) != data:
        raise ProtocolError("protocol.malformed", f"{kind.__name__}: not in its canonical form")
    return statement
