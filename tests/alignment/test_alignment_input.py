"""What a member gets to read when its identifiers cannot be used."""

import os
from typing import Any

import numpy as np
import pytest
from tests.alignment.aligning import Table, align, make_rules

from hanse.alignment.identifiers import Column, Prepared, prepare
from hanse.errors import ConfigurationError, PolicyError

SECRET = "anna@shop.test"
REFUSE = make_rules(["email"], duplicates="refuse", malformed="refuse")


def read(table: Table, rules: Any = REFUSE) -> Prepared:
    columns = {kind: Column(f"their {kind}", values) for kind, values in table.items()}
    return prepare(columns, rules, "crm.csv", os.urandom)


CASES: dict[str, tuple[Table, str]] = {
    "duplicate identifiers": (
        {"email": [SECRET, "bo@shop.test", " Anna@shop.test"]},
        "crm.csv, column their email: rows 1, 3: an identifier that stands at more than one row",
    ),
    "not UTF-8": (
        {"email": ["bo@shop.test", "anna\udcfc@shop.test"]},
        "crm.csv, column their email, row 2: the bytes are not UTF-8; save the file in UTF-8",
    ),
    "not UTF-8, as bytes": (
        {"email": [None, b"\xff@shop.test"]},
        "crm.csv, column their email, row 2: the bytes are not UTF-8; save the file in UTF-8",
    ),
    "fractions": (
        {"email": np.array([np.nan, 17.0])},  # type: ignore[dict-item]
        (
            "crm.csv, column their email, row 2: a number with a fraction (a column of whole numbers becomes "
            "one when values are missing); store the column as text or whole numbers"
        ),
    ),
    "fractions as text": (
        {"email": ["17.0", None, "4915201234567.0"]},
        (
            "crm.csv, column their email: each value ends in .0: a number with a fraction (a column of whole "
            "numbers becomes one when values are missing); store the column as text or whole numbers"
        ),
    ),
    "mixed types": (
        {"email": [SECRET, None, 17]},
        (
            "crm.csv, column their email, row 3: whole numbers, but the rows before hold text; "
            "store the column as text"
        ),
    ),
    "another type": (
        {"email": [SECRET, True]},
        "crm.csv, column their email, row 2: a value that is neither text nor a whole number",
    ),
    "an empty file": (
        {"email": []},
        "crm.csv: there are no rows: the file is empty, or nobody in it may be used",
    ),
    "nothing usable": (
        {"email": [None, "  "]},
        "crm.csv, column their email: no row has an identifier email that can be used",
    ),
    "a missing column": (
        {"phone": ["+491700000001"]},
        "crm.csv: no column for the identifier email (kinds with a column: phone)",
    ),
    "malformed": (
        {"email": [SECRET, "anna at shop.test"]},
        "crm.csv, column their email: row 2: not of the form email",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named_by_file_row_and_column(case: str) -> None:
    table, message = CASES[case]
    with pytest.raises(ConfigurationError) as refusal:
        read(table)
    assert (refusal.value.code, refusal.value.detail) == ("alignment.identifiers", message)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="different lengths"):
        read({"email": [SECRET], "phone": [None, None]}, make_rules())


def test_nothing_in_common_is_told_to_both_by_name() -> None:
    done = align({"brand": {"code": ["1", "2"]}, "insurer": {"code": ["3"]}}, make_rules(["code"]))
    for error in done.values():
        assert isinstance(error, PolicyError)
        assert error.code == "alignment.nobody"
        assert "no code is in common; compare what the members' columns hold" in error.detail


def test_whole_numbers_meet_their_digits_and_what_may_be_left_out_is_counted() -> None:
    numbers = read({"code": np.array([17, 4, 4])}, make_rules(["code"]))  # type: ignore[dict-item]
    texts = read({"code": ["17", None, ""]}, make_rules(["code"]))
    assert (numbers.kinds[0][0] == texts.kinds[0][0]).all()
    assert numbers.kinds[0][1].tolist() == [0]
    counts = numbers.counts["code"]
    assert (counts.usable, counts.missing, counts.malformed, counts.duplicated) == (1, 0, 0, 2)
    assert texts.counts["code"].missing == 2


def test_a_commitment_hides_the_set_and_fits_one_only() -> None:
    made = [read({"email": [SECRET]}) for _ in range(2)]
    other = read({"email": ["bo@shop.test"]})
    assert len({one.commitment for one in (*made, other)}) == 3  # salted: equal sets do not show
