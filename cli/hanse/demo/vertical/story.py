"""The story of the vertical demo: a car brand, an insurer and a media house know the same people.

Everything is generated. Five traits that nobody sees (wealth, stage of life, mobility, use of digital offers,
fondness of cars) make what each of the three knows, and whether somebody buys a car within 90 days. Part of
that can only be told from columns of two of them together. Identifiers are as dirty as in practice: another
spelling, a tag after a plus sign, an old address, a phone number without its country code. Not everybody is
known to everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.policies import Column

Values: TypeAlias = NDArray[np.generic]
Floats: TypeAlias = NDArray[np.float64]

LABEL: Final = "bought_90d"
POSITIVE_SHARE: Final = 0.08
COUNTRY_CODE: Final = "49"
MADE_UP: Final = "generated for the demo of `hanse`; nobody is in it"

_BINS: Final = 24
_DIRTY: Final = 0.06
_NO_PHONE: Final = 0.15
_OVERLAP: Final = MappingProxyType({"brand": 1.0, "insurer": 0.75, "media": 0.7})
_NOISE: Final = 0.35
_TOGETHER: Final = 1.0
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Holder:
    """What one party of a vertical demo has.

    Attributes:
        name: Name in the agreement.
        organisation: Made-up name of the organisation.
        columns: Its columns, as the agreement has them.
        values: Of its rows, by column name.
        person: Who each row is, as a number that only the demo knows.
        identifiers: By what others know the people, by kind.
        left_out: Columns that it has and does not use, with the reason.
    """

    name: str
    organisation: str
    columns: tuple[Column, ...]
    values: Mapping[str, Values]
    person: NDArray[np.intp]
    identifiers: Mapping[str, NDArray[np.object_]]
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """Who knows what, and what becomes of it.

    Attributes:
        title: For people.
        label: Name of the label's column at the first holder.
        holders: The label holder, then the others.
        labels: Of each person, bool.
    """

    title: str
    label: str
    holders: tuple[Holder, ...]
    labels: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Traits:
    """What nobody sees, by person."""

    wealth: Floats
    life: Floats
    mobility: Floats
    digital: Floats
    fondness: Floats


def car_story(people: int, members: int, rng: np.random.Generator) -> Story:
    """Draws the story.

    Args:
        people: Customers of the brand.
        members: 2 for brand and insurer, 3 with the media house.
        rng: Draws everything.
    """
    traits = _Traits(*(rng.normal(size=people) for _ in range(5)))
    known = {
        "brand": _brand(traits, rng),
        "insurer": _insurer(traits, rng),
        "media": _media(traits, rng),
    }
    labels = _labels(known, members, rng)
    identity = _identities(people, rng)
    organisations = {
        "brand": "Visby Motors",
        "insurer": "Bremen Mutual Insurance",
        "media": "Bergen Media House",
    }
    holders = []
    for name in list(known)[:members]:
        person = rng.permutation(np.flatnonzero(rng.random(people) < _OVERLAP[name]))
        spelled = {kind: _spelled(kind, texts[person], rng) for kind, texts in identity.items()}
        values = {column: array[person] for column, array in known[name].items()}
        columns = tuple(_column(column, array) for column, array in known[name].items())
        holders.append(Holder(name, organisations[name], columns, values, person, spelled))
    return Story("Who buys a car within 90 days (generated)", LABEL, tuple(holders), labels)


def _brand(traits: _Traits, rng: np.random.Generator) -> dict[str, Floats]:
    people = len(traits.wealth)
    age_months = _within(48 - 10 * traits.wealth + rng.normal(0, 24, people), 1, 180)
    return {
        "vehicle_age_months": age_months.round(),
        "contract_end_months": _within(rng.exponential(18, people), 0, 60).round(),
        "service_visits": rng.poisson(np.exp(0.2 + 0.25 * traits.fondness)).astype(float),
        "dealer_km": np.exp(2.2 + 0.3 * traits.mobility + rng.normal(0, 0.6, people)).round(1),
        "newsletter_rate": _logistic(
            -1 + 0.7 * traits.fondness + 0.5 * traits.digital + rng.normal(0, 0.5, people)
        ).round(3),
        "configurations_90d": rng.poisson(np.exp(-1.2 + 0.6 * traits.fondness + 0.4 * traits.digital)).astype(
            float
        ),
    }


def _insurer(traits: _Traits, rng: np.random.Generator) -> dict[str, Floats]:
    people = len(traits.wealth)
    return {
        "km_a_year": np.exp(9.3 + 0.35 * traits.mobility + rng.normal(0, 0.25, people)).round(-2),
        "cover": np.digitize(traits.wealth + rng.normal(0, 0.8, people), [-0.7, 0.6]).astype(float),
        "drivers": (
            1 + (rng.random(people) < _logistic(0.4 * traits.life)) + rng.binomial(1, 0.1, people)
        ).astype(float),
        "claims_3y": rng.poisson(np.exp(-1.6 + 0.25 * traits.mobility)).astype(float),
        "premium": np.exp(
            6.3 + 0.2 * traits.wealth + 0.1 * traits.mobility + rng.normal(0, 0.2, people)
        ).round(),
        "renewal_in_months": rng.integers(0, 12, people).astype(float),
    }


def _media(traits: _Traits, rng: np.random.Generator) -> dict[str, Floats]:
    people = len(traits.wealth)
    return {
        "car_minutes_30d": np.exp(
            1 + 0.6 * traits.fondness + 0.6 * traits.digital + rng.normal(0, 0.8, people)
        ).round(1),
        "comparison_visits": rng.poisson(np.exp(-1 + 0.7 * traits.digital)).astype(float),
        "ads_seen": rng.poisson(6, people).astype(float),
        "family_segment": np.digitize(traits.life + rng.normal(0, 0.6, people), [-1, 0, 1]).astype(float),
        "weekend_share": _logistic(rng.normal(size=people)).round(3),
    }


def _labels(
    known: Mapping[str, Mapping[str, Floats]], members: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Who buys: what each party knows counts for itself, and some of it only together."""
    brand, insurer, media = known["brand"], known["insurer"], known["media"]
    age, ends, looks = (
        _standard(np.log1p(brand["vehicle_age_months"])),
        brand["contract_end_months"],
        _standard(brand["configurations_90d"]),
    )
    minutes = _standard(np.log1p(media["car_minutes_30d"]))
    score = (
        0.55 * age
        - 0.55 * _standard(np.log1p(ends))
        + 0.3 * looks
        + 0.2 * _standard(brand["newsletter_rate"])
    )
    score += 0.45 * _standard(np.log(insurer["km_a_year"])) + 0.3 * _standard(insurer["cover"])
    score += 0.25 * _standard(insurer["drivers"]) - 0.35 * _standard(np.log1p(insurer["renewal_in_months"]))
    together = 0.45 * age * _standard(insurer["km_a_year"])
    together += 0.7 * (ends < 6) * (insurer["renewal_in_months"] < 2)  # noqa: PLR2004 - two dates that coincide
    if members > 2:  # noqa: PLR2004 - the media house is there
        score += 0.45 * minutes + 0.3 * _standard(media["comparison_visits"])
        score += 0.25 * _standard(media["family_segment"])
        together += 0.35 * looks * minutes
    score += _TOGETHER * together + rng.normal(0, _NOISE, len(score))
    return rng.random(len(score)) < _logistic(score + _intercept(score))


def _intercept(score: Floats) -> float:
    """What makes the mean probability :data:`POSITIVE_SHARE`, by halving an interval."""
    low, high = -20.0, 10.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = bool(_logistic(score + middle).mean() < POSITIVE_SHARE)
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _identities(people: int, rng: np.random.Generator) -> dict[str, NDArray[np.object_]]:
    """Addresses and numbers of people there cannot be: reserved domain, reserved numbers (RFC 2606)."""
    numbers = rng.permutation(10 * people)[:people]
    return {
        "email": np.array([f"generated.{number:07d}@example.org" for number in numbers], dtype=object),
        "phone": np.array([f"+49 1520 {number:07d}" for number in rng.permutation(numbers)], dtype=object),
    }


def _spelled(kind: str, texts: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.object_]:
    """Identifiers as one party has them."""
    drawn, which = rng.random(len(texts)), rng.integers(0, 3, len(texts))
    made = []
    for text, chance, way in zip(texts.tolist(), drawn.tolist(), which.tolist(), strict=True):
        if kind == "phone":
            national = "0" + text.removeprefix("+49").replace(" ", "")
            made.append(None if chance < _NO_PHONE else national if way == 0 else text)
        elif chance < _DIRTY:
            old = text.replace("generated.", "generated.old.")
            made.append((old, None, text.replace("@", " at "))[way])
        else:
            made.append((text, text.upper(), text.replace("@", "+news@"))[way])
    return np.array(made, dtype=object)


def _column(name: str, values: Floats) -> Column:
    """A column in bins of about equal size between bounds that the story makes public: it is made up."""
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))
    return Column(
        name=name,
        kind="numeric",
        classification="behavioural",
        edges=(low, high),
        transform="quantiles",
        bins=_BINS,
    )


def _within(values: Floats, low: float, high: float) -> Floats:
    return np.clip(values, low, high)


def _standard(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _logistic(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))
