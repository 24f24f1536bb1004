"""A split network: two and three parties agree, learn, go on after a cut, and refuse what is not due."""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from hanse.aggregation.body import decode_body, encode_body
from hanse.errors import ConfigurationError, HanseError, ProtocolError
from hanse.exchange import MemoryChannel, PeerChannel, memory_pair
from hanse.learning.metrics import roc_auc
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.labels import flip_probability, randomised_response
from hanse.learning.vertical.messages import send
from hanse.learning.vertical.split.coin import shuffled, toss_with
from hanse.learning.vertical.split.feature_holder import FeatureHolder
from hanse.learning.vertical.split.label_holder import LabelHolder, logits_of
from hanse.learning.vertical.split.settings import FrozenBottoms, LabelNoise, SplitSettings

ROOT = b"root"
Change: TypeAlias = Callable[[dict[str, Any], tuple[NDArray[Any], ...]], bytes]
NOISE = SplitSettings(
    defence=LabelNoise(epsilon=2.0), epochs=3, batch=64, hidden=8, embedding=4, top_learning_rate=0.01
)
FROZEN = SplitSettings(defence=FrozenBottoms(), batch=64, hidden=32, embedding=16)


def made_up(
    rows: int = 600, seed: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    own, other = rng.normal(size=(2, rows, 3)).astype(np.float32)
    labels = rng.random(rows) < 1 / (1 + np.exp(-(own[:, 0] + 2 * other[:, 0] - 1)))
    return own, other, labels


class CutError(Exception):
    """The process died here."""


def keys(seed: int) -> Callable[[int], bytes]:
    random = SecureRandom(bytes([seed]) * 32)
    return random.draw_bytes


def run(
    settings: SplitSettings,
    stores: list[dict[int, bytes]] | None = None,
    *,
    cut: int | None = None,
    seed: int = 3,
) -> tuple[NDArray[np.float64], LabelHolder]:
    """Both parties in threads; ``cut`` ends the feature holder after so many epochs."""
    own, other, labels = made_up()
    stores = [{}, {}] if stores is None else stores
    here, there = memory_pair("brand", "partner", 5.0)
    label_holder = LabelHolder(own, labels, settings, ROOT, stores[0], keys(seed))
    feature_holder = FeatureHolder(other, settings, ROOT, stores[1], keys(seed + 1))

    def die(epoch: int) -> None:
        if epoch == cut:
            there.close("exchange.lost")
            raise CutError

    def partner() -> None:
        try:
            feature_holder.take_part(there, die)
        except CutError:
            return

    thread = threading.Thread(target=partner)
    thread.start()
    try:
        half = label_holder.take_part({"partner": here})
    finally:
        thread.join()
    return logits_of(half, own, [label_holder.witnessed["partner"].embeddings]), label_holder


@pytest.mark.parametrize("settings", [NOISE, FROZEN], ids=["noise", "frozen"])
def test_both_parties_columns_are_used(settings: SplitSettings) -> None:
    own, _, labels = made_up()
    logits, label_holder = run(settings)
    alone = roc_auc(own[:, 0].astype(np.float64), labels.astype(np.float32)) or 0.0
    assert (roc_auc(logits, labels.astype(np.float32)) or 0.0) > alone + 0.1
    assert label_holder.witnessed["partner"].seen.epochs == settings.joint_epochs


def test_no_defence_no_run() -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate({})
    with pytest.raises(ValidationError):
        SplitSettings.model_validate({"defence": None})
    with pytest.raises(ValidationError):
        LabelNoise(epsilon=50.0)


def test_a_run_that_was_cut_takes_the_same_steps() -> None:
    whole, straight = run(NOISE)
    stores: list[dict[int, bytes]] = [{}, {}]
    with pytest.raises(HanseError):
        run(NOISE, stores, cut=2)
    kept = {**stores[0]}
    resumed, holder = run(NOISE, stores)
    assert max(kept) == 2
    assert holder.witnessed["partner"].seen.epochs == 3
    assert np.array_equal(holder.witnessed["partner"].seen.total, straight.witnessed["partner"].seen.total)
    assert np.array_equal(holder.witnessed["partner"].embeddings, straight.witnessed["partner"].embeddings)
    assert whole.shape == resumed.shape


def test_labels_are_flipped_once_even_if_the_partner_forgot_everything() -> None:
    stores: list[dict[int, bytes]] = [{}, {}]
    with pytest.raises(HanseError):
        run(NOISE, stores, cut=1)
    from hanse.learning.vertical.split.checkpoints import recall

    flipped = recall(stores[0], 1)[1]["targets"]
    stores[1].clear()
    run(NOISE, stores, seed=9)
    assert np.array_equal(recall(stores[0], 3)[1]["targets"], flipped)


def test_gradients_depend_on_flipped_labels_alone() -> None:
    # The same coins and the same flipped labels, other true labels: the partner sees the same bytes.
    own, other, labels = made_up()
    seen = []
    flips = randomised_response(labels, 2.0, SecureRandom(bytes(32)))
    for truth in (labels, ~labels):
        here, there = memory_pair("brand", "partner", 5.0)
        holder = LabelHolder(own, truth, NOISE, ROOT, {}, keys(3))
        holder._flip = lambda: flips  # type: ignore[method-assign]
        partner = FeatureHolder(other, NOISE, ROOT, {}, keys(4))
        thread = threading.Thread(target=partner.take_part, args=(there,))
        thread.start()
        holder.take_part({"partner": here})
        thread.join()
        seen.append(holder.witnessed["partner"].seen.total)
    assert np.array_equal(seen[0], seen[1])


def test_randomised_response_flips_as_often_as_it_says() -> None:
    labels = np.zeros(200_000, dtype=np.bool_)
    flipped = randomised_response(labels, 1.0, SecureRandom())
    # Six standard deviations: fails by chance once in 5e8 runs.
    assert abs(flipped.mean() - flip_probability(1.0)) < 6 * np.sqrt(0.2 / len(labels))


def test_three_parties_shuffle_alike() -> None:
    own, other, labels = made_up(200)
    settings = NOISE.model_copy(update={"epochs": 1})
    pairs = {name: memory_pair("brand", name, 5.0) for name in ("partner", "media")}
    holder = LabelHolder(own, labels, settings, ROOT, {})
    stores: dict[str, dict[int, bytes]] = {name: {} for name in pairs}
    parties = [
        threading.Thread(target=FeatureHolder(other, settings, ROOT, stores[name]).take_part, args=(pair[1],))
        for name, pair in pairs.items()
    ]
    for party in parties:
        party.start()
    holder.take_part({name: pair[0] for name, pair in pairs.items()})
    for party in parties:
        party.join()
    assert set(holder.witnessed) == {"partner", "media"}
    assert sorted(shuffled(b"seed", 0, 50)) == list(range(50))
    assert not np.array_equal(shuffled(b"seed", 0, 50), shuffled(b"seed", 1, 50))


def ends_in_an_error(partner: FeatureHolder, channel: PeerChannel) -> None:
    with pytest.raises(HanseError):
        partner.take_part(channel)


class Speaks:
    """A party whose fourth message, its first embeddings, is another: after hello, commit and open."""

    def __init__(self, channel: MemoryChannel, change: Change) -> None:
        self.peer = channel.peer
        self.receive = channel.receive
        self._plain, self._change, self._count = channel.send, change, 0

    def send(self, body: bytes) -> None:
        self._count += 1
        self._plain(self._change(*decode_body(body)) if self._count == 4 else body)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, arrays: encode_body(header, arrays[0][:, :-1]),
        lambda header, arrays: encode_body(header, arrays[0] * np.float32(3e3)),
        lambda header, arrays: encode_body(header, arrays[0].astype(np.float64)),
        lambda header, arrays: encode_body({**header, "number": 7}, *arrays),
        lambda header, arrays: encode_body(header, *arrays)[:-2],
        lambda header, arrays: encode_body(header, *arrays)[:-4] + np.float32(np.nan).tobytes(),
    ],
    ids=["shape", "size", "type", "replayed", "truncated", "nan"],
)
def test_what_is_not_due_is_refused_and_the_peer_named(
    change: Change,
) -> None:
    own, other, labels = made_up(200)
    here, there = memory_pair("brand", "partner", 1.0)
    altered = Speaks(there, change)
    partner = FeatureHolder(other, NOISE, ROOT, {})
    thread = threading.Thread(target=ends_in_an_error, args=(partner, altered))
    thread.start()
    with pytest.raises(ProtocolError, match="partner"):
        LabelHolder(own, labels, NOISE, ROOT, {}).take_part({"partner": here})
    here.close()
    thread.join()


def test_other_people_or_settings_are_refused() -> None:
    own, other, labels = made_up(200)
    for partner in (
        FeatureHolder(other, NOISE, b"elsewhere", {}),
        FeatureHolder(other[:-1], NOISE, ROOT, {}),
        FeatureHolder(other, FROZEN, ROOT, {}),
    ):
        here, there = memory_pair("brand", "partner", 0.2)
        thread = threading.Thread(target=ends_in_an_error, args=(partner, there))
        thread.start()
        with pytest.raises(ProtocolError, match="partner comes with other settings"):
            LabelHolder(own, labels, NOISE, ROOT, {}).take_part({"partner": here})
        here.close()
        thread.join()


def test_a_coin_that_was_left_out_is_noticed() -> None:
    here, there = memory_pair("brand", "partner", 1.0)
    others = np.frombuffer(bytes(64), dtype=np.uint8).reshape(2, 32)
    send(here, "commitments", 0, others)
    with pytest.raises(ProtocolError, match="left out"):
        toss_with(b"y" * 32, there, 2)


def test_bad_columns_and_labels_are_refused() -> None:
    own, other, labels = made_up(50)
    other[3, 1] = np.nan
    with pytest.raises(ConfigurationError, match="1 of 3 columns"):
        FeatureHolder(other, NOISE, ROOT, {})
    numbers: Any = labels.astype(np.float32)
    with pytest.raises(ConfigurationError, match="yes or no"):
        LabelHolder(own, numbers, NOISE, ROOT, {})
