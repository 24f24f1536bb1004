"""Agreements: reading, writing, and what a mistake in one says."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies import HEADER, Agreement
from hanse.policies.documents import MAX_DOCUMENT_CHARACTERS, to_yaml, yaml_to_json

Changed = Callable[..., Agreement]


def test_the_example_reads_as_written(agreement: Agreement) -> None:
    assert [member.name for member in agreement.members] == ["brand", "insurer"]
    assert agreement.columns[0].edges == (25.0, 35.0, 45.5, 60.0)
    assert agreement.privacy is not None
    assert agreement.privacy.delta == 1e-5
    # An offset is turned into UTC.
    assert agreement.assessment.expires_at.isoformat() == "2027-01-10T08:00:00+00:00"
    assert agreement.label.positive == "yes"
    assert agreement.organisations == {"Nordwagen AG", "Hanse Versicherung Süd"}
    assert agreement.jurisdictions == {"DE"}


def test_yaml_and_text_round_trip(agreement: Agreement) -> None:
    assert Agreement.from_yaml(agreement.to_yaml()) == agreement
    assert Agreement.from_text(agreement.text()) == agreement
    assert agreement.text().startswith(HEADER)
    assert agreement.text().isascii()


def test_digest_is_of_the_text_and_changes_with_any_field(agreement: Agreement, changed: Changed) -> None:
    copies = [
        agreement,
        changed({"version": 2, "supersedes": "0" * 64}),
        changed({"retention.rows_days": 181}),
        changed({"columns.0.edges.2": 46}),
        changed({"members.0.organisation": "Nordwagen SE"}),
    ]
    assert len({copy.digest for copy in copies}) == len(copies)
    assert Agreement.from_yaml(agreement.to_yaml()).digest == agreement.digest


@settings(deadline=None)
@given(title=st.text(min_size=1, max_size=60), positive=st.text(min_size=1, max_size=20))
def test_any_text_that_is_accepted_survives_yaml_and_text(
    changed: Changed, title: str, positive: str
) -> None:
    try:
        agreement = changed({"title": title, "label.positive": positive})
    except ValueError:
        return
    assert Agreement.from_yaml(agreement.to_yaml()) == agreement
    assert Agreement.from_text(agreement.text()) == agreement


# field -> what is wrong with it; every message must name the field and what to do
MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "not a country": ({"members.0.jurisdiction": "Germany"}, "members.0.jurisdiction", "two-letter"),
    "not a key": ({"members.1.node_key": "hello"}, "members.1.node_key", "name+id+key"),
    "key of another name": (
        {"coordinator.key": "other+7f664b99+ARaDlQauKkq5r5btOEl9QiVKsweCCNIN57i6dzrThozu"},
        "coordinator.key",
        "public key",
    ),
    "number as text": ({"cohort.minimum_rows": "100"}, "cohort.minimum_rows", "whole number"),
    "truth as number": ({"version": True}, "version", "whole number"),
    "no rounds": ({"training.rounds": 0}, "training.rounds", "greater than or equal to 1"),
    "sample rate above one": ({"training.sample_rate": 1.5}, "training.sample_rate", "less than or equal"),
    "one member in an aggregate": ({"cohort.minimum_members": 1}, "cohort.minimum_members", "2"),
    "hidden layers of a logistic model": ({"training.hidden": [8]}, "training", "none to a logistic"),
    "mlp without layers": ({"training.model": "mlp"}, "training", "give hidden layers"),
    "edges out of order": ({"columns.0.edges": [3, 2]}, "columns.0", "increasing order"),
    "no edges": ({"columns.0.edges": []}, "columns.0", "edges to a numeric"),
    "edges and categories": ({"columns.1.edges": [1]}, "columns.1", "edges to a numeric"),
    "category twice": ({"columns.1.categories": ["a", "a"]}, "columns.1", "differ"),
    "column twice": ({"columns.2.name": "AGE"}, "columns", "differ"),
    "column name with a quote": ({"columns.0.name": 'a"; drop'}, "columns.0.name", "column name"),
    "label among the columns": ({"label.name": "Age"}, "document", "predict itself"),
    "member twice": ({"members.1.name": "brand"}, "members", "differ"),
    "organisation twice": ({"members.1.organisation": "Nordwagen AG"}, "members", "differ"),
    "coordinator named as a member": ({"coordinator.name": "brand"}, "document", "no member has"),
    "no columns": ({"columns": []}, "columns", "at least 1"),
    "invisible title": ({"title": "all \u202e good"}, "title", "visible text"),
    "long title": ({"title": "x" * 401}, "title", "shorten"),
    "a date without time": ({"valid_from": "2026-02-01"}, "valid_from", "time zone"),
    "a time without zone": ({"valid_from": "2026-02-01T00:00:00"}, "valid_from", "time zone"),
    "a time that is none": ({"valid_from": "2026-02-31T00:00:00Z"}, "valid_from", "time zone"),
    "before all time": ({"valid_from": "0001-01-01T00:00:00+14:00"}, "valid_from", "time zone"),
    "validity backwards": ({"valid_until": "2026-01-01T00:00:00Z"}, "document", "later than valid_from"),
    "assessment backwards": ({"assessment.expires_at": "2026-01-01T00:00:00Z"}, "document", "expires_at"),
    "other legal basis": ({"legal_basis": "legitimate_interest"}, "legal_basis", "consent"),
    "upper-case digest": ({"software.digest": "AB" * 32}, "software.digest", "lower-case"),
    "purpose with spaces": ({"purpose": "make money"}, "purpose", "write a purpose"),
    "budget without end": ({"privacy.epsilon": 0}, "privacy.epsilon", "greater than 0"),
    "null where something must be": ({"cohort": None}, "cohort", "Input should be"),
    "next form": ({"schema_version": 2}, "schema_version", "1"),
}


@pytest.mark.parametrize(("values", "field", "advice"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_the_field_and_what_to_do(
    agreement: Agreement, values: dict[str, Any], field: str, advice: str
) -> None:
    document: Any = agreement.model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        place = document
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        place[last] = value
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_yaml(to_yaml(document))
    assert refusal.value.code == "policy.invalid"
    assert f"{field}: " in refusal.value.detail
    assert advice in refusal.value.detail


@pytest.mark.parametrize("key", ["cohort", "privacy", "border", "legal_basis", "software", "scoring"])
def test_nothing_that_matters_has_a_default(agreement: Agreement, key: str) -> None:
    document = agreement.model_dump(mode="json")
    del document[key]
    with pytest.raises(PolicyError, match=f"{key}: is missing; add it"):
        Agreement.from_yaml(to_yaml(document))


def test_one_key_in_two_places_is_refused(changed: Changed, agreement: Agreement) -> None:
    node = agreement.members[0].node_key
    with pytest.raises(ValueError, match="keys of members and coordinator must differ"):
        changed({"members.1.approver_key": node})
    with pytest.raises(ValueError, match="keys of members and coordinator must differ"):
        changed({"coordinator.key": node})


def test_an_unknown_field_is_refused_and_named_harmlessly(example_yaml: str) -> None:
    with pytest.raises(PolicyError, match="colour: is not a known field"):
        Agreement.from_yaml(example_yaml + "colour: red\n")
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_yaml(example_yaml + '"\\e[31m secret": 1\n')
    assert "\x1b" not in refusal.value.detail


def test_no_value_of_the_document_is_in_the_message(changed: Changed, agreement: Agreement) -> None:
    document = agreement.model_dump(mode="json")
    document["title"] = "Erika\x00Mustermann"
    document["columns"] = "Erika-Mustermann"
    document["version"] = "Mustermann"
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_yaml(json.dumps(document))
    assert "Mustermann" not in str(refusal.value)
    assert changed({}) == agreement


# What PyYAML, left alone, would do with these: false, 8, a set, a date, a bomb, code.
SURPRISES = {
    "Norway": ("jurisdiction: NO", {"jurisdiction": "NO"}),
    "exponent without point": ("delta: 1e-5", {"delta": 1e-5}),
    "leading zero": ("zip: 010", {"zip": "010"}),
    "sexagesimal": ("time: 12:30:00", {"time": "12:30:00"}),
    "date": ("day: 2026-01-01", {"day": "2026-01-01"}),
    "underscore": ("n: 1_000", {"n": "1_000"}),
    "infinity": ("n: .inf", {"n": ".inf"}),
    "yes": ("positive: yes", {"positive": "yes"}),
    "empty": ("reference:", {"reference": None}),
    "true": ("preticked: true", {"preticked": True}),
}


@pytest.mark.parametrize(("text", "value"), SURPRISES.values(), ids=SURPRISES)
def test_yaml_has_no_surprises(text: str, value: object) -> None:
    assert json.loads(yaml_to_json(text)) == value
    assert json.loads(yaml_to_json(to_yaml(json.loads(yaml_to_json(text))))) == value


REFUSED_YAML = {
    "key twice": "a: 1\na: 2",
    "key that is a number": "1: a",
    "key that is a list": "[1]: a",
    "anchor": "a: &x [1]\nb: 2",
    "alias": "a: &x [1]\nb: *x",
    "python object": "a: !!python/object/apply:os.system [ls]",
    "binary": "a: !!binary aGVsbG8=",
    "set": "a: !!set {b}",
    "not a number": "a: !!float .nan",
    "two documents": "a: 1\n---\nb: 2",
    "unclosed": "a: [1",
    "control character": "a: \x07",
    "deep": "[" * 1500,
    "number that is none": "a: !!int twelve",
    "too long": " " * (MAX_DOCUMENT_CHARACTERS + 1),
}


@pytest.mark.parametrize("text", REFUSED_YAML.values(), ids=REFUSED_YAML)
def test_yaml_beyond_the_subset_is_refused(text: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        yaml_to_json(text)
    assert refusal.value.code == "policy.invalid"


def test_a_yaml_mistake_says_where() -> None:
    with pytest.raises(PolicyError, match="line 3, column 2"):
        yaml_to_json("a: 1\nb: [2\nc: 3\n")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_reading_yaml_is_total(text: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_yaml(text)
    assert refusal.value.code == "policy.invalid"


@settings(deadline=None)
@given(st.one_of(st.text(), st.builds(lambda body: f"{HEADER}{body}\n", st.text())))
def test_reading_text_is_total(text: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_text(text)
    assert refusal.value.code == "policy.invalid"


RESPELLINGS: dict[str, tuple[str, str]] = {
    "integer for a float": ('"epsilon":3.0', '"epsilon":3'),
    "true for one": ('"schema_version":1', '"schema_version":true'),
    "offset for Z": ("2026-02-01T00:00:00Z", "2026-02-01T01:00:00+01:00"),
    "needless milliseconds": ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000Z"),
    "space": ('{"assessment"', '{ "assessment"'),
    "default left out": (',"necessity":null', ""),
    "other header": (HEADER, "hanse agreement v2\n"),
    "more at the end": ("}\n", "}\n\n"),
}


@pytest.mark.parametrize(("old", "new"), RESPELLINGS.values(), ids=RESPELLINGS)
def test_another_spelling_of_the_same_agreement_is_refused(agreement: Agreement, old: str, new: str) -> None:
    text = agreement.text()
    assert old in text
    with pytest.raises(PolicyError) as refusal:
        Agreement.from_text(text.replace(old, new, 1))
    assert refusal.value.code == "policy.invalid"
