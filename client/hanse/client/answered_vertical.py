"""Turns the answers about a vertical agreement into parts of its draft."""

from typing import Any

from hanse.client.asking import Site
from hanse.client.questions_vertical import area_of, identifiers_of, seconds_of
from hanse.client.replies import Answers, count, count_or_none, names, number
from hanse.learning.vertical.recipe import STEPS, VerticalModel, recommend_vertical
from hanse.policies import AlignmentRules, Holding, LabelDefence, Training, Trust, Vertical
from hanse.policies.agreement.vertical import ANSWER_FORMS
from hanse.policies.agreement.vertical import Answers as PartAnswers


def vertical_training(answers: Answers) -> Training:
    """The training part."""
    model: VerticalModel = next(kind for kind in STEPS if kind == answers["model"])
    return recommend_vertical(model, count(answers["steps"]) if "steps" in answers else None)


def vertical_terms(answers: Answers, site: Site) -> Vertical:
    """The vertical part.

    Args:
        answers: Of an interview.
        site: What they are about.

    Raises:
        ValidationError: If they do not fit together.
    """
    return Vertical(
        label_holder=answers["label_holder"],
        holdings=tuple(
            Holding(member=member.name, columns=names(answers[f"holding.{member.name}"]))
            for member in site.members
        ),
        alignment=AlignmentRules.model_validate(
            {
                "identifiers": identifiers_of(answers["identifier"]),
                "duplicates": answers["duplicates"],
                "malformed": answers["malformed"],
                "minimum": count(answers["minimum_common"]),
                "smallest_set": count(answers["smallest_set"]),
                "runs": count(answers["alignments"]),
            }
        ),
        minimum_bin_rows=count(answers["minimum_bin_rows"]),
        trust=Trust.model_validate(_trust(answers)),
        label_defence=_defence(answers),
        maximum_leakage=area_of(answers["maximum_leakage"]),
        answers=_scored(answers),
    )


def _scored(answers: Answers) -> PartAnswers | None:
    people = count_or_none(answers["daily_people"])
    if people is None:
        return None
    return PartAnswers.model_validate(
        {
            "form": ANSWER_FORMS[answers["model"]],
            "daily_people": people,
            "keep_s": seconds_of(answers["keep_s"]),
            "fallback": answers["fallback"],
        }
    )


def _defence(answers: Answers) -> LabelDefence | None:
    if "label_epsilon" in answers:
        epsilon = number(answers["label_epsilon"])
        return LabelDefence.model_validate({"kind": "label_noise", "epsilon": epsilon})
    return LabelDefence(kind="frozen_bottoms") if "label_defence" in answers else None


def _trust(answers: Answers) -> dict[str, Any]:
    if "trust" not in answers:
        return {"mode": "direct"}
    if answers["trust"] == "homomorphic":
        return {"mode": "homomorphic", "key_bits": count(answers["key_bits"])}
    return {"mode": "dealer", "dealer": "coordinator", "coordinator_colludes_with_no_member": True}
