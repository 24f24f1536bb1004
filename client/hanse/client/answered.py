"""Turns the answers of an interview into a draft."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hanse.client.answered_vertical import vertical_terms, vertical_training
from hanse.client.asking import Site
from hanse.client.drafting import Draft, Effects, Party, form_of
from hanse.client.questions import robustness_of
from hanse.client.replies import Answers, count, day, names, number, yes
from hanse.errors import ConfigurationError
from hanse.learning import Recommended, recommend_for
from hanse.policies import Border, Caller, Column, Contract, RulePack, Training, builtin_pack
from hanse.policies.agreement import Retention
from hanse.policies.fields import problems

PURPOSE = "joint_modelling.propensity"

_Document = TypeVar("_Document", bound=BaseModel)


def draft_of(answers: Answers, site: Site, adopted: Sequence[RulePack]) -> Draft:
    """Builds the draft.

    Args:
        answers: An answer to every question, as :func:`hanse.client.interview.collect` returns them.
        site: What the answers are about.
        adopted: Rule packs that the site has adopted; a pack that is not among them is a built-in one.

    Returns:
        The draft.

    Raises:
        ConfigurationError: ``config.invalid`` naming the field that is not valid.
        PolicyError: ``policy.invalid`` if a rule pack is not known.
    """
    epsilon = number(answers.get("epsilon", "none"))
    vertical = yes(answers.get("vertical", "no"))
    individual = answers.get("aggregation") == "individual"
    try:
        return Draft(
            identifier=answers["id"],
            title=answers["title"],
            proposer=answers["proposer"],
            auditor=answers["auditor"],
            columns=[_column(column, answers) for column in site.columns],
            label=answers["label"],
            positive=answers["positive"],
            mode="individual" if individual else "secure",
            robustness=robustness_of(answers.get("robustness", "screened-mean")),
            contributions=yes(answers.get("contributions", "no")),
            training=vertical_training(answers) if vertical else _training(answers, site),
            vertical=vertical_terms(answers, site) if vertical else None,
            epsilon=epsilon,
            delta=number(answers.get("delta", "1e-5")) or 0.0,
            minimum_rows=count(answers["minimum_rows"]),
            minimum_members=len(site.members) if vertical else count(answers["minimum_members"]),
            quorum=count(answers["quorum"]),
            callers=[_caller(name, answers) for name in names(answers["caller"])],
            assessment=answers["assessment"],
            assessor=answers["assessor"],
            packs=[_pack(name, adopted).reference for name in names(answers["pack"])],
            may_contain_minors=yes(answers["minors"]),
            valid_days=count(answers["valid_days"]),
            parties={member.name: _party(member.name, answers) for member in site.members},
            disclose_to=names(answers["disclose_to"]),
            form=form_of(answers["output"], by_id=yes(answers["by_id"])),
            effects=Effects(
                *(yes(answers[key]) for key in ("significant_effect", "human_review", "reason_codes"))
            ),
            border=_border(answers),
            retention=Retention(
                rows_days=count(answers["rows_days"]),
                intermediates_days=count(answers["intermediates_days"]),
                model_days=count(answers["model_days"]),
            ),
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", "; ".join(problems(error))) from error


def _training(answers: Answers, site: Site) -> Training:
    model: Recommended = "mlp" if answers["model"] == "mlp" else "logistic"
    return recommend_for(
        "trees" if answers["model"] == "trees" else model,
        site.columns,
        count(answers["rows"]),
        len(site.members),
        number(answers["epsilon"]),
        individual=answers.get("aggregation") == "individual",
    )


def _pack(name: str, adopted: Sequence[RulePack]) -> RulePack:
    """The newest adopted version of a pack; the built-in one where none is adopted."""
    own = [pack for pack in adopted if pack.id == name]
    return max(own, key=lambda pack: pack.version) if own else builtin_pack(name)


def _party(name: str, answers: Answers) -> Party:
    contract = None
    if answers[f"role.{name}"] == "entrusted":
        contract = _valid(
            Contract,
            {
                "reference": answers[f"contract_reference.{name}"],
                "purposes": (PURPOSE,),
                "until": day(answers[f"contract_until.{name}"]),
                "sub_processors": yes(answers[f"sub_processors.{name}"]),
                "at_end": answers[f"contract_at_end.{name}"],
            },
        )
    return Party(
        role=answers[f"role.{name}"],
        approver=answers[f"approver.{name}"],
        storage_country=answers[f"storage_country.{name}"],
        contract=contract,
    )


def _caller(name: str, answers: Answers) -> Caller:
    return _valid(
        Caller,
        {
            "name": name,
            "daily_quota": count(answers[f"quota.{name}"]),
            "opt_out_available": yes(answers[f"opt_out.{name}"]),
            "non_personalised_path": yes(answers[f"plain_path.{name}"]),
        },
    )


def _border(answers: Answers) -> Border:
    return _valid(
        Border,
        {
            "mechanism": answers.get("border", "none"),
            "reference": answers.get("border_reference"),
            "other_places": names(answers["other_place"]),
        },
    )


def _column(column: Column, answers: Answers) -> Column:
    """A column of the dictionary, with what was answered about it."""
    changes: dict[str, object] = {"required": column.name not in names(answers["optional_column"])}
    for key in ("special", "necessity"):
        if f"{key}.{column.name}" in answers:
            changes[key] = answers[f"{key}.{column.name}"]
    return _valid(Column, {**column.model_dump(), **changes})


def _valid(kind: type[_Document], fields: Mapping[str, object]) -> _Document:
    return kind.model_validate(dict(fields))
