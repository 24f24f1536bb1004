"""What both sides of the secure sum benchmark share: messages, the roster, the vectors."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import AgreedTerms, FixedPoint, Query
from hanse.crypto import VerifierKey
from setting_file import SettingFile

AGREEMENT, RUN, PHASE, PURPOSE, MINIMUM = "0" * 64, "run", "sums", "benchmark", 3


class Kind(IntEnum):
    """The first byte of every question."""

    OPEN = 1
    ADVERTISED = 2
    SHARED = 3
    CLEAR = 4
    INPUT = 5
    SURVIVORS = 6
    REVEAL = 7
    CPU = 8


@dataclass(frozen=True, slots=True)
class Setting(SettingFile):
    """What a process of members is told, in a file.

    Attributes:
        address: Of the coordinator.
        folder: With the members' homes.
        roster: Everybody's identity key as text, by member.
        members: Those of this process.
        length: Elements of every vector.
    """

    address: str
    folder: str
    roster: dict[str, str]
    members: list[str]
    length: int


def agreed(roster: dict[str, str]) -> AgreedTerms:
    """What every member knows."""
    keys = {member: VerifierKey.decode(text) for member, text in roster.items()}
    return AgreedTerms(AGREEMENT, RUN, PURPOSE, keys, MINIMUM)


def query(number: int, length: int, members: int) -> Query:
    """What is asked in a sum: elements of up to 1 with 24 binary digits, mod 2^32."""
    encoding = FixedPoint(bound=1.0, contributors=members, fraction_bits=24)
    return Query("benchmark", b"%d" % number, length, encoding)


def values(member: str, length: int) -> NDArray[np.float64]:
    """A member's vector, the same in every sum."""
    return np.random.default_rng(list(member.encode())).uniform(-1, 1, length)
