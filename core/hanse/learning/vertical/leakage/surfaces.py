"""What a party saw, as numbers per person, and the attacks on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

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
