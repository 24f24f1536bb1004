"""What an amendment changes: every field has words in both languages, and a direction."""

from __future__ import annotations

import typing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hanse.policies import Agreement, Override
from hanse.policies.agreement import (
    AlignmentRules,
    Answers,
    Auditor,
    Contract,
    Disclosure,
    Evidence,
    Holding,
    IdentifierRule,
    LabelDefence,
    PointScale,
    Segments,
    Target,
    Trees,
    Trials,
    Trust,
    Vertical,
)
from hanse.policies.agreement.diff import diff_agreements, invalidated
from hanse.policies.agreement.effects import Effect
from hanse.policies.agreement.meaning import TERMS, VOCABULARY
from hanse.policies.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The documents that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The path of every field of the schema, without positions."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = next(models_in(field.annotation), None)
        if inner is None or typing.get_origin(field.annotation) is not None:
            yield path
        if inner is not None:
            yield from paths(inner, f"{path}.")


PATHS = sorted(paths(Agreement))
LEAVES = [path for path in PATHS if not any(other.startswith(f"{path}.") for other in PATHS)]
ORDERED = {"basic": "sensitive", "sensitive": "basic"}


@pytest.fixture(scope="module")
def full(agreement: Agreement, witness_key: Callable[[str], str]) -> Agreement:
    """The example with something in every list and every optional document."""
    first, *others = agreement.members
    contract = Contract(
        reference="C-1",
        purposes=("joint_modelling",),
        until=agreement.valid_until,
        sub_processors=False,
        at_end="delete",
    )
    column = agreement.columns[0].model_copy(update={"disclosure": (Disclosure(to="brand", form="none"),)})
    training = agreement.training.model_copy(
        update={
            "targets": (Target(name="churned", kind="label", positive="1"),),
            "scale": PointScale(points=600, odds=50, doubling=20),
            "trees": Trees(depth=4, min_rows=20, l2=10.0),
            "trials": Trials(learning_rate=(0.1, 0.3), rounds=(5, 10), depth=(3, 4), l2=(1, 10)),
        }
    )
    vertical = Vertical(
        label_holder="brand",
        holdings=(Holding(member="brand", columns=("age",)), Holding(member="insurer", columns=("income",))),
        alignment=AlignmentRules(
            identifiers=(IdentifierRule(kind="phone", normalisation="phone", country_code="49"),),
            duplicates="refuse",
            malformed="leave_out",
            minimum=1000,
            smallest_set=1000,
            runs=10,
        ),
        minimum_bin_rows=20,
        trust=Trust(mode="dealer", dealer="coordinator", coordinator_colludes_with_no_member=True),
        label_defence=LabelDefence(kind="label_noise", epsilon=0.3),
        answers=Answers(form="sides", daily_people=1000, keep_s=60, fallback="own_columns"),
    )
    segments = Segments(value="income", value_from=50_000.0, score_from=0.5)
    auditor = Auditor(
        name="watchdog", organisation="Wachhund KG", witness_key=witness_key("watchdog-witness")
    )
    return agreement.model_copy(
        update={
            "members": (first.model_copy(update={"contract": contract}), *others),
            "training": training,
            "scoring": agreement.scoring.model_copy(update={"segments": segments}),
            "vertical": vertical,
            "columns": (column, *agreement.columns[1:]),
            "evidence": Evidence(quorum=2, auditors=(auditor,)),
            "overrides": (Override(member="brand", basis="contract", reason="Because"),),
        }
    )


def another(value: Any) -> Any:
    """A value that differs, valid or not: comparing does not validate."""
    match value:
        case bool():
            changed: Any = not value
        case int() | float():
            changed = value + 1
        case datetime():
            changed = value + timedelta(days=1)
        case str():
            changed = ORDERED.get(value, f"{value}x")
        case tuple():
            changed = value[1:] if value else ("x",)
        case _:
            changed = "x" if value is None else None
    return changed


def mutated(model: Any, path: list[str]) -> Any:
    """The model with the field at the path replaced, in the first item of every list on the way."""
    name, *rest = path
    value = getattr(model, name)
    if not rest:
        return model.model_copy(update={name: another(value)})
    if isinstance(value, tuple):
        return model.model_copy(update={name: (mutated(value[0], rest), *value[1:])})
    return model.model_copy(update={name: mutated(value, rest)})


def test_every_field_has_words_and_no_word_is_left_over() -> None:
    assert set(TERMS) == set(PATHS)
    assert set(TERMS) >= VOCABULARY
    for term in TERMS.values():
        assert term.name.en
        assert term.name.zh


def test_every_rule_that_is_named_exists() -> None:
    named = {rule for term in TERMS.values() for meaning in (term.more, term.less) for rule in meaning.anew}
    assert named
    assert named <= set(RULES)


@pytest.mark.parametrize("path", PATHS)
def test_a_change_of_any_field_is_told(path: str, full: Agreement) -> None:
    changed = mutated(full, path.split("."))
    for old, new in ((full, changed), (changed, full)):
        changes = diff_agreements(old, new)
        assert changes, f"a change of {path} is not told"
        field = path.rpartition(".")[2]
        parents = path.partition(".")[0]
        assert any(change.where.startswith(parents) for change in changes), (field, changes)
        for change in changes:
            assert change.text.en != change.text.zh
            assert "{" not in change.text.en + change.text.zh


def test_nothing_changes_nothing(full: Agreement) -> None:
    assert diff_agreements(full, full) == ()


def test_order_and_repetition_are_told(full: Agreement) -> None:
    for name in ("members", "columns", "packs"):
        turned = full.model_copy(update={name: tuple(reversed(getattr(full, name)))})
        [change] = diff_agreements(full, turned)
        assert (change.where, change.effect) == (name, Effect.NEUTRAL)
    callers = full.scoring.callers * 2
    doubled = full.model_copy(update={"scoring": full.scoring.model_copy(update={"callers": callers})})
    assert diff_agreements(full, doubled)


EXAMPLES: dict[str, tuple[dict[str, Any], Effect, str, str, tuple[str, ...]]] = {
    "budget up": (
        {"privacy.epsilon": 5},
        Effect.WIDENS,
        "the privacy budget epsilon rises from 3 to 5: less protection",
        "隐私预算epsilon由3升至5：保护减弱",
        (),
    ),
    "budget down": (
        {"privacy.epsilon": 1},
        Effect.NARROWS,
        "the privacy budget epsilon falls from 3 to 1: more protection",
        "隐私预算epsilon由3降至1：保护增强",
        (),
    ),
    "purpose wider": (
        {"purpose": "joint_modelling"},
        Effect.WIDENS,
        (
            "the purpose changes from joint_modelling.propensity to joint_modelling: grants for the old "
            "purpose do not cover it: every subject must consent anew (P04)"
        ),
        "处理目的由joint_modelling.propensity改为joint_modelling：原目的的同意不涵盖：全体个人须重新同意（P04）",
        ("P04",),
    ),
    "another country": (
        {"members.1.storage_country": "CN"},
        Effect.WIDENS,
        (
            "the storage country of 'insurer' changes from DE to CN: data would be processed in a new place: "
            "separate consent for crossing borders (P21)"
        ),
        "“insurer”的存储国家由DE改为CN：将在新的法域处理：需取得跨境的单独同意（P21）",
        ("P21",),
    ),
    "provider": (
        {"members.0.role": "provider"},
        Effect.WIDENS,
        (
            "the role of 'brand' changes from joint controller to provider of data to the others: its "
            "subjects must consent to sharing separately (P06)"
        ),
        (
            "“brand”的角色由共同处理者改为向其他方提供个人信息的处理者："
            "其个人须就提供给他方另行单独同意（P06）"
        ),
        ("P06",),
    ),
    "caller's quota": (
        {"scoring.callers.0.daily_quota": 10},
        Effect.NARROWS,
        "the subjects a day that 'campaign-tool' may ask about falls from 1000 to 10",
        "“campaign-tool”每日可查询的人数由1000降至10",
        (),
    ),
    "nobody told": (
        {"columns.0.disclosure": []},
        Effect.NARROWS,
        "the disclosure of column 'age' to 'every member' (as part of a model) is removed",
        "删去字段“age”的披露对象“全体成员”（作为模型的一部分）",
        (),
    ),
    "round": (
        {"consent.running_round": "abort"},
        Effect.NARROWS,
        "what becomes of a running round at a withdrawal changes from finished to aborted: more protection",
        "撤回同意时对正在进行的一轮的处置由完成当前轮改为中止当前轮：保护增强",
        (),
    ),
}


@pytest.mark.parametrize(("values", "effect", "en", "zh", "anew"), EXAMPLES.values(), ids=EXAMPLES)
def test_in_words(
    values: dict[str, Any],
    effect: Effect,
    en: str,
    zh: str,
    anew: tuple[str, ...],
    agreement: Agreement,
    changed: Callable[..., Agreement],
) -> None:
    [change] = diff_agreements(agreement, changed(values))
    assert (change.effect, change.text.en, change.text.zh, change.anew) == (effect, en, zh, anew)


def test_a_member_more(agreement: Agreement) -> None:
    new = agreement.members[0].model_copy(update={"name": "media", "organisation": "Media AG"})
    [change] = diff_agreements(agreement, agreement.model_copy(update={"members": (*agreement.members, new)}))
    assert change.effect is Effect.WIDENS
    assert change.text.en.startswith(
        "the member 'media' (Media AG, joint controller, DE) is added: every subject"
    )
    assert change.anew == ("P06",)
    abroad = new.model_copy(update={"storage_country": "CN"})
    [change] = diff_agreements(
        agreement, agreement.model_copy(update={"members": (*agreement.members, abroad)})
    )
    assert change.anew == ("P06", "P21")
    [back] = diff_agreements(
        agreement.model_copy(update={"members": (*agreement.members, abroad)}), agreement
    )
    assert (back.effect, back.anew) == (Effect.NARROWS, ())


def test_a_sensitive_column_more(agreement: Agreement) -> None:
    column = agreement.columns[0].model_copy(
        update={"name": "income", "classification": "sensitive", "special": "financial_account"}
    )
    changes = diff_agreements(
        agreement, agreement.model_copy(update={"columns": (*agreement.columns, column)})
    )
    assert [change.anew for change in changes] == [("P05", "P07")]
    assert "'income' (sensitive, financial account) is added" in changes[0].text.en
    assert "敏感个人信息、金融账户" in changes[0].text.zh
    assert invalidated(changes) == {"P05", "P07"}


def test_a_notice_more(agreement: Agreement, changed: Callable[..., Agreement]) -> None:
    minor = {"version": "2.2", "sha256": "ef" * 32, "published_at": "2026-02-01T00:00:00Z"}
    known = [notice.model_dump(mode="json") for notice in agreement.members[0].notices]
    same_major = diff_agreements(agreement, changed({"members.0.notices": [*known, minor]}))
    assert [change.anew for change in same_major] == [()]
    next_major = diff_agreements(
        agreement, changed({"members.0.notices": [*known, {**minor, "version": "3"}]})
    )
    assert [change.anew for change in next_major] == [("P05",)]
    gone = diff_agreements(agreement, changed({"members.0.notices": []}))
    assert [(change.effect, change.anew) for change in gone] == [(Effect.NARROWS, ("P02",))]


def test_no_budget_any_more(agreement: Agreement, changed: Callable[..., Agreement]) -> None:
    [change] = diff_agreements(agreement, changed({"privacy": None}))
    assert change.effect is Effect.WIDENS
    assert "without noise" in change.text.en
    [back] = diff_agreements(changed({"privacy": None}), agreement)
    assert back.effect is Effect.NARROWS


def test_what_widens_comes_first(agreement: Agreement, changed: Callable[..., Agreement]) -> None:
    new = changed({"title": "Other", "privacy.epsilon": 5, "cohort.minimum_rows": 500})
    assert [change.effect for change in diff_agreements(agreement, new)] == list(Effect)


@given(st.permutations(LEAVES), st.integers(min_value=1, max_value=5))
def test_two_agreements_are_the_same_only_if_nothing_is_told(
    agreement: Agreement, order: list[str], count: int
) -> None:
    changed = agreement
    for path in order[:count]:
        try:
            changed = mutated(changed, path.split("."))
        except (AttributeError, IndexError):  # a document that the example leaves out
            continue
    assert bool(diff_agreements(agreement, changed)) == (changed != agreement)
