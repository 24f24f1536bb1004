"""What the coordinator sees of one update is as good as random.

The test: chi-square against uniform of the 256 values of each byte of an element (255 degrees of freedom),
over 8 runs of 8,192 elements. A view passes if none of its four bytes is above the value that uniform bytes
exceed with probability 1e-6. The seeds are fixed. The views are the vector as it came, and, for
a member whose vector came late, what is left when every mask is taken off that was revealed because of it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2
from tests.aggregation.secure_sums import QUESTION, Entropy, Federation, drawn_from, staged

from hanse.aggregation import member_sum
from hanse.aggregation.channels import KeyPair
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.masks import apply_masks
from hanse.aggregation.member_sum import pair_mask
from hanse.aggregation.shamir import combine
from hanse.api.v1 import aggregation_pb2 as pb

RUNS, LENGTH = 8, 8192
SIGNIFICANCE = 1e-6
LATE = "m1"


def views(entropy: Entropy) -> tuple[RingVector, RingVector]:
    """The late member's vector as it came, and without the masks that the coordinator can compute."""
    stage = staged(Federation(4, entropy=entropy))
    stage.prepare()
    state = stage.coordinator.sum(0, QUESTION, np.zeros(LENGTH, "<u4"))
    came = {}
    for name, member in stage.members.items():
        came[name] = member.mask(0, QUESTION, np.arange(LENGTH, dtype="<u4") % 7)
        if name != LATE:
            state.take_input(name, came[name])
    revealed = {}
    for name, certificate in stage.confirm(state).items():
        revealed[name] = stage.members[name].reveal(certificate)
    late = pb.SumInput.FromString(came[LATE])
    vector = np.frombuffer(late.vector, "<u4").copy()
    return vector.copy(), without_pairs(vector, late.session, stage.coordinator._advertised, revealed)


def without_pairs(
    vector: RingVector, session: bytes, keys: dict[str, pb.SumAdvertisement], revealed: dict[str, bytes]
) -> RingVector:
    place = sorted(keys).index(LATE)
    shares = {
        sorted(keys).index(name) + 1: pb.SumReveal.FromString(data).shares[place * 33 : (place + 1) * 33]
        for name, data in revealed.items()
    }
    pair = KeyPair(combine(shares))
    assert pair.public == keys[LATE].mask_keys
    masks = {
        name: pair_mask(pair.agree(keys[name].mask_keys, name), session, 0, QUESTION, (name, LATE))
        for name in revealed
    }
    apply_masks(
        vector,
        [mask for name, mask in masks.items() if name < LATE],
        [mask for name, mask in masks.items() if name > LATE],
    )
    return vector


def statistics(vectors: Sequence[RingVector]) -> NDArray[np.float64]:
    """Chi-square of each byte's values."""
    lanes = np.concatenate(vectors).view(np.uint8).reshape(-1, 4).T
    counts = np.stack([np.bincount(lane, minlength=256) for lane in lanes])
    expected = lanes.shape[1] / 256
    result: NDArray[np.float64] = ((counts - expected) ** 2 / expected).sum(axis=1)
    return result


def passes(vectors: Sequence[RingVector]) -> bool:
    return bool((statistics(vectors) < chi2.isf(SIGNIFICANCE, 255)).all())


def observed(source: Callable[[int], Entropy]) -> tuple[bool, bool]:
    """Whether the vector as it came, and what is left of it, pass."""
    came, left = zip(*(views(source(run)) for run in range(RUNS)), strict=True)
    return passes(came), passes(left)


def fresh(run: int) -> Entropy:
    return drawn_from(f"run {run}")


def test_the_view_is_uniform() -> None:
    assert observed(fresh) == (True, True)


def test_without_the_own_mask_a_late_vector_is_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_own_mask(vector: RingVector, add: Sequence[bytes], subtract: Sequence[bytes]) -> None:
        apply_masks(vector, add[:-1], subtract)

    monkeypatch.setattr(member_sum, "apply_masks", no_own_mask)
    assert observed(fresh) == (True, False)
    _, left = views(fresh(0))
    assert (left == np.arange(LENGTH) % 7).all()


def test_equal_seeds_are_not_uniform() -> None:
    """Masks that are the same in all runs add the same values to them."""
    assert observed(lambda _: lambda length: b"\x07" * length) == (False, False)


def test_the_statistic_notices_what_is_not_masked_at_all() -> None:
    assert not passes([np.arange(LENGTH, dtype="<u4") % 7])
    assert passes([np.frombuffer(drawn_from("uniform")(4 * LENGTH * RUNS), "<u4")])
