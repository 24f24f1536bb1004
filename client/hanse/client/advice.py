"""Minimisation advice (rule P14): which columns an agreement could do without. It decides nothing by itself.

Contributions come from signed models and what is published beside them, so that the advice costs no privacy
budget (:mod:`hanse.learning.contribution`, which also says what the measure cannot see). What a person makes
of it is a task for the data protection officer.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey
from hanse.learning import ColumnContribution, LoadedModel, contributions, load_model
from hanse.policies import (
    RULES,
    Agreement,
    Column,
    Folding,
    Policy,
    decide,
    read_unverified,
)
from hanse.policies.rules import Level
from hanse.privacy import make_plan

MOSTLY: Final = 0.5
"""Share of the consenting subjects who hide a column, from which on it is of little use. Our default."""

Measured = Mapping[str, ColumnContribution]


class Advice(StrEnum):
    """What to look at, for people; most urgent first."""

    NO_NECESSITY = "sensitive, and nothing says why the purpose needs it"
    REMOVE = "no measured contribution over the last models: remove it, or record why it stays"
    MOSTLY_HIDDEN = "most subjects hide it: remove it, or make it optional"
    NOT_USED = "declared at this site, and used by no agreement: declare it no longer"
    WATCH = "no measured contribution in the last model"
    NOT_MEASURED = "no model of this agreement has measured it yet"
    KEEP = "contributes"


@dataclass(frozen=True, slots=True)
class ColumnAdvice:
    """What is known of one column, and what to do about it.

    Attributes:
        column: Name of the column.
        classification: Its class; empty if only this site declares it.
        contribution: Its contribution to the newest model; None if that does not know it.
        unused_runs: For how many models up to the newest it has contributed nothing.
        hidden: How many subjects of this site hide it.
        subjects: How many subjects of this site agreed to the purpose.
        advice: What to do; one or more.
    """

    column: str
    classification: str
    contribution: ColumnContribution | None
    unused_runs: int
    hidden: int
    subjects: int
    advice: tuple[Advice, ...]

    @property
    def is_task(self) -> bool:
        """Whether a data protection officer has something to decide."""
        return bool(set(self.advice) - {Advice.KEEP, Advice.WATCH, Advice.NOT_MEASURED})


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a site knows beside the models.

    Attributes:
        declared: Columns that it declares for collaborations.
        used: Columns of all agreements that it ran.
        hidden: How many subjects hide each column of the agreement.
        subjects: How many subjects agreed to the purpose.
    """

    declared: Collection[str] = ()
    used: Collection[str] = ()
    hidden: Mapping[str, int] | None = None
    subjects: int = 0


def advise(
    agreement: Agreement, policy: Policy, measured: Sequence[Measured], site: SiteFacts
) -> tuple[ColumnAdvice, ...]:
    """Judges every column of an agreement, and every other that the site declares. Pure.

    Args:
        agreement: The agreement.
        policy: Its merged rule packs.
        measured: Contributions to each model, the oldest first.
        site: What the site knows beside.

    Returns:
        The agreement's columns in order, then those that only the site declares.
    """
    columns = [_of_agreement(column, policy, measured, site) for column in agreement.columns]
    known = {column.name for column in agreement.columns} | set(site.used)
    unused = [
        ColumnAdvice(name, "", None, 0, 0, site.subjects, (Advice.NOT_USED,))
        for name in site.declared
        if name not in known
    ]
    return (*columns, *unused)


def _of_agreement(
    column: Column, policy: Policy, measured: Sequence[Measured], site: SiteFacts
) -> ColumnAdvice:
    newest = measured[-1].get(column.name) if measured else None
    unused = _unused_runs(column.name, measured)
    hidden = (site.hidden or {}).get(column.name, 0)
    advice = []
    if column.classification == "sensitive" and column.necessity is None:
        advice.append(Advice.NO_NECESSITY)
    if newest is None:
        advice.append(Advice.NOT_MEASURED)
    elif not _may_stay(unused, policy):
        advice.append(Advice.REMOVE)
    elif unused:
        advice.append(Advice.WATCH)
    if site.subjects and hidden >= MOSTLY * site.subjects:
        advice.append(Advice.MOSTLY_HIDDEN)
    ordered = tuple(item for item in Advice if item in advice) or (Advice.KEEP,)
    return ColumnAdvice(column.name, column.classification, newest, unused, hidden, site.subjects, ordered)


def _may_stay(unused_runs: int, policy: Policy) -> bool:
    """What rule P14 says of a column that nobody has decided to keep."""
    facts = {**policy.facts(), "column.unused_runs": unused_runs}
    return decide(RULES["P14"], Level.AGREED_COLUMN, facts).allowed


def _unused_runs(name: str, measured: Sequence[Measured]) -> int:
    """Models without contribution in a row, counted back from the newest."""
    runs = 0
    for model in reversed(measured):
        if name not in model or not model[name].negligible:
            break
        runs += 1
    return runs


def measure(model: LoadedModel, rng: np.random.Generator) -> Measured:
    """The contributions to one model, with the noise that its agreement's budget asks for.

    The noise is that of a run with the whole budget before it; a later run under what is left of it has more,
    so that its columns look a little more useful than they are.

    Args:
        model: The model.
        rng: As :func:`hanse.learning.contributions`.
    """
    manifest = model.manifest
    columns = len(manifest.transform.columns)
    noise = 0.0
    if manifest.rows is not None and manifest.certificate is not None:
        noise = _shared_noise(manifest.certificate)
    elif manifest.privacy is not None:
        noise = make_plan(manifest.training, manifest.privacy, columns).training.noise_multiplier
    return {item.column: item for item in contributions(model, rng, noise)}


def _shared_noise(certificate: Mapping[str, Any]) -> float:
    """The noise multiplier of the steps of a run whose members shared their noise."""
    return max(
        (float(one["noise_multiplier"]) for one in certificate["training"] if "steps" in one), default=0.0
    )


def models_of(home: MemberHome, agreement: Agreement, references: Sequence[str]) -> tuple[LoadedModel, ...]:
    """The models that advice rests on, the oldest first.

    Args:
        home: The member's folder.
        agreement: Whose coordinator signed them.
        references: ``name@version`` of each; none for all that the member has of the agreement.

    Raises:
        ServingError: ``model.not-found`` or ``model.invalid``.
    """
    verifier = VerifierKey.decode(agreement.coordinator.key)
    found = references or [path.name for path in home.models.glob(f"{agreement.id}@*")]
    models = [load_model(home.models / reference, verifier) for reference in found]
    return tuple(sorted(models, key=lambda model: model.manifest.version))


def site_facts(home: MemberHome, agreement: Agreement) -> SiteFacts:
    """What a member's folder says of the columns: its manifest, its agreements, its consent ledger.

    Raises:
        HanseError: When one of them cannot be read.
    """
    manifest = NodeSettings.load(home.root).dataset
    agreements = [read_unverified(path.read_bytes()) for path in home.agreements.glob("*.agreement")]
    with open_ledger(home) as ledger:
        standings = ledger.standing_rows()
        agreed = {
            row.subject_ref
            for row in standings.rows
            if row.purpose == agreement.purpose and row.state == "given"
        }
    foldings = standings.foldings.get(agreement.purpose, {})
    return SiteFacts(
        declared=[column.name for column in manifest.columns],
        used={column.name for other in agreements for column in other.columns},
        hidden=_hidden(agreement, {ref: own for ref, own in foldings.items() if ref in agreed}),
        subjects=len(agreed),
    )


def _hidden(agreement: Agreement, foldings: Mapping[str, Folding]) -> Counter[str]:
    return Counter(
        column.name
        for folding in foldings.values()
        for column in agreement.columns
        if column.name in folding.hidden_columns or column.classification in folding.hidden_categories
    )
