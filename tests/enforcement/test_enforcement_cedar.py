"""An independent opinion: the rules, written by hand in Cedar, judge the same subjects.

Cedar is an oracle for tests and never an engine here: it leaves out a policy that fails, and goes on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import cedarpy
import numpy as np
import pytest
from tests.enforcement.enforcement_population import (
    NOW_MS,
    PURPOSE,
    PURPOSES,
    agreement,
    job,
    make_snapshot,
    ref_of,
)

from hanse.policies import ConsentSnapshot, Standing, prepare_training
from hanse.policies.facts import subject_facts

FOLDER = Path(__file__).parent
RULES = ("P02", "P03", "P04", "P05", "P06", "P07", "P08", "P10", "P21")
SOURCE = (FOLDER / "rules.cedar").read_text()
SCHEMA_SOURCE = (FOLDER / "rules.cedarschema").read_text()
NAMES = (*RULES, "separate")
CHUNK_SUBJECTS = 2_000
POLICIES = cedarpy.PolicySet.from_str(SOURCE)
SCHEMA = cedarpy.Schema.from_str(SCHEMA_SOURCE)
NONE_VALID = {"asked": "", "sharing_valid": False, "sensitive_valid": False, "border_valid": False}
SEPARATE = {"sharing": "sharing_valid", "sensitive_data": "sensitive_valid", "cross_border": "border_valid"}


def grant(standing: Standing) -> dict[str, Any]:
    """A standing as Cedar's record; what is not known is left out."""
    record: dict[str, Any] = {"state": standing.state, "guardian": standing.guardian}
    terms = standing.terms
    known: dict[str, Any] = {"given": standing.given_ms, "expires": standing.expires_ms}
    if terms is not None:
        controller, version, sha256 = terms.controller, terms.notice_version, terms.notice_sha256
        record |= {"granted": True, "classes": list(terms.categories), "purposes": list(terms.purposes)}
        record["parties"] = [*terms.recipients, *([controller] if controller else [])]
        known |= {
            "published": terms.notice_published_ms,
            "age": standing.age_at_least,
            "controller": controller,
            "method": terms.method,
            "preticked": terms.preticked,
            "bundled": terms.bundled,
            "conditional": terms.conditional,
            "law": terms.jurisdiction,
            "storage": terms.storage_country,
            "basis": terms.legal_basis,
        }
        if controller and version:
            record["major"] = f"{controller}|{version.split('.')[0]}"
            if sha256:
                record["notice"] = f"{controller}|{version}|{sha256}"
    return record | {name: value for name, value in known.items() if value is not None}


def make_round(document: Any, *, needs_sensitive: bool) -> cedarpy.Entities:
    """What a job asks for, read from the agreement by hand."""
    policy = job(document).policy
    members = document.members
    attributes = {
        "now": NOW_MS,
        "since": NOW_MS - policy.thresholds["maximum_grant_age_days"].value * 86_400_000,
        "child_below": policy.thresholds["child_below_years"].value,
        "minors": document.may_contain_minors,
        "one_place": False,
        "mechanism": True,
        "needs_sensitive": needs_sensitive,
        "members": [member.organisation for member in members],
        "providers": [member.organisation for member in members if member.role == "provider"],
        "classes": sorted({column.classification for column in document.columns}),
        "places": ["CN", "DE"],
        "active_methods": ["active_click", "signed", "verbal"],
        "notices": [f"{m.organisation}|{n.version}|{n.sha256}" for m in members for n in m.notices],
        "majors": [f"{m.organisation}|{n.version.split('.')[0]}" for m in members for n in m.notices],
    }
    entity = {"uid": {"type": "Round", "id": "r"}, "attrs": attributes, "parents": []}
    return cedarpy.Entities.from_json_str(json.dumps([entity]))


def ask(entities: cedarpy.Entities, requests: list[tuple[str, str]]) -> list[frozenset[str]]:
    """The rules that permit, of each request; an error is a denial, and fails the test."""
    same = {"principal": {"type": "Subject", "id": "s"}, "resource": {"type": "Round", "id": "r"}}
    parts = [{**same, "action": {"type": "Action", "id": action}, "context": own} for action, own in requests]
    results = cedarpy.is_authorized_batch(parts, POLICIES, entities, SCHEMA)
    assert [error for result in results for error in result.diagnostics.errors] == []
    # Cedar names policies by their place in the file, and, of those that permit, every one.
    return [
        frozenset(NAMES[int(policy.removeprefix("policy"))] for policy in result.diagnostics.reasons)
        for result in results
    ]


def judge(snapshot: ConsentSnapshot, refs: list[str], entities: cedarpy.Entities) -> list[frozenset[str]]:
    """The rules that permit each subject; separate consents first, for no policy can ask another."""
    separate = [
        (ref, purpose, standing)
        for ref in refs
        for purpose in SEPARATE
        if (standing := snapshot.standing(ref, purpose)) is not None
    ]
    asked = [
        ("separate", json.dumps({**NONE_VALID, "asked": use, "grant": grant(own)}))
        for _, use, own in separate
    ]
    flags: dict[str, dict[str, bool]] = {ref: {} for ref in refs}
    for (ref, purpose, _), good in zip(separate, ask(entities, asked), strict=True):
        flags[ref][SEPARATE[purpose]] = good == {"separate"}
    requests = []
    for ref in refs:
        standing = snapshot.standing(ref, PURPOSE)
        own = {**NONE_VALID, **flags[ref], **({} if standing is None else {"grant": grant(standing)})}
        requests.append(("judge", json.dumps(own)))
    return ask(entities, requests)


def test_the_policies_fit_their_schema() -> None:
    assert tuple(re.findall(r'@id\("(\w+)"\)', SOURCE)) == NAMES
    result = cedarpy.validate_policies(SOURCE, SCHEMA_SOURCE)
    assert result.validation_passed, result.errors


@pytest.mark.parametrize(
    ("required", "subjects"),
    [
        pytest.param("", 800, id="some"),
        pytest.param("health", 800, id="some who need a sensitive column"),
        pytest.param("health", 20_000, id="many", marks=pytest.mark.slow),
        pytest.param("health", 100_000, id="all", marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(600)
def test_cedar_judges_alike(required: str, subjects: int) -> None:
    snapshot = make_snapshot(np.random.default_rng(42), subjects)
    document = agreement(required=required)
    screening = prepare_training(job(document), snapshot)
    rules = {rule: predicate for rule, predicate in screening.rules if rule in RULES}
    assert set(rules) == set(RULES)
    entities = make_round(document, needs_sensitive=required == "health")
    permitted: Counter[str] = Counter()
    for start in range(0, subjects, CHUNK_SUBJECTS):
        refs = [ref_of(number) for number in range(start, min(start + CHUNK_SUBJECTS, subjects))]
        for ref, cedar in zip(refs, judge(snapshot, refs, entities), strict=True):
            facts = {**screening.facts, **subject_facts(snapshot, ref, PURPOSE)}
            assert {rule for rule, predicate in rules.items() if predicate.holds(facts)} == cedar
            permitted.update(cedar)
    expected = set(RULES) if required else set(RULES) - {"P07"}
    assert {rule for rule in expected if not 10 <= permitted[rule] <= subjects - 10} == set()


def test_what_cedar_is_asked_about_is_every_consent() -> None:
    assert set(PURPOSES) == {PURPOSE, *SEPARATE}
