"""How long the decision about all subjects of a ledger takes, with every training rule in play.

Measured: the columns are in memory; the rules are specialised to the job, compiled, and asked about every
subject; the result is the first failing rule of each subject and the count by rule. One core. Not measured:
bringing the columns up to date (its own figure) and reading data.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from common import Figure
from hanse.enforcement import ADMITTED, ConsentColumns, RowFilter
from hanse.policies import Level, Terms, builtin_pack, merge
from hanse.policies.fields import to_ms
from hanse.policies.ledger import StandingRow, StandingRows
from hanse.policies.packs import BUILTIN
from hanse.policies.rules import TRAINING_RULES, rules_at

PURPOSE: Final = "joint_modelling.propensity"
SEPARATE: Final = ("sharing", "sensitive_data", "cross_border")
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
ORGANISATIONS: Final = ("Brand AG", "Insurer SE")
FORMS: Final = {PURPOSE: 200, **dict.fromkeys(SEPARATE, 40)}
FAULTY: Final = 0.1  # share of the standings in which something is wrong
DAY_MS: Final = 86_400_000
MILLION: Final = 1_000_000
SUBJECTS: Final = 250_000  # made up; a million are these four times, because making them takes longest
REPEATS: Final = 10


def job_facts() -> dict[str, object]:
    """A job in which every separate consent is asked for: a provider, a sensitive column, a border."""
    now_ms = to_ms(NOW)
    policy = merge([builtin_pack(name) for name in BUILTIN])
    return {
        **policy.facts(),
        **policy.times(now_ms),
        "job.purpose": PURPOSE,
        "job.now": now_ms,
        "job.organisations": frozenset(ORGANISATIONS),
        "job.non_providers": frozenset(ORGANISATIONS[1:]),
        "job.classifications": frozenset({"basic", "sensitive"}),
        "job.jurisdictions": frozenset({"DE", "CN"}),
        "job.single_jurisdiction": False,
        "job.border_mechanism": True,
        "job.may_contain_minors": True,
        "job.requires_sensitive": True,
        "job.requires_public_place": False,
        "job.notices": frozenset(f"Brand AG|2.{n}|{n:064x}" for n in range(200)),
        "job.notice_majors": frozenset({"Brand AG|2"}),
        "job.legal_bases": frozenset({"consent"}),
    }


def make_terms(purpose: str, number: int) -> Terms:
    """One form; every one differs from the others, and about one in ten satisfies no job."""
    good = Terms(
        controller=ORGANISATIONS[0],
        recipients=ORGANISATIONS[1:],
        purposes=(purpose,),
        categories=("basic", "behavioural", "sensitive"),
        notice_version=f"2.{number}",
        notice_sha256=f"{number:064x}",
        notice_published_ms=to_ms(NOW) - 400 * DAY_MS + number,
        method="active_click",
        preticked=False,
        bundled=False,
        jurisdiction="DE",
        storage_country="DE",
        legal_basis="consent",
        conditional=False,
    )
    faults: list[dict[str, object]] = [
        {"preticked": True},
        {"bundled": True},
        {"categories": ("basic",)},
        {"recipients": ()},
        {"notice_version": f"1.{number}"},
        {"method": "imported"},
        {"jurisdiction": None},
    ]
    return good if number % 10 else replace(good, **faults[number // 10 % len(faults)])  # type: ignore[arg-type]


@dataclass(frozen=True)
class MadeUpLedger:
    """A ledger of made-up subjects.

    Attributes:
        subjects: How many.
    """

    subjects: int

    def standing_rows(self, since: int = 0) -> StandingRows:
        """Everybody, as a ledger says it."""
        terms: dict[int, Terms] = {}
        for purpose, count in FORMS.items():
            terms.update({len(terms) + 1 + n: make_terms(purpose, n) for n in range(count)})
        return StandingRows(since + 1, "00" * 32, NOW, terms, self._rows(), {})

    def _rows(self) -> Iterator[StandingRow]:
        rng = np.random.default_rng(7)
        data = rng.bytes(16 * self.subjects).hex()
        refs = [data[start : start + 32] for start in range(0, len(data), 32)]
        first = 1
        for purpose, count in FORMS.items():
            numbers = rng.integers(first, first + count, self.subjects).tolist()
            given = (to_ms(NOW) - rng.integers(1, 300 * DAY_MS, self.subjects)).tolist()
            ends = (to_ms(NOW) + rng.integers(-10 * DAY_MS, 600 * DAY_MS, self.subjects)).tolist()
            ages = rng.choice([18, 21, 14, 12], self.subjects, p=[0.5, 0.4, 0.08, 0.02]).tolist()
            ended = (rng.random(self.subjects) < FAULTY).tolist()
            for ref, number, at, end, age, gone in zip(refs, numbers, given, ends, ages, ended, strict=True):
                if gone:
                    yield StandingRow(
                        ref, purpose, "withdrawn", None, None, at, None, guardian=False, age_at_least=None
                    )
                else:
                    yield StandingRow(
                        ref, purpose, "given", at, end, None, number, guardian=False, age_at_least=age
                    )
            first += count


def tiled(columns: ConsentColumns, times: int) -> ConsentColumns:
    """The same subjects, many times over: as many rows for the filter, made in a moment."""
    larger = ConsentColumns()
    larger.refresh(MadeUpLedger(1), NOW)
    larger.profiles = columns.profiles
    larger._subjects = np.tile(columns._subjects, times)  # noqa: SLF001 - made-up data
    for name, own in columns._purposes.items():  # noqa: SLF001
        copy = larger._purposes[name]  # noqa: SLF001
        copy.profile = np.tile(own.profile, times)
        copy.given = np.tile(own.given, times)
        copy.expires = np.tile(own.expires, times)
    return larger


def decide_s(columns: ConsentColumns) -> float:
    """Seconds of the quickest of several whole decisions."""
    rules = rules_at(Level.SUBJECT, TRAINING_RULES, merge([builtin_pack(name) for name in BUILTIN]))
    facts = job_facts()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        outcome = RowFilter(rules, facts, columns, PURPOSE).decide()
        times.append(time.perf_counter() - start)
        if not {"P02", "P06", "P07", "P21"} <= set(outcome.failures) or ADMITTED not in outcome.codes:
            raise RuntimeError(f"the benchmark decides nothing: {outcome.failures}")
    return min(times)


def measure(quick: bool) -> list[Figure]:  # noqa: FBT001 - as every benchmark
    """Measures.

    Args:
        quick: Leave out ten million subjects.

    Returns:
        The figures.
    """
    ledger = MadeUpLedger(SUBJECTS)
    start = time.perf_counter()
    standings = sum(1 for _ in ledger.standing_rows().rows)
    made_s = time.perf_counter() - start
    part = ConsentColumns()
    start = time.perf_counter()
    part.refresh(ledger, NOW)
    filled_s = time.perf_counter() - start - made_s
    columns = tiled(part, MILLION // SUBJECTS)
    one_s = decide_s(columns)
    ten_s = None if quick else decide_s(tiled(columns, 10))
    return [
        Figure("row filter, 1 M subjects with 4 consents, all rules", one_s * 1000, "ms", 50),
        Figure("row filter, 10 M subjects with 4 consents, all rules", ten_s and ten_s * 1000, "ms", 600),
        Figure("memory of the columns, per million subjects with 4 consents", columns.nbytes / 1e6, "MB"),
        Figure("filling the columns, per million standings", filled_s / standings * MILLION, "s"),
    ]
