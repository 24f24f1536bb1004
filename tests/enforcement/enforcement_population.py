"""A hundred thousand made-up subjects, each with a few things wrong, and a job that asks for every rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tests.policies.conftest import EXAMPLE

from hanse.policies import Agreement, ConsentSnapshot, Job, Policy, Standing, Terms, builtin_pack, merge
from hanse.policies.consent import Folding
from hanse.policies.fields import to_ms

if TYPE_CHECKING:
    import numpy as np

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS: Final = to_ms(NOW)
DAY_MS: Final = 86_400_000
PURPOSE: Final = "joint_modelling.propensity"
PURPOSES: Final = (PURPOSE, "sharing", "sensitive_data", "cross_border")
PACKS: Final = ("pipl", "gdpr")
BRAND, INSURER, STRANGER = "Nordwagen AG", "Hanse Versicherung Süd", "Stranger Ltd"
PUBLISHED_MS: Final = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
SHA: Final = {BRAND: "ab" * 32, INSURER: "cd" * 32}
VERSION: Final = {BRAND: "2.1", INSURER: "1"}

# What can be wrong with a form; each value is drawn with the same probability.
FAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "controller": (None, STRANGER, INSURER),
    "recipients": ((), (STRANGER,), (BRAND,), (BRAND, INSURER, STRANGER)),
    "purposes": ((PURPOSE, "sharing"), ("joint_modelling",), ("sharing",), ("scoring",)),
    "categories": (
        (),
        ("basic",),
        ("basic", "behavioural"),
        ("basic", "behavioural", "sensitive", "transaction"),
    ),
    "notice_version": (None, "2.0", "1.9", "3"),
    "notice_sha256": (None, "ef" * 32),
    "notice_published_ms": (None, PUBLISHED_MS + 20 * DAY_MS, PUBLISHED_MS - 1, 0),
    "method": (None, "imported", "signed", "verbal"),
    "preticked": (None, True),
    "bundled": (None, True),
    "conditional": (None, True),
    "jurisdiction": (None, "CN", "US"),
    "storage_country": (None, "CN", "US"),
    "legal_basis": (None, "legitimate_interest", "contract"),
}


@cache
def agreement(
    *, minors: bool = True, provider: bool = True, abroad: bool = True, required: str = ""
) -> Agreement:
    """A provider, a border, children, and columns of every kind that nobody must show but for one."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for name in PACKS:
        text = text.replace(f"@{name}@", builtin_pack(name).digest)
    base = Agreement.from_yaml(text)
    document: Any = base.model_dump(mode="json")
    document["may_contain_minors"] = minors
    if provider:
        document["members"][0]["role"] = "provider"
    if abroad:
        document["members"][1]["storage_country"] = "CN"
        document["border"] = {"mechanism": "security_assessment", "reference": "CAC 7", "other_places": []}
    column = {**document["columns"][2], "classification": "sensitive", "special": "medical"}
    optional = {"necessity": "Tells drivers apart", "required": False}
    document["columns"] += [
        {**column, "name": "health", **optional},
        {**column, "name": "camera", "classification": "behavioural", "special": "public_place", **optional},
        {**document["columns"][2], "name": "extra km", **optional},
    ]
    for column in document["columns"]:
        column["required"] = column["required"] or column["name"] == required
    document["assessment"]["classifications"] = ["basic", "behavioural", "sensitive"]
    return Agreement.model_validate(document)


@cache
def policy() -> Policy:
    return merge([builtin_pack(name) for name in PACKS])


def job(document: Agreement, head: int = 1) -> Job:
    return Job(document, policy(), PURPOSE, NOW, "brand", head)


def good_terms(purpose: str, controller: str = BRAND) -> Terms:
    other = INSURER if controller == BRAND else BRAND
    return Terms(
        controller=controller,
        recipients=(other,),
        purposes=(purpose,),
        categories=("basic", "behavioural", "sensitive"),
        notice_version=VERSION[controller],
        notice_sha256=SHA[controller],
        notice_published_ms=PUBLISHED_MS,
        method="active_click",
        preticked=False,
        bundled=False,
        jurisdiction="DE",
        storage_country="DE",
        legal_basis="consent",
        conditional=False,
    )


def make_forms(rng: np.random.Generator, purpose: str, count: int) -> list[Terms]:
    """Good ones, and ones with one to three faults."""
    forms = [good_terms(purpose), good_terms(purpose, INSURER)]
    names = list(FAULTS)
    while len(forms) < count:
        chosen = rng.choice(names, size=rng.choice([1, 1, 1, 2, 3]), replace=False)
        changes = {name: FAULTS[name][rng.integers(len(FAULTS[name]))] for name in chosen}
        forms.append(replace(good_terms(purpose, BRAND if rng.random() < 0.7 else INSURER), **changes))
    return forms


def make_standing(rng: np.random.Generator, forms: list[Terms], oldest_ms: int) -> Standing:
    fault = rng.random()
    if fault < 0.04:
        state = ("withdrawn", "refused", "objected", "invalidated", "expired")[rng.integers(5)]
        return Standing(state, NOW_MS - DAY_MS, None, None, None)
    terms = forms[rng.integers(2)] if fault < 0.8 else forms[rng.integers(len(forms))]
    given: int | None = PUBLISHED_MS + int(rng.integers(0, 50 * DAY_MS))
    expires: int | None = NOW_MS + int(rng.integers(1, 500 * DAY_MS))
    if rng.random() < 0.08:
        edge = (PUBLISHED_MS, NOW_MS, oldest_ms)[rng.integers(3)]
        given = (None, edge - 1, edge, edge + 1)[rng.integers(4)]
    if rng.random() < 0.08:
        expires = (None, NOW_MS - 1, NOW_MS, NOW_MS + 1)[rng.integers(4)]
    age = (None, 0, 13, 14, 15, 16, 17, 18)[rng.integers(8)] if rng.random() < 0.15 else 18
    return Standing("given", None, given, expires, terms, bool(rng.random() < 0.1), age)


def make_folding(rng: np.random.Generator) -> Folding:
    columns = rng.choice(["age", "health", "extra km", "y", "camera", "no such"], size=rng.integers(0, 3))
    classes = rng.choice(["sensitive", "transaction", "behavioural"], size=rng.integers(0, 2))
    return Folding(frozenset(columns.tolist()), frozenset(classes.tolist()))


def make_snapshot(rng: np.random.Generator, subjects: int) -> ConsentSnapshot:
    """Subjects with the four consents, now and then without one; a few hide something."""
    forms = {purpose: make_forms(rng, purpose, 150) for purpose in PURPOSES}
    oldest_ms = job(agreement()).policy.times(NOW_MS)["job.given_since"]
    assert isinstance(oldest_ms, int)
    standings: dict[str, dict[str, Standing]] = {purpose: {} for purpose in (*PURPOSES, "scoring")}
    foldings: dict[str, dict[str, Folding]] = {PURPOSE: {}}
    for number in range(subjects):
        ref = ref_of(number)
        for purpose in PURPOSES:
            if rng.random() < 0.97:
                standings[purpose][ref] = make_standing(rng, forms[purpose], oldest_ms)
        if rng.random() < 0.5:
            standings["scoring"][ref] = Standing("given", None, 1, 2, good_terms("scoring"))
        if rng.random() < 0.05:
            foldings[PURPOSE][ref] = make_folding(rng)
    return ConsentSnapshot(1, "11" * 32, NOW, standings, NOW - timedelta(hours=1), foldings)


def ref_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"
