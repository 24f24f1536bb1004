"""Preprocessing over members equals preprocessing of pooled rows, and names nothing that one member has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from tests.learning.conftest import categorical, numeric

from hanse.aggregation import InProcessAggregator, Query
from hanse.crypto import canonical_json
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.learning import Transform, count_cells
from hanse.learning.counting import encoding
from hanse.learning.preprocessing import PreprocessingContributor, fit
from hanse.learning.preprocessing.contributor import check_cells
from hanse.learning.preprocessing.questions import CELLS, MOMENTS, SPREAD, ask_moments, ask_spread
from hanse.learning.transform import NO_FEATURE, bucket_of, public_cells
from hanse.policies import Cohort, Column

GOLDEN = Path(__file__).parent / "golden"
COHORT = Cohort(minimum_rows=10, minimum_members=2, suppress_below=10)


def learned(name: str, kind: str, transform: str, **more: Any) -> Column:
    return Column.model_validate(
        {"name": name, "kind": kind, "classification": "basic", "transform": transform, **more}
    )


COLUMNS = (
    numeric("age", 30, 50),
    categorical("job", "clerk", "nurse", "pilot"),
    learned("income", "numeric", "quantiles", edges=[0.0, 1e6], bins=8),
    learned("balance", "numeric", "standardised", edges=[-100.0, 100.0]),
    learned("town", "categorical", "hashed", bins=64),
)
Values = Mapping[str, Any]


def rows_of(rng: np.random.Generator, rows: int, towns: tuple[str, ...]) -> Values:
    balance = rng.normal(20, 30, rows)
    balance[:: max(1, rows // 7)] = np.nan
    return {
        "age": rng.integers(18, 80, rows).astype(float),
        "job": rng.choice(["clerk", "nurse"], rows),
        "income": np.round(rng.lognormal(10, 1, rows), 2),
        "balance": balance,
        "town": rng.choice(towns, rows),
    }


def pooled(parts: Mapping[str, Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts.values()]) for name in COLUMNS_NAMES}


COLUMNS_NAMES = tuple(column.name for column in COLUMNS)


def asked_of(parts: Mapping[str, Values]) -> InProcessAggregator:
    return InProcessAggregator(
        {name: PreprocessingContributor(COLUMNS, values) for name, values in parts.items()}
    )


@pytest.fixture
def parts(rng: np.random.Generator) -> Mapping[str, Values]:
    towns = ("Visby", "Riga", "Bergen")
    return {
        "north": rows_of(rng, 300, towns),
        "south": rows_of(rng, 200, towns),
        "west": rows_of(rng, 100, (*towns, "Atlantis")),
    }


def test_members_learn_what_pooled_rows_would_teach(parts: Mapping[str, Values]) -> None:
    everything = pooled(parts)
    alone = Cohort(minimum_rows=10, minimum_members=2, suppress_below=10)
    one = InProcessAggregator(
        {
            "a": PreprocessingContributor(COLUMNS, everything),
            "b": PreprocessingContributor(COLUMNS, everything),
        }
    )
    twice, fitted = fit(one, COLUMNS, alone), fit(asked_of(parts), COLUMNS, COHORT)
    # Two members with all rows each have the same means, quantiles and twice the counts.
    assert (twice.cell_counts == 2 * fitted.cell_counts).all()
    assert fitted.members == ("north", "south", "west")
    for ours, theirs in zip(fitted.transform.columns, twice.transform.columns, strict=True):
        if ours.scale and theirs.scale:
            assert ours.scale.mean == pytest.approx(theirs.scale.mean, abs=1e-6)
            assert ours.scale.std == pytest.approx(theirs.scale.std, abs=1e-6)
        assert ours.edges == theirs.edges
    cells = tuple(fitted.transform.columns)
    assert (count_cells(cells, everything) == fitted.cell_counts).all()


def test_standardised_values_are_those_of_scikit_learn(parts: Mapping[str, Values]) -> None:
    transform = fit(asked_of(parts), COLUMNS, COHORT).transform
    values = np.clip(pooled(parts)["balance"], -100, 100)
    expected = StandardScaler().fit_transform(values[:, None])[:, 0]
    column = next(column for column in transform.columns if column.name == "balance")
    ours = transform.apply(pooled(parts))[:, column.features[0]]
    there = np.isfinite(values)
    np.testing.assert_allclose(ours[there], expected[there], atol=1e-5)
    assert not ours[~there].any()
    assert (transform.apply(pooled(parts))[:, column.features[1]] == ~there).all()


def test_bins_of_quantiles_hold_about_equally_many_rows(parts: Mapping[str, Values]) -> None:
    fitted = fit(asked_of(parts), COLUMNS, COHORT)
    column = next(column for column in fitted.transform.columns if column.name == "income")
    counts = np.histogram(pooled(parts)["income"], [0, *column.edges, 1e6])[0]
    assert len(counts) >= 6
    assert counts.max() <= 2 * 600 / 8


def test_a_town_of_one_member_is_rare_however_often_it_occurs(parts: Mapping[str, Values]) -> None:
    many = {**parts["west"], "town": np.array(["Atlantis"] * 90 + ["Riga"] * 10)}
    transform = fit(asked_of({**parts, "west": many}), COLUMNS, COHORT).transform
    column = transform.columns[-1]
    own = {
        town: column.features[bucket_of("town", town, 64)] for town in ("Visby", "Riga", "Bergen", "Atlantis")
    }
    unseen = next(bucket for bucket in range(64) if column.features[bucket] not in list(own.values())[:3])
    assert len({own["Visby"], own["Riga"], own["Bergen"], own["Atlantis"]}) == 4
    # It shares its feature with buckets that nobody has: whoever guesses the word cannot tell it from them.
    assert own["Atlantis"] == column.features[unseen] != NO_FEATURE
    assert b"Atlantis" not in transform.to_json()
    assert b"Riga" not in transform.to_json()


def test_a_public_category_of_one_member_is_rare_as_well(parts: Mapping[str, Values]) -> None:
    many = {**parts["west"], "job": np.array(["pilot"] * 100)}
    job = fit(asked_of({**parts, "west": many}), COLUMNS, COHORT).transform.columns[1]
    assert job.features[2] == job.features[3]
    assert len(set(job.features)) == 3


def test_a_learned_transform_survives_its_bytes(parts: Mapping[str, Values]) -> None:
    transform = fit(asked_of(parts), COLUMNS, COHORT).transform
    again = Transform.from_json(transform.to_json())
    assert again == transform
    assert (again.apply(parts["west"]) == transform.apply(parts["west"])).all()
    assert transform.groups == (
        tuple(sorted(set(transform.columns[1].features) - {NO_FEATURE})),
        tuple(sorted(set(transform.columns[4].features) - {NO_FEATURE})),
    )


def test_a_kept_transform_reads_as_it_was_written() -> None:
    data = (GOLDEN / "transform.json").read_bytes()
    transform = Transform.from_json(data)
    values = {
        "age": np.array([29.0, 50.0]),
        "job": np.array(["nurse", None], dtype=object),
        "income": np.array([100.0, np.nan]),
        "balance": np.array([45.0, np.nan]),
        "town": np.array(["Riga", "Nowhere"]),
    }
    np.testing.assert_allclose(
        transform.apply(values),
        [[1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1]],
        atol=1e-6,
    )


def test_cells_that_have_to_be_learned_are_not_made_up() -> None:
    for column in COLUMNS[2:]:
        for use in (lambda c=column: Transform.fit([c], None, 1), lambda c=column: public_cells(c)):
            with pytest.raises(TrainingError) as caught:
                use()
            assert caught.value.code == "run.unprepared"


def test_noise_that_was_added_is_what_leaves(parts: Mapping[str, Values]) -> None:
    seen = []

    def noisy(figures: Any, sensitivity: float) -> Any:
        seen.append(sensitivity)
        return figures + 1.0

    contributor = PreprocessingContributor(COLUMNS, parts["west"], noisy)
    answer = contributor.contribute(ask_moments(("balance",), 3))
    exact = PreprocessingContributor(COLUMNS, parts["west"]).contribute(ask_moments(("balance",), 3))
    assert (answer == exact + 1.0).all()
    assert seen == [pytest.approx(2**0.5)]


@pytest.mark.parametrize(
    "query",
    [
        ask_moments(("age",), 3),
        ask_moments(("balance", "balance"), 3),
        ask_moments(("nothing",), 3),
        ask_spread(("income",), (0.5,), 3),
        Query("preprocessing.rows", b"{}", 1, encoding(3)),
        Query(MOMENTS, b'{"columns":["balance"]}', 3, encoding(3)),
        Query(MOMENTS, b'{"columns":["balance"],"x":1}', 2, encoding(3)),
        Query(SPREAD, b'{"columns":["balance"],"means":[true]}', 1, encoding(3)),
        Query(CELLS, b'{"columns":[]}', 0, encoding(3)),
        Query(CELLS, b'{"columns":[1]}', 2, encoding(3)),
        Query("quantile.counts", b"", 512, encoding(3)),
    ],
)
def test_other_questions_are_refused(parts: Mapping[str, Values], query: Query) -> None:
    with pytest.raises(ProtocolError):
        PreprocessingContributor(COLUMNS, parts["west"]).contribute(query)


def test_a_question_is_answered_once(parts: Mapping[str, Values]) -> None:
    contributor = PreprocessingContributor(COLUMNS, parts["west"])
    contributor.contribute(ask_moments(("balance",), 3))
    with pytest.raises(ProtocolError):
        contributor.contribute(ask_moments(("balance",), 3))


@given(st.sampled_from([MOMENTS, SPREAD, CELLS, "quantile.counts"]), st.binary(max_size=60))
def test_random_questions_are_refused(kind: str, body: bytes) -> None:
    contributor = PreprocessingContributor(COLUMNS, rows_of(np.random.default_rng(1), 5, ("Riga",)))
    with pytest.raises(HanseError):
        contributor.contribute(Query(kind, body, 3, encoding(2)))


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (0, {"edges": (30.0, 40.0)}),
        (1, {"categories": ("clerk", "nurse")}),
        (2, {"edges": tuple(float(edge) for edge in range(9))}),
        (2, {"edges": (-5.0, 3.0)}),
        (3, {"scale": None}),
        (4, {"buckets": 63}),
        (4, {"name": "age"}),
    ],
)
def test_cells_that_were_not_agreed_on_are_refused(
    parts: Mapping[str, Values], position: int, change: dict[str, Any]
) -> None:
    cells = fit(asked_of(parts), COLUMNS, COHORT).transform.columns[position]
    check_cells(COLUMNS[position], cells)
    with pytest.raises(ProtocolError):
        check_cells(COLUMNS[position], cells.model_copy(update=change))


@pytest.mark.parametrize(
    "change",
    [
        {"scale": {"low": 0.0, "high": 1.0, "mean": 2.0, "std": 1.0}},
        {"scale": {"low": 0.0, "high": 1.0, "mean": 0.5, "std": 0.0}},
        {"buckets": 3},
        {"edges": [1.0]},
        {"buckets": 0},
    ],
)
def test_a_scale_that_does_not_hold_together_is_refused(change: dict[str, Any]) -> None:
    scale: dict[str, Any] = {"low": 0.0, "high": 1.0, "mean": 0.5, "std": 0.25}
    column: dict[str, Any] = {
        "name": "x",
        "kind": "numeric",
        "edges": [],
        "categories": [],
        "features": [0, 1],
        "scale": scale,
    }
    good: dict[str, Any] = {"version": 1, "n_features": 2, "columns": [column]}
    Transform.from_json(canonical_json(good))
    with pytest.raises(ProtocolError):
        Transform.from_json(canonical_json({**good, "columns": [column | change]}))
