"""The common people of a run, in the order that all its members have them in.

Each member keeps them with its part of the model, by its own pseudonyms, which say nothing to anybody else:
one line of 32 hex digits for each. A person's line is what members call it by when it is scored.
"""

import re
from collections.abc import Sequence
from typing import Final

from hanse.errors import ServingError

PEOPLE_FILE: Final = "people.txt"
AGREEMENT_FILE: Final = "agreement.note"
"""The signed agreement, beside them: a part is served under the one that it was made under."""

_FILE: Final = re.compile(rb"(?:[0-9a-f]{32}\n)*")


def encode_people(refs: Sequence[str]) -> bytes:
    """The file.

    Args:
        refs: Pseudonyms in the common order.
    """
    return "".join(f"{ref}\n" for ref in refs).encode("ascii")


def decode_people(data: bytes) -> tuple[str, ...]:
    """Reads the file.

    Raises:
        ServingError: ``model.invalid`` if the bytes are none, or somebody is in it twice.
    """
    if _FILE.fullmatch(data) is None:
        raise ServingError("model.invalid", f"{PEOPLE_FILE} is not a list of pseudonyms")
    refs = tuple(data.decode("ascii").split("\n")[:-1])
    if len(set(refs)) != len(refs):
        raise ServingError("model.invalid", f"{PEOPLE_FILE} names somebody twice")
    return refs
