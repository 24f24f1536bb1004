"""What a party saw, as numbers per person, and the attacks on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.learning.vertical.leakage.attacks import (
    Floats,
    Labels,
    area,
    area_given,
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

MAX_NUMBERS: Final = 1 << 24
"""Numbers of all people together that attacks look at: 128 MB for a table of them."""


def widest(rows: int) -> int:
    """Numbers per person that attacks look at among so many people."""
    return max(1, min(MAX_WIDTH, MAX_NUMBERS // max(1, rows)))


@dataclass(frozen=True, slots=True)
class Surface:
    """Something that a party saw of every person.

    Attributes:
        name: In words, for the report.
        seen: Shape (rows, width).
        without: What the party had of the same kind without the run, shape (rows, any width); None for none.
        given: What the party's own columns say of each person, shape (rows,); None if that is not to be told
            apart from what is said of the person's own label.
        attacks: Those that make sense here.
    """

    name: str
    seen: Floats
    without: Floats | None = None
    given: Floats | None = None
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
            given = (
                None if surface.given is None else _area(attack, surface.seen, labels, seed, surface.given)
            )
            findings.append(
                Finding(attack=attack, seen=surface.name, area=found, without=without, given=given)
            )
    return tuple(findings)


def _area(attack: Attack, seen: Floats, labels: Labels, seed: int, given: Floats | None = None) -> float:
    rng = np.random.default_rng(seed)
    match attack:
        case "cosine":
            return cosine_area(seen, labels, rng, given)
        case "probe":
            return probe_area(seen, labels, KNOWN, rng, given)
        case "norm" | "spectral":
            scores = norm_scores(seen) if attack == "norm" else spectral_scores(seen)
            if given is not None:
                return area_given(scores, labels, given)
            return area(scores, labels, signed=False)
