"""What ``hanse agreement show`` says of a vertical agreement."""

from collections.abc import Iterator
from typing import Final

from hanse.policies import Agreement, Vertical
from hanse.policies.agreement.vertical_statements import learned_by, relied_on
from hanse.policies.agreement.words import listed, same, word
from hanse.policies.rules import Wording

ASSUMED: Final = Wording("Whoever signs relies on this:", "签署即表示依赖以下假设：")


def vertical_facts(agreement: Agreement) -> Iterator[tuple[str, Wording]]:
    """Names and texts of the terms, then what each party learns, the assumption last.

    Args:
        agreement: One with a vertical part; of another there are none.
    """
    vertical, model = agreement.vertical, agreement.training.model
    if vertical is None:
        return
    yield "label holder", same(vertical.label_holder)
    for holding in vertical.holdings:
        yield f"columns of {holding.member}", listed(map(same, holding.columns))
    rules = vertical.alignment
    for number, one in enumerate(rules.identifiers, 1):
        kind, code = word(one.normalisation), f", +{one.country_code}" if one.country_code else ""
        yield f"identifier {number}", Wording(f"{one.kind}: {kind.en}{code}", f"{one.kind}：{kind.zh}{code}")
    yield "repeated identifiers", word(rules.duplicates)
    yield "malformed identifiers", word(rules.malformed)
    yield "fewest common people", same(rules.minimum)
    yield "sets filled up to", same(rules.smallest_set)
    yield "alignments allowed", same(rules.runs)
    yield "fewest of a bin", same(vertical.minimum_bin_rows)
    yield "largest area of an attack", same(vertical.maximum_leakage)
    yield "members rely on", listed(_trust(vertical))
    answers = vertical.answers
    if answers is not None:
        yield "answered when scored", word(answers.form)
        yield "people asked about in a day", same(answers.daily_people)
        yield "answers kept for", same(f"{answers.keep_s} s")
        yield "without an answer", word(answers.fallback)
    for party in (*(holding.member for holding in vertical.holdings), agreement.coordinator.name):
        learned = learned_by(vertical, model, party)
        texts = Wording("; ".join(one.en for one in learned), "；".join(one.zh for one in learned))
        yield f"learned by {party}", texts
    yield "assumption", relied_on(vertical, model)


def _trust(vertical: Vertical) -> Iterator[Wording]:
    trust, defence = vertical.trust, vertical.label_defence
    yield word(trust.mode)
    if trust.dealer is not None:
        yield word(trust.dealer)
    if trust.key_bits is not None:
        yield same(f"{trust.key_bits} bits")
    if defence is not None:
        yield word(defence.kind)
    if defence is not None and defence.epsilon is not None:
        yield same(f"epsilon {defence.epsilon:g}")
