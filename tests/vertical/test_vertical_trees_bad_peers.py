"""Whatever another party says is due and well formed, or an error that names it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.boosting.boosting_data import make_table
from tests.vertical.trees_run import LABEL, make_run

from hanse.aggregation.steps import say
from hanse.errors import HanseError
from hanse.exchange.peers import memory_pair
from hanse.learning.vertical.trees.remote import Remote

TABLE = make_table(np.random.default_rng(11), 60)
ROWS = len(TABLE.labels)
SEED = np.zeros(32, dtype=np.uint8)
Speak = Callable[[Any], None]


def columns(count: int = 1, rows: int = ROWS) -> np.ndarray[Any, Any]:
    return np.zeros((count, rows), dtype=np.uint32)


def cut(column: int, left: int, width: int = 1) -> tuple[np.ndarray[Any, Any], ...]:
    return np.array([column]), np.full((1, width), left, dtype=np.uint8)


TO_FEATURE_HOLDER: dict[str, Speak] = {
    "no message": lambda label: label.send(b"\x00" * 9),
    "no step": lambda label: say(label, ""),
    "sums of other rows": lambda label: say(label, "sums", columns(rows=ROWS - 1)),
    "sums of no column": lambda label: say(label, "sums", columns(0)),
    "sums of another type": lambda label: say(label, "sums", columns().astype(np.int64)),
    "more sums than a run needs": lambda label: say(label, "sums", columns(4 * 4 * 3 + 1)),
    "a column that there is not": lambda label: say(label, "sides", *cut(2, 1)),
    "a negative column": lambda label: say(label, "sides", *cut(-1, 1)),
    "codes that there are not": lambda label: say(label, "sides", *cut(0, 128)),
    "columns without codes": lambda label: say(label, "sides", np.array([0, 1]), cut(0, 1)[1]),
    "no cut": lambda label: say(
        label, "sides", np.zeros(0, dtype=np.int64), np.zeros((0, 1), dtype=np.uint8)
    ),
    "an end without a check": lambda label: say(label, "over", np.zeros(0, dtype=np.int64)),
    "a check of other batches": lambda label: say(label, "commit", SEED, batches=3),
    "a check of a number that is none": lambda label: say(label, "commit", SEED, batches=True),
}
TO_LABEL_HOLDER: dict[str, tuple[Any, ...]] = {
    "no columns": (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int64)),
    "too many codes": (np.array([5000]), np.array([1], dtype=np.uint8), np.array([5000])),
    "more bins than codes": (np.array([5]), np.array([1], dtype=np.uint8), np.array([6])),
    "an order of nothing": (np.array([1]), np.array([1], dtype=np.uint8), np.array([1])),
    "one array": (np.array([5]),),
}


@pytest.mark.parametrize("name", TO_FEATURE_HOLDER)
def test_a_feature_holder_answers_nothing_else(name: str) -> None:
    tell_feature_holder(TO_FEATURE_HOLDER[name])


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["sums", "sides", "commit", "over"]), st.binary(max_size=40))
def test_no_bytes_break_a_feature_holder(step: str, data: bytes) -> None:
    tell_feature_holder(lambda label: label.send(data))
    tell_feature_holder(lambda label: say(label, step, np.frombuffer(data, dtype=np.uint8)))


def tell_feature_holder(speak: Speak) -> None:
    run = make_run(TABLE)
    label, label_end = memory_pair("insurer", LABEL, timeout_s=0.0)
    dealer, dealer_end = memory_pair("insurer", "", timeout_s=0.0)
    say(dealer_end, "seed", SEED)
    say(label_end, "begin", terms=run.terms.digest)
    speak(label_end)
    with pytest.raises(HanseError, match=LABEL) as error:
        run.features["insurer"].take_part({LABEL: label}, dealer, bytes)
    assert error.value.code in {"protocol.malformed", "protocol.unexpected-step"}


@pytest.mark.parametrize("name", TO_LABEL_HOLDER)
def test_a_label_holder_refuses_columns_that_cannot_be(name: str) -> None:
    label, feature_end = memory_pair(LABEL, "insurer", timeout_s=0.0)
    say(feature_end, "columns", *TO_LABEL_HOLDER[name])
    with pytest.raises(HanseError, match="insurer") as error:
        Remote(make_run(TABLE).terms, label)
    assert error.value.code == "protocol.malformed"
