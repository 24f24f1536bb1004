"""What a party saw, as numbers per person, and the attacks on it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.leakage.attacks import (
    Floats,
    Labels,
    area,
    cosine_area,
    norm_scores,
    probe_area,
    spectral_scores,
)
from hanse.learning.vertical.leakage.report import Attack, Finding

KNOWN: Final = 200
"""People of whom probes know the label, or the columns."""

MAX_WIDTH: Final = 256
"""Numbers per person that attacks look at; of wider things the first."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Something that a party saw of every person.

    Attributes:
        name: In words, for the report.
        seen: Shape (rows, width).
        without: What the party had of the same kind without the run, shape (rows, any width); None for none.
        attacks: Those that make sense here.
    """

    name: str
    seen: Floats
    without: Floats | None = None
    attacks: tuple[Attack, ...] = ("norm", "cosine", "spectral", "probe")


def attack_labels(
    surfaces: Iterable[Surface], labels: Labels, rng: np.random.Generator
) -> tuple[Finding, ...]:
    """Runs the attacks of each surface.

    Args:
        surfaces: What was seen.
        labels: The true ones, shape (rows,).
        rng: Chooses known people; the attack and its comparison know the same ones.

    Returns:
        One finding for each surface and attack.
    """
    findings = []
    for surface in surfaces:
        for attack in surface.attacks:
            seed = int(rng.integers(1 << 62))
            found = _area(attack, surface.seen, labels, seed)
            without = None if surface.without is None else _area(attack, surface.without, labels, seed)
            findings.append(Finding(attack=attack, seen=surface.name, area=found, without=without))
    return tuple(findings)


def ring_surfaces(
    name: str, messages: Sequence[Sequence[NDArray[np.unsignedinteger[Any]]]]
) -> tuple[Surface, Surface]:
    """Ring elements that a party received of every person, as an attacker who takes them for numbers.

    Masked ones are uniform, so that every attack should fail; a protocol that forgot a mask shows here.

    Args:
        name: In words.
        messages: For each epoch (tree, iteration) the arrays of shape (rows, any width), unsigned.

    Returns:
        What was seen in the first epoch; and the sums over all epochs, column by column.
    """
    first, *_ = sums = [_side_by_side(epoch) for epoch in messages]
    width = max(table.shape[1] for table in sums)
    total = np.zeros((len(first), width))
    for table in sums:
        total[:, : table.shape[1]] += table
    return Surface(f"{name}, first", first), Surface(f"{name}, averaged", total)


def _side_by_side(arrays: Sequence[NDArray[np.unsignedinteger[Any]]]) -> Floats:
    tables = [array.view(np.dtype(f"i{array.itemsize}")).astype(np.float64) for array in arrays]
    joined: Floats = np.concatenate([table.reshape(len(table), -1) for table in tables], axis=1)[
        :, :MAX_WIDTH
    ]
    return joined / max(
        1.0, float(np.abs(joined).max(initial=0.0))
    )  # squares of 2^63 lose nothing that counts


def _area(attack: Attack, seen: Floats, labels: Labels, seed: int) -> float:
    rng = np.random.default_rng(seed)
    match attack:
        case "norm":
            return area(norm_scores(seen), labels, signed=False)
        case "cosine":
            return cosine_area(seen, labels, rng)
        case "spectral":
            return area(spectral_scores(seen), labels, signed=False)
        case "probe":
            return probe_area(seen, labels, KNOWN, rng)
