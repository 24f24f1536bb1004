"""What vertical training is held against: alone, late fusion, and all columns in one place.

Nobody outside of a demo could compute this: it takes the identifiers of all parties in the clear, and the
labels at the partners. The common people are found by a plain join under the agreement's rules, and have to
be as many as the members found.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.client.gate import in_holdout
from hanse.crypto import read_secret
from hanse.demo.federation import Site
from hanse.demo.vertical.story import Holder, Story
from hanse.learning.metrics import roc_auc
from hanse.learning.vertical.own_model import OwnModel
from hanse.learning.vertical.runs.terms import last_of_order, own_binning, trees_terms
from hanse.learning.vertical.serving.people import PEOPLE_FILE, decode_people
from hanse.learning.vertical.trees import LabelHolder, LabelPart
from hanse.policies import Agreement, AlignmentRules, Column, Pseudonymiser
from hanse.policies.identifiers import normalise

_EDGE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Rivals:
    """Areas under the curve on the label holder's held-out common people.

    Attributes:
        people: Common people, by a join in the clear.
        held_out: How many of them the label holder kept aside.
        alone: The label holder's columns alone.
        partners: Each partner's columns alone, if it had the labels.
        late_fusion: The log-odds of all of these added up.
        pooled: All columns in one place.
    """

    people: int
    held_out: int
    alone: float
    partners: Mapping[str, float]
    late_fusion: float
    pooled: float


def plain_join(
    holders: Sequence[Holder], usable: Sequence[NDArray[np.bool_]], rules: AlignmentRules
) -> NDArray[Any]:
    """Rows of the common people, one column for each holder.

    Args:
        holders: The parties.
        usable: Rows that each may use.
        rules: Of the agreement: one pass for each kind, without values that stand at several rows.
    """
    left = [set(np.flatnonzero(mask).tolist()) for mask in usable]
    found: list[tuple[int, ...]] = []
    for rule in rules.identifiers:
        known: list[dict[str, int]] = []
        for holder, rows in zip(holders, left, strict=True):
            texts = holder.identifiers[rule.kind]
            forms = {row: normalise(rule, texts[row]) for row in range(len(texts)) if texts[row] is not None}
            # Repeated is what stands twice among all rows that may be used, also those found before.
            allowed = set(np.flatnonzero(usable[len(known)]).tolist())
            counts = Counter(form for row, form in forms.items() if form and row in allowed)
            known.append(
                {form: row for row, form in forms.items() if form and row in rows and counts[form] == 1}
            )
        common = set(known[0]).intersection(*known[1:])
        new = [tuple(each[form] for each in known) for form in sorted(common)]
        found += new
        for place, rows in enumerate(left):
            rows -= {row[place] for row in new}
    return np.array(found, dtype=np.int64).reshape(-1, len(holders))


def compare_vertical(story: Story, sites: Sequence[Site], agreement: Agreement, part: Path | None) -> Rivals:
    """Trains what vertical training is held against, in this process.

    Args:
        story: All that the demo knows.
        sites: The sites that were made of it, in the order of its holders.
        agreement: Of the run.
        part: The label holder's part of the model, which says in which order people were common.
    """
    vertical = agreement.vertical
    assert vertical is not None  # noqa: S101 - the demo made it
    rows = plain_join(story.holders, [site.written.consenting for site in sites], vertical.alignment)
    trees = agreement.training.model == "trees"
    held_out = _held_out(sites[0], rows[:, 0], agreement.training.holdout_fraction, None if trees else part)
    labels = story.labels[story.holders[0].person[rows[:, 0]]].astype(np.float64)
    values = [
        {name: column[rows[:, place]] for name, column in holder.values.items()}
        for place, holder in enumerate(story.holders)
    ]

    def learned(columns: Sequence[Column], own: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Log-odds of the held-out people: by trees, else by binned logistic regression."""
        binning = own_binning(columns, own)
        if not trees:
            taught = {name: values[~held_out] for name, values in own.items()}
            model = OwnModel.fit(binning, taught, labels[~held_out], vertical.minimum_bin_rows)
            return model.logits({name: values[held_out] for name, values in own.items()})
        terms = trees_terms(agreement, len(rows), b"").model_copy(update={"feature_holders": ()})
        holder = LabelHolder(terms, binning, own, labels, validation=held_out)
        grown: LabelPart = holder.train({}, None, np.random.default_rng().bytes)
        scores = np.clip(grown.scores(own, {})[held_out, 0], _EDGE, 1 - _EDGE)
        odds: NDArray[np.float64] = np.log(scores / (1 - scores))
        return odds

    def area(odds: NDArray[np.float64]) -> float:
        return roc_auc(1 / (1 + np.exp(-odds)), labels[held_out].astype(np.float32)) or 0.5

    each = [learned(holder.columns, own) for holder, own in zip(story.holders, values, strict=True)]
    every = [column for holder in story.holders for column in holder.columns]
    together = {name: column for own in values for name, column in own.items()}
    return Rivals(
        people=len(rows),
        held_out=int(held_out.sum()),
        alone=area(each[0]),
        partners={h.name: area(odds) for h, odds in zip(story.holders[1:], each[1:], strict=True)},
        late_fusion=area(np.sum(each, axis=0)),
        pooled=area(learned(every, together)),
    )


def _held_out(site: Site, rows: NDArray[np.int64], fraction: float, part: Path | None) -> NDArray[np.bool_]:
    """As the label holder's secret says; or, with its part, as the common order does."""
    key = read_secret(site.home.pseudonym_key)
    ref = Pseudonymiser(key).ref
    subjects = [str(site.written.subject_ids[row]) for row in rows.tolist()]
    if part is None:
        return np.array([in_holdout(key, ref(subject), fraction) for subject in subjects], dtype=np.bool_)
    order = decode_people((part / PEOPLE_FILE).read_bytes())
    last = dict(zip(order, last_of_order(len(order), fraction).tolist(), strict=True))
    return np.array([last[ref(subject)] for subject in subjects], dtype=np.bool_)
