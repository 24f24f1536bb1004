"""What others see of a party's secrets is nothing: seeded canaries, and a test of uniformity.

Bytes are compared with even ones by Pearson's chi-squared over their 256 values. Its bound is the quantile
1 - 1e-6 of the distribution with 255 degrees of freedom (Wilson and Hilferty's approximation is within 1 %).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.boosting.boosting_data import make_table
from tests.vertical.trees_run import LABEL, OWN, Run, conduct, make_run

from hanse.aggregation.body import decode_body
from hanse.learning.boosting.rows import Rows

CHI_SQUARED = 255 * (1 - 2 / (9 * 255) + 4.753 * np.sqrt(2 / (9 * 255))) ** 3
ROWS = 1500


def chi_squared(array: NDArray[Any]) -> float:
    counts = np.bincount(np.frombuffer(array.tobytes(), dtype=np.uint8), minlength=256)
    expected = array.nbytes / 256
    return float(((counts - expected) ** 2 / expected).sum())


def arrays_of(bodies: list[bytes], step: str) -> Iterator[NDArray[Any]]:
    for body in bodies:
        header, arrays = decode_body(body)
        if header["step"] == step:
            yield from arrays


def full_run() -> Run:
    run = conduct(make_run(make_table(np.random.default_rng(10), ROWS)))
    assert not run.errors
    return run


def test_opened_values_are_even_and_secrets_are_not_among_them() -> None:
    table = make_table(np.random.default_rng(10), ROWS)
    run = full_run()
    opened = list(arrays_of(run.heard[LABEL], "bins"))
    masked = list(arrays_of(run.heard["insurer"], "sums"))
    proofs = list(arrays_of(run.heard["insurer"], "proof"))
    assert opened
    assert masked
    for seen in (opened, masked, proofs):
        assert chi_squared(np.concatenate([array.ravel() for array in seen])) < CHI_SQUARED
    # The test can fail: it does when a secret is sent as it is.
    rows = Rows(run.terms.exact, table.labels, ROWS, weights=table.weights, validation=table.validation)
    rows.next_iteration(np.zeros(1))
    plain = rows.columns(np.arange(1))
    assert chi_squared(plain) > CHI_SQUARED
    assert chi_squared(run.features["insurer"].codes) > CHI_SQUARED


def test_no_secret_is_in_what_a_party_was_not_to_learn() -> None:
    """Some rows in succession of labels, gradients and bins are in no message, in any of some forms."""
    table = make_table(np.random.default_rng(10), ROWS)
    run = full_run()
    rows = Rows(run.terms.exact, table.labels, ROWS, weights=table.weights, validation=table.validation)
    rows.next_iteration(np.zeros(1))
    gradients = rows.columns(np.arange(1))[0]
    labels = np.nan_to_num(table.labels[:, 0])
    own = OWN.encode(table.columns)
    secrets_of_label = [*_forms(gradients[0]), *_forms(gradients[1]), *_forms(labels), *_forms(own[:, 0])]
    secrets_of_label.append(np.packbits(labels == 1, bitorder="little").tobytes() * 2)
    codes = run.features["insurer"].codes
    secrets_of_feature = [form for column in codes.T for form in _forms(column)]
    heard = {name: b"".join(bodies) for name, bodies in run.heard.items()}
    for name, secrets in {
        "insurer": secrets_of_label,
        "": secrets_of_label + secrets_of_feature,
        LABEL: secrets_of_feature,
    }.items():
        assert not any(canary in heard[name] for secret in secrets for canary in _canaries(secret))
    # The search can fail: a side of a cut is what the label holder is to learn.
    sides = run.parts["insurer"].sides(table.columns)
    assert sides[0].tobytes()[20:60] in heard[LABEL]
    # The dealer hears less than a row of anything.
    assert len(heard[""]) < ROWS


def _forms(values: NDArray[Any]) -> Iterator[bytes]:
    """Numbers as bytes of several widths."""
    for kind in ("u1", "<i2", "<i4", "<i8", "<f4", "<f8"):
        yield values.astype(kind).tobytes()


def _canaries(secret: bytes) -> Iterator[bytes]:
    """Forty rows of 1,500, from some places."""
    for start in range(0, len(secret) * 9 // 10, len(secret) // 10):
        yield secret[start : start + len(secret) * 40 // ROWS]
