"""When two writings are the same identifier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.policies.agreement.alignment import IdentifierRule
from hanse.policies.identifiers import normalise

EMAIL = IdentifierRule(kind="mail", normalisation="email")
UNTAGGED = IdentifierRule(kind="mail", normalisation="email_untagged")
GERMAN = IdentifierRule(kind="phone", normalisation="phone", country_code="49")
CHINESE = IdentifierRule(kind="phone", normalisation="phone", country_code="86", trunk_prefix="")
WRITTEN_OUT = IdentifierRule(kind="phone", normalisation="phone")
CODE = IdentifierRule(kind="contract", normalisation="code")
EXACT = IdentifierRule(kind="key", normalisation="exact")


@pytest.mark.parametrize(
    ("rule", "value", "form"),
    [
        (EMAIL, "  Anna.Schmidt@Example.ORG ", "anna.schmidt@example.org"),
        (EMAIL, "\uff41nna@example.org", "anna@example.org"),  # a full-width letter
        (EMAIL, "anna+car@example.org", "anna+car@example.org"),
        (UNTAGGED, "Anna+Car@example.org", "anna@example.org"),
        (UNTAGGED, "+car@example.org", None),
        (EMAIL, "   ", ""),
        (EMAIL, "anna", None),
        (EMAIL, "an na@example.org", None),
        (EMAIL, "a@b@example.org", None),
        (EMAIL, "a@" + "b" * 400, None),
        (GERMAN, "0170 123-45.67", "+491701234567"),
        (GERMAN, "+49 (0) 170/1234567", "+491701234567"),
        (GERMAN, "0049 170 1234567", "+491701234567"),
        (GERMAN, "+86 138 0013 8000", "+8613800138000"),
        (CHINESE, "138 0013 8000", "+8613800138000"),
        (WRITTEN_OUT, "0170 1234567", None),
        (WRITTEN_OUT, "+49 170 1234567", "+491701234567"),
        (GERMAN, "12", None),
        (GERMAN, "0170 ABC", None),
        (GERMAN, "", ""),
        (CODE, "wvw-zzz 1J.x", "wvwzzz1jx"),
        (EXACT, " Same ", " Same "),
        (EXACT, "e\u0301", "\u00e9"),
    ],
)
def test_writings_have_one_form(rule: IdentifierRule, value: str, form: str | None) -> None:
    assert normalise(rule, value) == form


@given(st.sampled_from([EMAIL, UNTAGGED, GERMAN, WRITTEN_OUT, CODE, EXACT]), st.text(max_size=40))
def test_a_form_is_its_own_form(rule: IdentifierRule, value: str) -> None:
    form = normalise(rule, value)
    assert form is None or normalise(rule, form) == form


def test_a_country_code_belongs_to_numbers() -> None:
    with pytest.raises(ValidationError, match="give country_code to phone"):
        IdentifierRule(kind="mail", normalisation="email", country_code="49")
