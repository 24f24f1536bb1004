"""Divides a data set among the demo's members, each with its own kind of customers.

The natural key (an occupation, a way to pay) decides. Real partners differ in their customers; rows dealt at
random would make members look alike and federated learning look easier than it is.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.demo.data import DemoData, Rows
from hanse.demo.dictionaries import DataDictionary
from hanse.errors import ConfigurationError

MINIMUM_ROWS: Final = 200
"""Fewest rows that a member is given: consent and held-out rows still leave the smallest allowed cohort."""

_SECTORS: Final = (
    ("brand", "Visby Motors"),
    ("insurer", "Bremen Mutual Insurance"),
    ("media", "Bergen Media House"),
    ("retailer", "Riga Department Stores"),
    ("telecom", "Tallinn Telecom"),
    ("bank", "Stralsund Savings Bank"),
    ("travel", "Rostock Ferries"),
    ("energy", "Wismar Power and Light"),
    ("grocer", "Kampen Grocers"),
    ("pharmacy", "Deventer Pharmacies"),
    ("publisher", "Zwolle Press"),
    ("hotel", "Gotland Hotels"),
    ("cinema", "Stade Cinemas"),
    ("furniture", "Torun Furniture"),
    ("sports", "Kiel Sports Clubs"),
    ("railway", "Goslar Railways"),
    ("fashion", "Soest Fashion"),
    ("streaming", "Elblag Streaming"),
    ("garden", "Brugge Gardens"),
    ("electronics", "Gdansk Electronics"),
)
# A second and third organisation of each sector; benchmarks with many small members need up to 40.
_REGIONS: Final = ("", "North", "South")
MAXIMUM_MEMBERS: Final = len(_SECTORS) * len(_REGIONS)
"""Most members that the demo has names for."""


_Positions: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class MemberData:
    """What one member has, and the test rows of its kind that the demo keeps from it.

    Attributes:
        name: Name in the agreement, a lower-case word.
        organisation: Made-up name of the organisation.
        dictionary: What is public about the data.
        groups: Values of the natural key of its customers.
        rows: Rows that the member has.
        test: Test rows of the same groups. No member ever has them.
        identifiers: By what other members know the people, by kind; none in a horizontal demo.
        labelled: Whether it has the label.
    """

    name: str
    organisation: str
    dictionary: DataDictionary
    groups: tuple[str, ...]
    rows: Rows
    test: Rows
    identifiers: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)
    labelled: bool = True


def partition(data: DemoData, members: int) -> list[MemberData]:
    """Divide the rows of ``data`` among ``members`` members.

    Groups of the natural key are packed greedily, largest first, into the member with the fewest rows. The
    largest group is cut in half, every second row to each side, only while there are fewer groups than
    members, or a member would have fewer than :data:`MINIMUM_ROWS` rows.

    Raises:
        ConfigurationError: ``config.invalid`` with fewer than two members, more than there are names for, or
            so many that a member would have fewer than :data:`MINIMUM_ROWS` rows, or one class only.
    """
    if not 2 <= members <= MAXIMUM_MEMBERS:  # noqa: PLR2004 - a federation of one is none
        raise ConfigurationError(
            "config.invalid", f"the demo needs 2 to {MAXIMUM_MEMBERS} members, not {members}"
        )
    return [_member(data, number, share) for number, share in enumerate(_shares(data, members))]


def _shares(data: DemoData, members: int) -> list[_Positions]:
    """Row positions of each member."""
    pieces = [np.flatnonzero(data.groups == group) for group in sorted(set(data.groups))]
    while True:
        shares = _pack(pieces, members)
        if min(np.count_nonzero(~data.test[share]) for share in shares) >= MINIMUM_ROWS:
            return shares
        pieces.sort(key=len)
        largest = pieces.pop()
        if len(largest) < MINIMUM_ROWS // 4:
            raise ConfigurationError(
                "config.invalid",
                f"{len(data.rows)} rows are too few for {members} members with {MINIMUM_ROWS} rows each",
            )
        pieces += [largest[::2], largest[1::2]]


def _pack(pieces: list[_Positions], members: int) -> list[_Positions]:
    """Deal the pieces, largest first, each to the member with the fewest rows."""
    shares: list[tuple[int, int, list[_Positions]]] = [(0, number, []) for number in range(members)]
    for piece in sorted(pieces, key=len, reverse=True):
        n_rows, number, content = heapq.heappop(shares)
        heapq.heappush(shares, (n_rows + len(piece), number, [*content, piece]))
    none = np.zeros(0, dtype=np.intp)
    return [np.sort(np.concatenate([none, *content])) for _, _, content in sorted(shares, key=_number)]


def _number(share: tuple[int, int, list[_Positions]]) -> int:
    return share[1]


def _member(data: DemoData, number: int, share: NDArray[np.intp]) -> MemberData:
    name, organisation = _SECTORS[number % len(_SECTORS)]
    if region := _REGIONS[number // len(_SECTORS)]:
        name, organisation = f"{name}-{region.lower()}", f"{organisation} {region}"
    rows = data.rows.take(share[~data.test[share]])
    if not 0 < rows.labels.sum() < len(rows):
        raise ConfigurationError(
            "config.invalid", f"{name} would have rows of one class only; use fewer members"
        )
    return MemberData(
        name=name,
        organisation=organisation,
        dictionary=data.dictionary,
        groups=tuple(sorted(set(data.groups[share]))),
        rows=rows,
        test=data.rows.take(share[data.test[share]]),
    )
