"""What ``hanse agreement show`` says of a vertical agreement."""

from collections.abc import Iterator
from typing import Final

from hanse.policies import Vertical
from hanse.policies.agreement.words import listed, same, word
from hanse.policies.rules import Wording

ASSUMED: Final = Wording("Whoever signs relies on this:", "签署即表示依赖以下假设：")


def vertical_facts(vertical: Vertical) -> Iterator[tuple[str, Wording]]:
    """Names and texts of the terms, the assumption last.

    Args:
        vertical: The vertical part of an agreement.
    """
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
    trust = vertical.trust
    relied = same(f"{trust.key_bits} bits") if trust.dealer is None else word(trust.dealer)
    yield "members rely on", listed((word(trust.mode), relied))
    answers = vertical.answers
    if answers is not None:
        yield "answered when scored", word(answers.form)
        yield "people asked about in a day", same(answers.daily_people)
        yield "answers kept for", same(f"{answers.keep_s} s")
        yield "without an answer", word(answers.fallback)
    yield "assumption", trust.assumption
