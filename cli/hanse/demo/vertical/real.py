"""A real data set in the vertical demo: its columns belong to two parties, as its ``spec.json`` says.

The rows are data as published. That two organisations hold them, and by what they know the people, is
generated. Sensitive columns are left out: without a privacy budget, which vertical models do not have, rule
P18 allows none. Columns about accounts, credit lines, bills and payments are among them because PIPL 28 names
financial accounts, and the demo's agreements adopt its rules beside those of the GDPR, which does not.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from hanse.demo.data import load
from hanse.demo.dictionaries import DataDictionary
from hanse.demo.vertical.story import Holder, Story
from hanse.errors import ConfigurationError
from hanse.policies import Column

_PARTIES: Final = (
    ("brand", "Visby Motors", "party_a_label_holder"),
    ("insurer", "Bremen Mutual Insurance", "party_b_partner"),
)
_OVERLAP: Final = 0.85


def real_story(folder: Path, rng: np.random.Generator) -> Story:
    """Reads a data set and divides its columns.

    Args:
        folder: With ``NAME.csv.gz``, ``split.csv.gz`` and ``spec.json``.
        rng: Draws identifiers, and whom the partner knows.

    Raises:
        ConfigurationError: As :func:`hanse.demo.data.load`; ``config.bad-data`` if the parties' columns are
            not said, or one has none that can be used.
    """
    data, spec = load(folder), _spec(folder / "spec.json")
    people = len(data.rows)
    emails = np.array(
        [f"generated.{number:07d}@example.org" for number in rng.permutation(people)], dtype=object
    )
    holders = []
    for place, (name, organisation, key) in enumerate(_PARTIES):
        left_out = _left_out(data.dictionary, spec[key])
        columns = _usable(data.dictionary.columns, spec[key], left_out, key)
        known = rng.random(people) < (_OVERLAP if place else 1.0)
        person = rng.permutation(np.flatnonzero(known))
        values = {column.name: data.rows.columns[column.name][person] for column in columns}
        identifiers = {"email": emails[person]}
        holders.append(Holder(name, organisation, columns, values, person, identifiers, left_out))
    return Story(data.dictionary.title, data.dictionary.label, tuple(holders), data.rows.labels)


def _spec(path: Path) -> dict[str, list[str]]:
    try:
        spec = json.loads(path.read_bytes())
        return {key: [str(name) for name in spec[key]] for *_, key in _PARTIES}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigurationError(
            "config.bad-data", f"{path} does not say which party has which columns"
        ) from error


def _left_out(dictionary: DataDictionary, names: Sequence[str]) -> dict[str, str]:
    """Columns of a party that it does not use, with the reason."""
    reasons = {name: reason for name, reason in dictionary.left_out.items() if name in names}
    for column in dictionary.columns:
        if column.name in names and column.classification == "sensitive":
            kind = (column.special or "").replace("_", " ")
            reasons[column.name] = f"sensitive ({kind}); a vertical model has no privacy budget (rule P18)"
    return reasons


def _usable(
    columns: Sequence[Column], names: Sequence[str], left_out: Mapping[str, str], key: str
) -> tuple[Column, ...]:
    found = tuple(c for c in columns if c.name in names and c.name not in left_out)
    if not found:
        raise ConfigurationError(
            "config.bad-data",
            f"every column of {key} is sensitive, and rule P18 allows none without a privacy budget, which "
            "vertical models do not have; without --vertical, the demo trains on such columns with one",
        )
    return found
