"""Every rule speaks both languages, names its articles, and says what to do."""

import re

import pytest

from hanse.policies.packs import ALWAYS_ON, BUILTIN, merge
from hanse.policies.rules import (
    COLUMN_RULES,
    GRANT_RULES,
    POLICY_DIGEST,
    RULES,
    SUBJECT_RULES,
    TRAINING_RULES,
    Level,
    Phase,
    Rule,
)

CJK = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[A-Za-z]{2,}")


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_both_languages_are_complete(rule: Rule) -> None:
    for wording in (rule.message, rule.remedy):
        assert wording.en.endswith(".")
        assert wording.en.isascii()
        assert wording.zh.endswith("。")
        assert len(CJK.findall(wording.zh)) >= 6
        assert not WORD.findall(wording.zh)
        assert not set(",;:()") & set(wording.zh)
    assert rule.message != rule.remedy


def test_no_two_rules_say_the_same() -> None:
    texts = [text for rule in RULES.values() for text in (rule.message.en, rule.message.zh)]
    assert len(set(texts)) == len(texts)


def test_chinese_uses_the_terms_of_the_law() -> None:
    said = "".join(rule.message.zh + rule.remedy.zh for rule in RULES.values())
    for term in (
        "个人信息",
        "单独同意",
        "敏感个人信息",
        "撤回",
        "个人信息保护影响评估",
        "个人信息出境标准合同",
    ):
        assert term in said


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_articles_are_those_of_the_built_in_packs(rule: Rule) -> None:
    assert "pipl" in rule.articles
    assert ("gdpr" in rule.articles) == (rule.id != "P22")
    assert any(article.startswith("PIPL ") for article in rule.cited())
    for name, pack in BUILTIN.items():
        assert rule.articles.get(name, ()) == pack.articles(rule.id)


def test_ccpa_articles_are_sections_of_the_act_or_its_regulations() -> None:
    cited = [article for rule in RULES.values() for article in rule.articles.get("ccpa", ())]
    section = r"1798\.1[0-9]{2}(\([a-z]\)(\([0-9]{1,2}\)(\([A-Z]\))?)?)?"
    form = re.compile(rf"{section}|Cal\. Code Regs\. tit\. 11 § 7101")
    assert all(form.fullmatch(article) for article in cited)
    assert len(cited) > 20


def test_always_on_rules_apply_under_every_pack() -> None:
    for pack in BUILTIN.values():
        assert set(merge([pack]).rules) >= ALWAYS_ON


def test_the_steps_about_people_are_the_whole_rules() -> None:
    """P01 is asked in two steps; together with the others they are exactly the rules at that level."""
    by_rule: dict[str, set[str]] = {}
    for rule in SUBJECT_RULES:
        by_rule.setdefault(rule.id, set()).add(rule.requires[Level.SUBJECT].words())
    assert by_rule.pop("P01") == {part.words() for part in RULES["P01"].requires[Level.SUBJECT].parts()}
    for rule_id, formulas in by_rule.items():
        assert formulas == {RULES[rule_id].requires[Level.SUBJECT].words()}
    decided = {rule.id for rule in RULES.values() if Level.SUBJECT in rule.requires}
    assert {*by_rule, "P01", "P26"} == decided


def test_the_order_of_the_decision() -> None:
    assert [rule.id for rule in GRANT_RULES] == ["P01", "P04", "P10", "P01", "P02", "P03", "P05", "P08"]
    assert [rule.id for rule in TRAINING_RULES[len(GRANT_RULES) :]] == ["P06", "P07", "P09", "P21"]
    assert [rule.id for rule in COLUMN_RULES] == ["P13", "P05", "P07", "P09"]
    assert {rule.id for rule in COLUMN_RULES} == {
        rule.id for rule in RULES.values() if Level.COLUMN in rule.requires
    }


def test_scoring_asks_for_all_that_every_grant_is_asked_for() -> None:
    parts = [part.words() for part in RULES["P26"].requires[Level.SUBJECT].parts()]
    assert parts == [rule.requires[Level.SUBJECT].words() for rule in GRANT_RULES]


def test_phases_are_those_of_the_design() -> None:
    everywhere = frozenset(Phase)
    assert {rule.id for rule in RULES.values() if rule.phases == everywhere} == {"P01", "P28"}
    assert all(rule.phases for rule in RULES.values())
    assert len(POLICY_DIGEST) == 64
