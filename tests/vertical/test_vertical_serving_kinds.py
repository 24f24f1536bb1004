"""What parts of each kind say of people who are scored, and what is made of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import from_numpy, no_grad

from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import ConfigurationError, ProtocolError, ServingError
from hanse.learning.boosting.columns import BinnedColumn, Binning
from hanse.learning.random_source import SecureRandom
from hanse.learning.scorecard import factor_and_offset
from hanse.learning.vertical.fusion import Fusion
from hanse.learning.vertical.own_model import LARGEST_LOGIT, OwnModel, logistic
from hanse.learning.vertical.runs.manifest import PART_FILE, PartManifest, sign_part
from hanse.learning.vertical.scorecard import HalfCard, probabilities
from hanse.learning.vertical.scorecard.card import MAX_POINTS
from hanse.learning.vertical.serving import Reply, open_kept, read_reply, rows_of, split_network
from hanse.learning.vertical.serving.forms import Embeddings, Form, LogOdds, Points, Rows
from hanse.learning.vertical.serving.late_fusion import FusionFeature, FusionLabel
from hanse.learning.vertical.serving.own import OwnColumns
from hanse.learning.vertical.serving.scorecard import CardFeature, CardLabel
from hanse.learning.vertical.split.description import SplitDescription
from hanse.learning.vertical.split.inputs import Inputs
from hanse.learning.vertical.split.label_holder import logits_of
from hanse.learning.vertical.split.networks import LabelHalf as NetworkHalf
from hanse.learning.vertical.split.networks import bottom, initialise
from hanse.learning.vertical.split.parts import SplitPart
from hanse.learning.vertical.split.settings import FrozenBottoms, SplitSettings
from hanse.learning.vertical.split.states import decode_state, encode_state
from hanse.policies import PointScale
from hanse.scoring.reasons.halves import attribute_half, explains

PEOPLE = 200


def own(seed: int, name: str) -> OwnModel:
    column = BinnedColumn(name=name, kind="numeric", edges=(1.0, 2.0))
    binning = Binning(columns=(column,))
    return OwnModel(binning, np.random.default_rng(seed).normal(size=binning.layout.total), 0.25 * seed)


def values(name: str, seed: int) -> dict[str, Any]:
    return {name: np.random.default_rng(seed).uniform(0, 3, PEOPLE)}


def by_wire(rows: Rows, form: Form) -> Rows:
    """What arrives of what is said of people."""
    reply = Reply(bytes(16), 0, [True] * len(rows), rows)
    heard = read_reply(reply.encode(b"asked"), b"asked", len(rows), form).answers
    return rows_of([row.tobytes() for row in heard], form)


def test_late_fusion_is_the_weighted_sum_of_what_each_member_says() -> None:
    brand, insurer, media = own(1, "km"), own(2, "age"), own(3, "reads")
    km, age, reads = values("km", 1), values("age", 2), values("reads", 3)
    weights = np.array([0.5, 2.0, -1.0, 0.125])
    label = FusionLabel(Fusion(brand, weights, np.zeros(3)), ("insurer", "media"))
    said = {
        name: by_wire(FusionFeature(model).answers(columns, PEOPLE), LogOdds())
        # In another order than that of the weights.
        for name, model, columns in (("media", media, reads), ("insurer", insurer, age))
    }
    assert list(label.asks) == ["insurer", "media"]
    expected = 0.5 * brand.logits(km) + 2.0 * insurer.logits(age) - media.logits(reads) + 0.125
    assert label.scores(km, said) == pytest.approx(logistic(expected), abs=1e-15)


def test_of_late_fusion_what_members_add_is_told_against_those_trained_on() -> None:
    brand, insurer = own(1, "km"), own(2, "age")
    km, age = values("km", 1), values("age", 2)
    weights, said = np.array([0.5, 2.0, 0.125]), insurer.logits(age)
    averages = np.array([brand.by_column(km).mean(), said.mean()])
    label = FusionLabel(Fusion(brand, weights, averages), ("insurer",))
    parts = attribute_half(label, km, {"insurer": LogOdds.write(said)})
    assert parts.columns == ("km", "insurer")
    assert (parts.reference, parts.method) == ("average", "linear")
    assert parts.values.sum(axis=1) + parts.reference_logit == pytest.approx(label.fusion.logits(km, [said]))
    assert parts.values.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert parts.values[:, 1] == pytest.approx(2.0 * (said - said.mean()))


def test_of_a_card_what_members_add_is_its_points() -> None:
    brand, insurer = half(1, "km", 520), half(2, "age", 0)
    km, age = values("km", 1), values("age", 2)
    said = insurer.score(insurer.binning.encode(age))
    label = CardLabel(brand, "insurer")
    parts = attribute_half(label, km, {"insurer": Points.write(said)})
    assert (parts.columns, parts.method) == (("km", "insurer"), "points")
    factor, _ = factor_and_offset(brand.scale)
    assert parts.values[:, 1] == pytest.approx(said / factor)
    scores = label.scores(km, {"insurer": Points.write(said)})
    assert logistic(parts.values.sum(axis=1) + parts.reference_logit) == pytest.approx(scores)


def test_of_own_columns_alone_every_cell_counts_alike() -> None:
    model = own(3, "km")
    parts = attribute_half(OwnColumns(model), values("km", 1), {})
    assert (parts.columns, parts.reference) == (("km",), "neutral")
    assert parts.values.sum(axis=1) + parts.reference_logit == pytest.approx(model.logits(values("km", 1)))
    every = {"km": np.array([0.5, 1.5, 2.5, np.nan])}
    assert attribute_half(OwnColumns(model), every, {}).values.sum() == pytest.approx(0.0, abs=1e-12)


class NoSum:
    """A part of a kind whose scores are no sums, as trees."""

    asks: Mapping[str, Form] = MappingProxyType({})

    def scores(self, columns: Any, answers: Any) -> Any:
        raise AssertionError(columns, answers)


def test_of_a_kind_that_is_no_sum_nobody_is_told_what_members_add() -> None:
    assert explains(OwnColumns(own(1, "km")))
    assert not explains(NoSum())
    with pytest.raises(ServingError, match="no-reasons"):
        attribute_half(NoSum(), {}, {})


def half(seed: int, name: str, base: int) -> HalfCard:
    binning = own(seed, name).binning
    points = np.random.default_rng(seed).integers(-80, 80, binning.layout.total)
    return HalfCard(PointScale(points=600, odds=10.0, doubling=20), binning, points, base)


def test_a_scorecard_is_the_sum_of_both_halves() -> None:
    brand, insurer = half(1, "km", 520), half(2, "age", 0)
    km, age = values("km", 1), values("age", 2)
    said = {"insurer": by_wire(CardFeature(insurer).answers(age, PEOPLE), Points())}
    label = CardLabel(brand, "insurer")
    assert list(label.asks) == ["insurer"]
    points = brand.score(brand.binning.encode(km)) + insurer.score(insurer.binning.encode(age))
    assert len(np.unique(points)) > 3
    assert label.scores(km, said).tolist() == probabilities(brand.scale, points).tolist()
    # The largest lie that is of the form makes a score of nothing else than a probability.
    lie = {"insurer": Points.write(np.full(PEOPLE, MAX_POINTS))}
    assert set(label.scores(km, lie).tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("files", "model", "code"),
    [
        ({"part.json": b"{}"}, "late_fusion", "model.invalid"),  # nobody in common is named
        ({"people.txt": b""}, "late_fusion", "model.invalid"),
        ({"people.txt": b"", "part.json": b"{}"}, "scorecard", "model.invalid"),
        ({"people.txt": b"", "part.json": b"{}"}, "mlp", "model.unsupported"),
    ],
)
def test_a_part_that_lacks_something_or_is_of_no_vertical_kind_is_not_served(
    files: dict[str, bytes], model: Any, code: str
) -> None:
    key = SigningKey.generate("insurer")
    manifest = PartManifest(
        agreement_digest="ab" * 32,
        run="abcdef",
        member="insurer",
        model=model,
        role="feature_holder",
        columns=("age",),
        aligned_set_root="cd" * 32,
        files={name: sha256_hex(data) for name, data in files.items()},
    )
    kept = {**files, PART_FILE: sign_part(manifest, key)}
    with pytest.raises(ServingError) as refused:
        open_kept(kept.__getitem__, [key.verifier])
    assert refused.value.code == code


def split_parts(holders: tuple[str, ...], names: dict[str, str]) -> dict[str, SplitPart]:
    """Parts with drawn weights; the first is the label holder's."""
    settings = SplitSettings(defence=FrozenBottoms(), hidden=5, embedding=3)
    parts: dict[str, SplitPart] = {}
    for member, column in names.items():
        inputs = Inputs.fit(values(column, 7), 1)
        theirs = () if parts else holders
        described = SplitDescription(settings=settings, inputs=inputs, holders=theirs)
        network = (
            NetworkHalf(inputs.width, len(theirs), settings) if theirs else bottom(inputs.width, settings)
        )
        initialise(network, SecureRandom(len(parts).to_bytes(32, "big")))
        parts[member] = SplitPart(described, network)
    return parts


def files_of(part: SplitPart) -> dict[str, bytes]:
    return dict(zip(("part.json", "part.safetensors"), part.encode(), strict=True))


def test_a_split_network_scores_without_torch_as_it_does_with_it() -> None:
    columns = {"brand": "km", "insurer": "age", "media": "reads"}
    parts = split_parts(("insurer", "media"), columns)
    label = split_network.open_label(files_of(parts["brand"]))
    given = {member: values(column, place) for place, (member, column) in enumerate(columns.items())}
    said = {
        member: by_wire(half.answers(given[member], PEOPLE), half.form)
        for member in ("media", "insurer")
        for half in [split_network.open_feature(files_of(parts[member]))]
    }
    numbers = {member: parts[member].description.inputs.apply(given[member]) for member in columns}
    with no_grad():
        embedded = [
            parts[member].network(from_numpy(numbers[member])).numpy() for member in ("insurer", "media")
        ]
    half = parts["brand"].network
    assert isinstance(half, NetworkHalf)
    expected = logistic(logits_of(half, numbers["brand"], embedded))
    assert len(np.unique(expected.round(6))) > 50
    assert label.scores(given["brand"], said) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("change", ["lacking", "shape", "more", "nan", "role"])
def test_a_half_that_is_none_is_not_served(change: str) -> None:
    parts = split_parts(("insurer",), {"brand": "km", "insurer": "age"})
    files = files_of(parts["brand"])
    state: dict[str, Any] = dict(decode_state(files["part.safetensors"]))
    if change == "role":
        with pytest.raises(ServingError, match="invalid"):
            split_network.open_label(files_of(parts["insurer"]))
        return
    if change == "lacking":
        del state["top.2.bias"]
    elif change == "shape":
        state["top.0.weight"] = state["top.0.weight"][:, 1:]
    elif change == "more":
        state["top.4.bias"] = state["top.2.bias"]
    else:
        state["bottom.0.bias"] = state["bottom.0.bias"] * np.float32("nan")
    with pytest.raises(ServingError, match="do not fit"):
        split_network.open_label({**files, "part.safetensors": encode_state(state)})


@pytest.mark.parametrize("said", [1.0001, float("nan"), float("-inf")])
def test_embeddings_that_no_bottom_makes_are_refused(said: float) -> None:
    form = Embeddings(2)
    with pytest.raises(ProtocolError, match="no bottom"):
        by_wire(form.write(np.array([[0.5, -1.0], [0.0, said]], np.float32)), form)


@pytest.mark.parametrize("said", [MAX_POINTS + 1, -MAX_POINTS - 1, -(1 << 63)])
def test_points_that_no_card_gives_are_refused(said: int) -> None:
    with pytest.raises(ProtocolError, match="points"):
        by_wire(Points.write(np.array([3, said])), Points())


def test_a_feature_holder_reads_its_models_columns_and_no_other() -> None:
    half = FusionFeature(own(2, "age"))
    assert half.columns == ("age",)
    with pytest.raises(ConfigurationError, match="bad-data"):
        half.answers(values("km", 1), PEOPLE)


@given(st.lists(st.floats(-LARGEST_LOGIT, LARGEST_LOGIT), max_size=20))
def test_log_odds_arrive_as_they_were_said(logits: list[float]) -> None:
    rows = LogOdds.write(np.array(logits, dtype=np.float64))
    LogOdds().require(rows)
    assert LogOdds.read(rows).tolist() == logits


@pytest.mark.parametrize("said", [float("nan"), float("inf"), -LARGEST_LOGIT * 1.001, 1e300])
def test_log_odds_that_no_model_gives_are_refused(said: float) -> None:
    with pytest.raises(ProtocolError, match="log-odds"):
        by_wire(LogOdds.write(np.array([0.5, said])), LogOdds())


@given(st.binary(max_size=64), st.integers(0, 4), st.sampled_from([LogOdds(), Points()]))
def test_numbers_from_anywhere_are_read_or_refused(data: bytes, people: int, form: LogOdds | Points) -> None:
    rows = np.frombuffer(data, np.uint8)[: len(data) // form.width * form.width].reshape(-1, form.width)
    reply = Reply(bytes(16), 0, [True] * people, rows).encode(b"asked")
    try:
        heard = read_reply(reply, b"asked", people, form)
    except ProtocolError as error:
        assert error.code == "protocol.malformed"  # noqa: PT017 - it need not be raised
    else:
        assert len(heard.answers) == people
        assert (np.abs(form.read(heard.answers)) <= MAX_POINTS).all()
