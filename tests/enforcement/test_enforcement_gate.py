"""The gate with subjects who hide something: what they hide is not read, is counted, and trains nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.client.conftest import made, world
from typing_extensions import override

from hanse.client.data import DataSource, Hidden
from hanse.enforcement import ConsentColumns
from hanse.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.client.conftest import World

    from hanse.policies import SignedAgreement

__all__ = ["made", "world"]


def optional(world: World) -> SignedAgreement:
    """The agreement, with a column that nobody has to show."""
    document: Any = world.agreement().model_dump(mode="json")
    document["columns"][0]["required"] = False
    return world.agree({"columns": document["columns"]})


class Watched(DataSource):
    """Notes what is asked for."""

    @override
    def read(self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden) -> Any:
        self.asked = (list(subject_ids), {name: flags.tolist() for name, flags in hidden.items()})
        self.found = super().read(columns, subject_ids, hidden)
        return self.found


def test_a_hidden_value_is_not_read_and_the_rest_is(world: World) -> None:
    for number in (3, 5):
        world.ledger.fold(world.ref(f"person-{number:04}"), "joint_modelling", ["age"], [], world.now)
    source = Watched(world.source().manifest)
    admitted = world.gate(source).open(world.step(1, optional(world)))
    subjects, hidden = source.asked
    assert {s for s, flag in zip(subjects, hidden["age"], strict=True) if flag} == {
        "person-0003",
        "person-0005",
    }
    ages = np.asarray(source.found[0]["age"], dtype=float)
    assert np.isnan(ages).tolist() == hidden["age"]
    assert admitted.training.rows + admitted.holdout.rows == 140
    assert admitted.hidden_by_column == {"age": 2}
    entry = world.entries()[-1]
    assert entry.counts is not None
    assert dict(entry.counts.hidden) == {"0": 2}
    assert (entry.counts.rows_out, dict(entry.counts.by_rule)) == (140, {"P01": 20})


def test_who_hides_what_everybody_must_show_is_left_out(world: World) -> None:
    world.ledger.fold(world.ref("person-0003"), "joint_modelling", [], ["behavioural"], world.now)
    world.ledger.fold(world.ref("person-0004"), "joint_modelling", ["bought"], [], world.now)
    gate = world.gate()
    admitted = gate.open(world.step(1, optional(world)))
    assert admitted.excluded_by_rule == {"P01": 20, "P05": 2}
    world.ledger.fold(world.ref("person-0003"), "joint_modelling", [], [], world.now)
    assert gate.open(world.step(2, optional(world))).excluded_by_rule == {"P01": 20, "P05": 1}


def test_a_filter_that_admits_wrongly_stops_the_round_before_anything_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of the ledger goes stale behind the gate's back; the ledger itself is asked as well."""
    source = Watched(world.source().manifest)
    gate = world.gate(source)
    gate.open(world.step(1))
    del source.asked
    for number in range(30):
        world.ledger.withdraw(world.ref(f"person-{number:04}"), "joint_modelling", world.now)
    head = world.ledger.head()

    def pretend(columns: ConsentColumns, _: Any, now: Any) -> None:
        columns.head, columns._taken_at = head, now

    monkeypatch.setattr(ConsentColumns, "refresh", pretend)
    with pytest.raises(PolicyError, match="differ about 30 of 160") as caught:
        gate.open(world.step(2))
    assert caught.value.rule == "P32"
    assert not hasattr(source, "asked")
    assert world.entries()[-1].reasons == ("policy.denied", "P32")


def test_a_source_that_reads_what_is_hidden_is_found_out(world: World) -> None:
    class Careless(DataSource):
        @override
        def read(self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden) -> Any:
            del hidden
            return super().read(columns, subject_ids, {})

    world.ledger.fold(world.ref("person-0003"), "joint_modelling", ["age"], [], world.now)
    with pytest.raises(PolicyError, match="a hidden value was read") as caught:
        world.gate(Careless(world.source().manifest)).open(world.step(1, optional(world)))
    assert caught.value.rule == "P32"


def test_a_ledger_that_nobody_feeds_stops_the_round(world: World) -> None:
    gate = world.gate()
    gate.open(world.step(1))
    world.now = world.now.replace(year=world.now.year, microsecond=0)
    later = type(world.now).fromtimestamp(world.now.timestamp() + 25 * 3600, world.now.tzinfo)
    world.now = later
    with pytest.raises(PolicyError) as caught:
        gate.open(world.step(2))
    assert caught.value.rule == "P10"
    assert world.entries()[-1].reasons == ("policy.denied", "P10")
    world.ledger.heartbeat(world.now)
    assert gate.open(world.step(2)).training.rows > 0


def test_a_table_of_a_database_is_as_good_as_a_file(world: World, tmp_path: Path) -> None:
    import sqlalchemy as sa

    lines = [line.split(",") for line in (world.home.root / "data.csv").read_text().split()]
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE people ({', '.join(lines[0])})"))
        marks = ", ".join(f":{name}" for name in lines[0])
        rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
        connection.execute(sa.text(f"INSERT INTO people VALUES ({marks})"), rows)  # noqa: S608 - our own names
    text = world.home.settings.read_text().replace(
        'path = "data.csv"', f'url = "sqlite:///{tmp_path / "crm.db"}"\ntable = "people"'
    )
    assert "crm.db" in text
    from_file = world.gate().open(world.step(1))
    world.home.settings.write_text(text)
    from_table = world.gate().open(world.step(1))
    for one, other in zip(
        (from_file.training, from_file.holdout), (from_table.training, from_table.holdout), strict=True
    ):
        assert one.labels.tolist() == other.labels.tolist()
        assert {k: v.tolist() for k, v in one.columns.items()} == {
            k: v.tolist() for k, v in other.columns.items()
        }
    assert "crm.db" not in json.dumps([entry.model_dump(mode="json") for entry in world.entries()])
