"""Rule packs: one form, two people, and the most restrictive wins."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.crypto import SigningKey, VerifierKey, add_signature, sign_note
from hanse.errors import PolicyError
from hanse.policies import PackReference
from hanse.policies.documents import to_yaml
from hanse.policies.packs import (
    ALWAYS_ON,
    BASELINE,
    BUILTIN,
    STRICTEST,
    PackRule,
    Policy,
    RulePack,
    adopt_pack,
    adopted_packs,
    applicable,
    builtin_pack,
    merge,
    open_pack,
    read_pack,
    resolve,
    sign_pack,
)
from hanse.policies.rules import FACTS, RULES, Level

Facts = Mapping[str, Any]
PIPL, GDPR, CCPA = BUILTIN.values()
APPROVER, AUDITOR, STRANGER = (
    SigningKey(name, name.encode().ljust(32)) for name in ("dpo", "audit", "mallory")
)
KEYS = (APPROVER.verifier, AUDITOR.verifier)
BOTH = sign_pack(sign_pack(PIPL, APPROVER), AUDITOR)


def pack(**thresholds: object) -> RulePack:
    return RulePack.model_validate(
        {
            "schema_version": 1,
            "id": "house",
            "version": 1,
            "title": {"en": "House", "zh": "内部规则"},
            "regime": "custom",
            "rules": (),
            "thresholds": thresholds,
            "ours": (),
            "limits": (),
        }
    )


# The built-in packs


@pytest.mark.parametrize("built", BUILTIN.values(), ids=list(BUILTIN))
def test_a_built_in_pack_is_honest(built: RulePack) -> None:
    assert built.limits
    assert {rule.id for rule in built.rules} <= set(RULES)
    assert set(built.ours) <= set(built.thresholds.given())
    assert RulePack.from_yaml(built.to_yaml()) == built
    assert RulePack.from_text(built.text()) == built
    assert builtin_pack(built.id).digest == built.digest


def test_what_the_law_sets_and_what_we_set() -> None:
    policy = merge([PIPL, GDPR])
    assert policy.thresholds["child_below_years"].value == 16
    assert policy.thresholds["child_below_years"].sources == ("gdpr/1",)
    assert policy.thresholds["records_days"].value == 1096
    assert not policy.thresholds["records_days"].ours
    assert policy.thresholds["minimum_cohort_subjects"].sources == ("hanse",)
    assert policy.thresholds["minimum_cohort_subjects"].ours
    assert policy.thresholds["legal_bases"].sources == ("pipl/1",)
    assert "legitimate_interest" not in policy.thresholds["legal_bases"].value
    assert policy.rules["P22"].sources == ("pipl/1",)
    assert policy.rules["P23"].articles == ("GDPR 22", "AI Act Annex III(5)", "PIPL 24")
    assert policy.rules["P01"].sources == ("gdpr/1", "hanse", "pipl/1")


def test_there_is_no_other_built_in_pack() -> None:
    with pytest.raises(PolicyError, match="pipl, gdpr, ccpa"):
        builtin_pack("lgpd")


# Merging

_SETS = {"active_methods", "legal_bases", "prohibited_uses"}
_OFFERED: dict[str, list[str]] = {
    "active_methods": ["active_click", "signed", "verbal", "imported"],
    "legal_bases": ["consent", "contract", "public_task", "legitimate_interest"],
    "prohibited_uses": ["pricing", "marketing", "scoring.retention"],
}


def _threshold(name: str) -> st.SearchStrategy[object]:
    if name in _SETS:
        chosen = st.lists(st.sampled_from(_OFFERED[name]), min_size=1, max_size=4, unique=True)
        return chosen.map(tuple)
    if name in {"maximum_epsilon", "retraining_withdrawn_share"}:
        return st.floats(0.001, 1.0) if name == "retraining_withdrawn_share" else st.floats(0.5, 20)
    low, high = {"score_decimals": (0, 6), "minimum_members": (2, 5), "child_below_years": (1, 30)}.get(
        name, (1, 2000)
    )
    return st.integers(low, high)


_THRESHOLDS = st.fixed_dictionaries({}, optional={name: _threshold(name) for name in STRICTEST})
_RULES = st.lists(st.sampled_from(sorted(RULES)), unique=True, max_size=6)


@st.composite
def _packs(draw: st.DrawFn) -> RulePack:
    thresholds = draw(_THRESHOLDS)
    rules = [{"id": rule, "articles": (f"{draw(st.integers(1, 9))}",)} for rule in draw(_RULES)]
    return pack(**thresholds).model_copy(
        update={
            "version": draw(st.integers(1, 3)),
            "id": draw(st.sampled_from(["a", "b", "c"])),
            "rules": tuple(map(PackRule.model_validate, rules)),
            "ours": tuple(sorted(thresholds)[: draw(st.integers(0, 3))]),
        }
    )


def admits(policy: Policy, facts: Facts, level: Level) -> bool:
    """Whether every rule that applies and has something to say allows it."""
    now_ms = facts.get("job.now")
    # Who states no time gets none that follows from it.
    times = policy.times(now_ms) if isinstance(now_ms, int) else {}
    stated = {**facts, **policy.facts(), **times}
    predicates = [RULES[name].requires.get(level) for name in policy.rules]
    return all(predicate.holds(stated) for predicate in predicates if predicate is not None)


_CHANGES = st.dictionaries(
    st.sampled_from(sorted(name for name in FACTS if not name.startswith("policy."))),
    st.one_of(st.booleans(), st.integers(0, 2000), st.floats(0, 20), st.just("consent"), st.none()),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    some=st.lists(_packs(), min_size=1, max_size=3),
    more=_packs(),
    changes=_CHANGES,
    level=st.sampled_from(Level),
    name=st.sampled_from(["all at once", "no separate consent needed", "not entrusted", "bands"]),
)
def test_a_pack_more_never_admits_more(
    examples: Mapping[str, Facts],
    some: list[RulePack],
    more: RulePack,
    changes: Facts,
    level: Level,
    name: str,
) -> None:
    before, after = merge(some), merge([*some, more])
    facts = {**examples[name], **changes}
    assert admits(before, facts, level) or not admits(after, facts, level)
    for threshold, stricter in STRICTEST.items():
        values = (before.thresholds[threshold].value, after.thresholds[threshold].value)
        assert stricter(values) == values[1]
    assert set(before.rules) <= set(after.rules)
    assert {source for source, _ in before.packs} <= {source for source, _ in after.packs}


@settings(max_examples=50, deadline=None)
@given(packs=st.lists(_packs(), min_size=1, max_size=4), data=st.data())
def test_order_and_repetition_do_not_matter(packs: list[RulePack], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(packs))
    assert merge(shuffled) == merge(packs) == merge([*packs, *packs])
    assert merge(shuffled).digest == merge(packs).digest


@settings(max_examples=40, deadline=None)
@given(first=_packs(), second=_packs(), third=_packs())
def test_thresholds_can_be_merged_step_by_step(first: RulePack, second: RulePack, third: RulePack) -> None:
    whole = merge([first, second, third])
    alone = [merge([one]) for one in (first, second, third)]
    for name, stricter in STRICTEST.items():
        steps = [policy.thresholds[name].value for policy in alone]
        assert stricter([stricter(steps[:2]), steps[2]]) == whole.thresholds[name].value
        assert stricter([steps[0], stricter(steps[1:])]) == whole.thresholds[name].value


def test_each_threshold_decides(examples: Mapping[str, Facts]) -> None:
    """A stricter pack denies what a laxer one admits, for every threshold that a rule reads."""
    stricter: dict[str, tuple[dict[str, object], str, Level]] = {
        "child_below_years": ({"child_below_years": 19}, "P08", Level.SUBJECT),
        "minimum_cohort_subjects": ({"minimum_cohort_subjects": 1001}, "P15", Level.AGREEMENT),
        "suppress_below": ({"suppress_below": 11}, "P15", Level.AGREEMENT),
        "minimum_members": ({"minimum_members": 3}, "P17", Level.JOB),
        "maximum_epsilon": ({"maximum_epsilon": 2.9}, "P18", Level.AGREEMENT),
        "maximum_assessment_age_days": ({"maximum_assessment_age_days": 1}, "P19", Level.AGREEMENT),
        "maximum_snapshot_age_s": ({"maximum_snapshot_age_s": 59}, "P10", Level.JOB),
        "maximum_propagation_age_hours": ({"maximum_propagation_age_hours": 23}, "P10", Level.JOB),
        "maximum_grant_age_days": ({"maximum_grant_age_days": 9}, "P10", Level.SUBJECT),
        "acknowledgement_hours": ({"acknowledgement_hours": 23}, "P11", Level.AGREEMENT),
        "retraining_days": ({"retraining_days": 29}, "P11", Level.LIFECYCLE),
        "retraining_withdrawn_share": ({"retraining_withdrawn_share": 0.003}, "P11", Level.LIFECYCLE),
        "alignments_per_day": ({"alignments_per_day": 9}, "P16", Level.ALIGNMENT),
        "alignment_window_days": ({"alignment_window_days": 8}, "P16", Level.ALIGNMENT),
        "minimum_set_change": ({"minimum_set_change": 101}, "P16", Level.ALIGNMENT),
        "scores_per_caller_per_day": ({"scores_per_caller_per_day": 499}, "P27", Level.CALL),
        "score_decimals": ({"score_decimals": 1}, "P27", Level.AGREEMENT),
        "unused_column_runs": ({"unused_column_runs": 4}, "P14", Level.AGREED_COLUMN),
        "access_log_days": ({"access_log_days": 185}, "P29", Level.LIFECYCLE),
        "records_days": ({"records_days": 1097}, "P29", Level.LIFECYCLE),
        "maximum_model_days": ({"maximum_model_days": 29}, "P12", Level.AGREEMENT),
        "active_methods": ({"active_methods": ("signed",)}, "P02", Level.SUBJECT),
        "legal_bases": ({"legal_bases": ("public_task",)}, "P01", Level.SUBJECT),
    }
    assert set(stricter) == set(STRICTEST) - {"prohibited_uses"}
    older = {"assessment.age_days": 2.0}
    by_threshold = {
        "alignment_window_days": "a set of long ago",
        "minimum_set_change": "a different set",
    }
    for name, (thresholds, rule_id, level) in stricter.items():
        facts = {**examples[by_threshold.get(name, "all at once")], **older}
        predicate = RULES[rule_id].requires[level]

        def holds(policy: Policy, facts: Facts = facts, predicate: Any = predicate) -> bool:
            return bool(predicate.holds({**facts, **policy.facts(), **policy.times(facts["job.now"])}))

        assert holds(merge([pack()])), name
        assert not holds(merge([pack(**thresholds)])), name
    assert merge([pack(prohibited_uses=("marketing",))]).prohibited_uses > merge([pack()]).prohibited_uses


def test_no_pack_is_no_policy() -> None:
    with pytest.raises(PolicyError, match="hanse policy adopt") as caught:
        merge([])
    assert caught.value.rule == "P31"


def test_a_pack_of_ones_own_can_only_restrict() -> None:
    lax = pack(maximum_epsilon=1000.0, minimum_members=2, legal_bases=("consent",), child_below_years=1)
    policy = merge([lax])
    assert set(policy.rules) == ALWAYS_ON
    for name, value in BASELINE.items():
        assert STRICTEST[name]((value, policy.thresholds[name].value)) == policy.thresholds[name].value
    assert policy.thresholds["maximum_epsilon"].value == 10


def test_facts_of_a_policy_are_those_that_rules_read() -> None:
    policy = merge([PIPL])
    facts = {**policy.facts(), **policy.times(0)}
    read = {name for name in FACTS if name.startswith("policy.")} | {"job.given_since"}
    assert set(facts) == read
    assert all(FACTS[name].fact.known_in(facts) for name in facts)


# The form


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)))
def test_reading_any_bytes_is_total(data: bytes) -> None:
    for read in (read_pack, lambda raw: open_pack(raw, KEYS)):
        with pytest.raises(PolicyError):
            read(data)
    with pytest.raises(PolicyError):
        RulePack.from_yaml(data.decode("latin-1"))


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(BOTH) - 1), byte=st.integers(1, 255))
def test_an_altered_pack_is_refused(position: int, byte: int) -> None:
    altered = bytearray(BOTH)
    altered[position] ^= byte
    with pytest.raises(PolicyError):
        open_pack(bytes(altered), KEYS)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rules": [{"id": "P33"}]}, "P01 to P32"),
        ({"rules": [{"id": "P01"}, {"id": "P01"}]}, "differ"),
        ({"ours": ["records_days"]}, "ours only thresholds"),
        ({"thresholds": {"maximum_epsilon": "3"}}, "write a number"),
        ({"thresholds": {"minimum_members": 1}}, "minimum_members"),
        ({"thresholds": {"unheard_of": 1}}, "not a known field"),
        ({"thresholds": {"legal_bases": []}}, "legal_bases"),
        ({"title": {"en": "House"}}, "title.zh: is missing"),
        ({"schema_version": 2}, "schema_version"),
        ({"version": 0}, "version"),
    ],
    ids=str,
)
def test_a_mistake_is_told_by_field(values: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        RulePack.from_yaml(to_yaml({**pack().model_dump(mode="json"), **values}))
    assert caught.value.code == "policy.invalid"


# Two people


def test_two_people_adopt_a_pack(tmp_path: Path) -> None:
    assert adopted_packs(tmp_path / "packs", KEYS) == ()
    path = adopt_pack(tmp_path / "packs", BOTH, KEYS)
    assert path.name == "pipl-1.pack"
    assert adopted_packs(tmp_path / "packs", KEYS) == (PIPL,)
    assert adopt_pack(tmp_path / "packs", BOTH, KEYS) == path
    newer = PIPL.model_copy(update={"version": 2})
    adopt_pack(tmp_path / "packs", sign_pack(sign_pack(newer, AUDITOR), APPROVER), KEYS)
    assert [known.version for known in adopted_packs(tmp_path / "packs", KEYS)] == [1, 2]


LONE = sign_pack(PIPL, APPROVER)
SAME = SigningKey("somebody-else", APPROVER.name.encode().ljust(32))
REFUSED: dict[str, tuple[bytes, tuple[VerifierKey, ...], str]] = {
    "one signature": (LONE, KEYS, "not signed by audit"),
    "signed by strangers": (sign_pack(PIPL, STRANGER), KEYS, "not signed by dpo, audit"),
    "one person as two": (sign_pack(LONE, SAME), (APPROVER.verifier, SAME.verifier), "two different people"),
    "one key twice": (LONE, (APPROVER.verifier, APPROVER.verifier), "two different people"),
    "one key": (LONE, (APPROVER.verifier,), "two different people"),
    "no key": (BOTH, (), "two different people"),
    "a stranger besides": (sign_pack(BOTH, STRANGER), KEYS, "somebody else"),
    "another text": (sign_note("something else\n", APPROVER, AUDITOR), KEYS, "not a rule pack"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "keys", "told"), REFUSED.values(), ids=REFUSED)
def test_who_is_not_enough(data: bytes, keys: tuple[VerifierKey, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=told):
        open_pack(data, keys)
    with pytest.raises(PolicyError, match=told):
        adopt_pack(tmp_path / "packs", data, keys)
    assert not (tmp_path / "packs").exists()


def test_nobody_signs_twice() -> None:
    with pytest.raises(PolicyError, match="signed already"):
        sign_pack(BOTH, AUDITOR)
    with pytest.raises(PolicyError, match="not a signed rule pack"):
        sign_pack(b"house rules", AUDITOR)


def test_a_changed_pack_needs_a_new_version(tmp_path: Path) -> None:
    adopt_pack(tmp_path, BOTH, KEYS)
    changed = PIPL.model_copy(update={"rules": PIPL.rules[1:]})
    with pytest.raises(PolicyError, match="raise the version"):
        adopt_pack(tmp_path, sign_pack(sign_pack(changed, APPROVER), AUDITOR), KEYS)
    assert adopted_packs(tmp_path, KEYS) == (PIPL,)


def test_a_bad_file_among_the_adopted_ones_is_named(tmp_path: Path) -> None:
    adopt_pack(tmp_path, BOTH, KEYS)
    (tmp_path / "copy.pack").write_bytes(BOTH)
    with pytest.raises(PolicyError, match="twice"):
        adopted_packs(tmp_path, KEYS)
    (tmp_path / "copy.pack").write_bytes(add_signature(LONE, STRANGER))
    with pytest.raises(PolicyError, match=r"copy\.pack.*not signed by audit") as caught:
        adopted_packs(tmp_path, KEYS)
    assert (caught.value.code, caught.value.rule) == ("policy.unsigned", "P31")


def test_an_agreement_gets_exactly_what_it_names() -> None:
    assert resolve([GDPR.reference, PIPL.reference], [PIPL, GDPR, CCPA]) == (GDPR, PIPL)


def test_what_a_member_adopted_besides_applies_too_in_its_newest_version() -> None:
    older, newer = (pack(maximum_epsilon=1.0).model_copy(update={"version": v}) for v in (1, 2))
    assert applicable([PIPL.reference], [newer, PIPL, older]) == (PIPL, newer)
    assert applicable([PIPL.reference, older.reference], [newer, PIPL, older]) == (PIPL, older)
    with pytest.raises(PolicyError, match="not adopted"):
        applicable([GDPR.reference], [PIPL, newer])


@pytest.mark.parametrize(
    ("references", "told"),
    [
        ([], "names no rule pack"),
        ([PIPL.reference, CCPA.reference], "ccpa/1 is not adopted here.*hanse policy adopt ccpa"),
        ([PackReference(id="pipl", version=2, digest=PIPL.digest)], "pipl/2 is not adopted"),
        ([PackReference(id="pipl", version=1, digest="0" * 64)], "another text"),
        ([PackReference(id="gdpr", version=1, digest=PIPL.digest)], "gdpr/1 .*another text"),
    ],
    ids=["none", "missing", "unknown version", "changed", "exchanged"],
)
def test_what_is_not_adopted_does_not_apply(references: list[PackReference], told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        resolve(references, [PIPL, GDPR])
    assert (caught.value.code, caught.value.rule) == ("policy.pack", "P31")


def test_digests_differ() -> None:
    digests = [built.digest for built in BUILTIN.values()]
    digests += [merge([built]).digest for built in BUILTIN.values()]
    assert all(one != other for one, other in pairwise(sorted(digests)))
