"""One person alone is told the same as among others, to the last digit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hanse.errors import ConfigurationError, ProtocolError
from hanse.learning.boosting.columns import BinnedColumn, Binning
from hanse.learning.boosting.objective import scores, scores_of_one
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.vertical.fusion import Fusion
from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.scorecard import HalfCard
from hanse.learning.vertical.serving.forms import Embeddings, LogOdds, Points, rows_of
from hanse.learning.vertical.serving.late_fusion import FusionFeature, FusionLabel
from hanse.learning.vertical.serving.scorecard import CardFeature, CardLabel
from hanse.learning.vertical.split.inputs import Inputs
from hanse.policies import PointScale

Columns = dict[str, np.ndarray[Any, Any]]

PEOPLE = 40
ODD = [np.nan, np.inf, -np.inf, 0.0, 1.0]


def binning(columns: int, rng: np.random.Generator) -> Binning:
    """Columns of both kinds by turns."""
    return Binning(
        columns=tuple(
            BinnedColumn(name=f"c{at}", kind="categorical", categories=("a", "b", "3"))
            if at % 3 == 2
            else BinnedColumn(
                name=f"c{at}", kind="numeric", edges=tuple(np.sort(rng.normal(size=5)).tolist())
            )
            for at in range(columns)
        )
    )


def people(described: Binning, rng: np.random.Generator) -> Columns:
    """Values, some of which fit no cell."""
    found: Columns = {}
    for column in described.columns:
        if column.kind == "categorical":
            found[column.name] = rng.choice(np.array(["a", "b", 3.0, "new", None], dtype=object), PEOPLE)
        else:
            found[column.name] = np.concatenate([ODD, rng.normal(size=PEOPLE - len(ODD))])
    return found


def each(columns: Columns) -> list[Columns]:
    return [{name: values[at : at + 1] for name, values in columns.items()} for at in range(PEOPLE)]


logits = arrays(np.float64, st.integers(2, 40), elements=st.floats(-60, 60) | st.sampled_from(ODD))


@given(logits, st.floats(0.1, 10))
def test_probabilities_of_one_are_those_of_many(raw: np.ndarray[Any, Any], weight: float) -> None:
    settings = BoostingSettings(positive_weight=weight)
    alone = [logistic(raw[at : at + 1]).item() for at in range(len(raw))]
    np.testing.assert_array_equal(alone, logistic(raw))
    alone = [scores_of_one(settings, [one]).item() for one in raw.tolist()]
    np.testing.assert_array_equal(alone, scores(settings, raw[:, None])[:, 0])


@given(st.integers(1, 20), st.integers(0, 2**32))
def test_late_fusion_of_one_is_that_of_many(columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    described = binning(columns, rng)
    values = people(described, rng)
    model = OwnModel(described, rng.normal(size=described.layout.total) * 4, float(rng.normal()))
    feature = FusionFeature(model)
    said = feature.answers(values, PEOPLE)
    assert [feature.answers(one, 1).tobytes() for one in each(values)] == [row.tobytes() for row in said]
    label = FusionLabel(Fusion(model, rng.normal(size=3), rng.normal(size=columns + 1)), ("insurer",))
    together = label.scores(values, {"insurer": said})
    alone = [label.scores(one, {"insurer": said[at : at + 1]})[0] for at, one in enumerate(each(values))]
    # Weights are applied by another routine to one person than to many.
    assert alone == pytest.approx(together.tolist(), rel=1e-12)


@given(st.integers(1, 20), st.integers(0, 2**32))
def test_a_card_of_one_is_that_of_many(columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    described = binning(columns, rng)
    values = people(described, rng)
    points = rng.integers(-500, 500, described.layout.total)
    half = HalfCard(PointScale(points=600, odds=10.0, doubling=20), described, points, 17)
    feature, label = CardFeature(half), CardLabel(half, "insurer")
    said = feature.answers(values, PEOPLE)
    assert [feature.answers(one, 1).tobytes() for one in each(values)] == [row.tobytes() for row in said]
    together = label.scores(values, {"insurer": said}).tolist()
    alone = [label.scores(one, {"insurer": said[at : at + 1]})[0] for at, one in enumerate(each(values))]
    assert alone == pytest.approx(together, rel=1e-12)


@given(st.integers(0, 2**32))
def test_inputs_of_one_are_those_of_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known: Columns = {
        "age": rng.normal(size=300),
        "visits": rng.poisson(0.4, 300).astype(float),  # most knots are equal
        "same": np.full(300, 2.0),
        "never": np.full(300, np.nan),
        "car": rng.choice(np.array(["van", "sedan"], dtype=object), 300),
    }
    inputs = Inputs.fit(known, 10)
    asked = {name: np.concatenate([values[: PEOPLE - len(ODD)], ODD]) for name, values in known.items()}
    asked["car"] = np.array([*known["car"][: PEOPLE - 2], "truck", None], dtype=object)
    together = inputs.apply(asked)
    alone = np.concatenate([inputs.apply_to_one(one) for one in each(asked)])
    assert alone.tobytes() == together.tobytes()


def test_what_is_missing_is_said_of_one_as_of_many() -> None:
    rng = np.random.default_rng(1)
    described = binning(3, rng)
    model = OwnModel(described, rng.normal(size=described.layout.total), 0.0)
    with pytest.raises(ConfigurationError, match="c0"):
        model.logit_of_one({})
    inputs = Inputs.fit({"age": rng.normal(size=300)}, 10)
    for columns in ({}, {"age": np.array([1.0, 2.0])}):
        with pytest.raises(ConfigurationError, match="age"):
            inputs.apply_to_one(columns)


@pytest.mark.parametrize("number", [np.nan, np.inf, 20.5, -20.5])
def test_no_model_says_such_log_odds_of_one(number: float) -> None:
    rows = LogOdds.write_one(number)
    with pytest.raises(ProtocolError):
        LogOdds().require(rows)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1.5, -1.5])
def test_no_bottom_makes_such_numbers_of_one(number: float) -> None:
    form = Embeddings(3)
    with pytest.raises(ProtocolError):
        form.require(form.write(np.array([[0.5, number, -1.0]], dtype=np.float32)))
    form.require(form.write(np.array([[0.5, 1.0, -1.0]], dtype=np.float32)))


@pytest.mark.parametrize("number", [2**41, -(2**41)])
def test_no_card_gives_such_points_to_one(number: int) -> None:
    with pytest.raises(ProtocolError):
        Points().require(Points.write_one(number))
    assert Points.read_one(rows_of([Points.write_one(number).tobytes()], Points())) == number
