"""A real data set in the vertical demo: whose columns are whose, and which may not be used."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.demo.test_demo_data import write_set

from hanse.demo.vertical.real import real_story
from hanse.errors import ConfigurationError

ROWS = [
    f"{20 + row},services,single,primary,no,{row},no,no,cellular,5,may,9,{row + 1},-1,0,unknown,{answer}"
    for row, answer in enumerate(["yes", "yes", "no", "no"] * 10)
]


def divided(folder: Path, **parties: list[str]) -> Path:
    """A set of forty rows, in each of which age and campaign say which row it is."""
    source = write_set(folder / "set", rows=ROWS)
    spec = json.loads((source / "spec.json").read_text())
    (source / "spec.json").write_text(json.dumps(spec | parties))
    return source


def test_every_party_has_its_columns_of_its_people(tmp_path: Path) -> None:
    source = divided(tmp_path, party_a_label_holder=["age", "balance"], party_b_partner=["campaign", "month"])
    story = real_story(source, np.random.default_rng(1))
    brand, partner = story.holders
    assert [[column.name for column in holder.columns] for holder in story.holders] == [
        ["age"],  # balance is sensitive
        ["month", "campaign"],
    ]
    assert list(brand.left_out) == ["balance"]
    assert "P18" in brand.left_out["balance"]
    assert partner.left_out == {}
    assert len(brand.person) == 40 > len(partner.person) > 20
    assert np.array_equal(brand.values["age"], brand.person + 20)
    assert np.array_equal(partner.values["campaign"], partner.person + 1)
    known = dict(zip(brand.person.tolist(), brand.identifiers["email"], strict=True))
    assert [known[person] for person in partner.person.tolist()] == list(partner.identifiers["email"])


def test_a_party_with_sensitive_columns_alone_is_refused_with_the_rule(tmp_path: Path) -> None:
    source = divided(tmp_path, party_a_label_holder=["age"], party_b_partner=["balance", "housing", "loan"])
    with pytest.raises(ConfigurationError, match=r"party_b_partner is sensitive, and rule P18") as refused:
        real_story(source, np.random.default_rng(1))
    assert refused.value.code == "config.bad-data"


def test_a_set_that_is_not_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="which party has which columns"):
        real_story(divided(tmp_path), np.random.default_rng(1))
