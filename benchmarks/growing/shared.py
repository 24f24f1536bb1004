"""What both sides of the benchmark of trees over members share: the rows, the columns, the settings."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hanse.learning.boosting import BinnedColumn, Binning, BoostingContributor, BoostingSettings
from setting_file import SettingFile

ROWS: Final = 24_000
DEPTH: Final = 4
TREES_PER_ROUND: Final = 10
NUMERIC, BINS = 14, 32
CATEGORICAL, WORDS = 6, 8
RARITY: Final = 1.5

BINNING: Final = Binning(
    columns=(
        *(
            BinnedColumn(name=f"n{i}", kind="numeric", edges=tuple(np.linspace(-2, 2, BINS - 1).tolist()))
            for i in range(NUMERIC)
        ),
        *(
            BinnedColumn(name=f"c{i}", kind="categorical", categories=tuple("abcdefgh"[:WORDS]))
            for i in range(CATEGORICAL)
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Setting(SettingFile):
    """What a member's process is told, in a file.

    Attributes:
        address: Of the coordinator.
        folder: With the members' homes.
        roster: Everybody's identity key as text, by member.
        member: Its name.
        trees: How many are grown.
        leaves: After how many questions it ends its session; 0 for never.
    """

    address: str
    folder: str
    roster: dict[str, str]
    member: str
    trees: int
    leaves: int


def chosen(trees: int) -> BoostingSettings:
    """What is grown."""
    return BoostingSettings(trees=trees, depth=DEPTH)


def contributor(trees: int, part: slice) -> BoostingContributor:
    """Whoever has some of the rows: those of a slice."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=(ROWS, NUMERIC))
    words = rng.integers(0, WORDS, (ROWS, CATEGORICAL))
    signal = numbers[:, :6] @ np.linspace(1.0, 0.2, 6) + numbers[:, 6] * numbers[:, 7]
    labels = signal + 0.5 * (words[:, 0] > WORDS // 2) + rng.normal(size=ROWS) > RARITY
    columns = {f"n{i}": numbers[part, i] for i in range(NUMERIC)}
    letters: Any = np.array(list("abcdefgh"), dtype=object)
    columns |= {f"c{i}": letters[words[part, i]] for i in range(CATEGORICAL)}
    codes = BINNING.encode(columns)
    return BoostingContributor(chosen(trees), BINNING, codes, labels[part].astype(np.float64))
