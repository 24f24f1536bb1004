"""Model folders that were written once still open, and score as they did when they were written.

``golden/models.json`` names the key that signed them, the rows, and what each model said of them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.crypto import VerifierKey
from hanse.errors import ServingError
from hanse.learning import load_model, open_model
from hanse.learning.scorecard import scorecard

GOLDEN = Path(__file__).parent / "golden"
KEPT: dict[str, Any] = json.loads((GOLDEN / "models.json").read_text(encoding="utf-8"))
VALUES = {
    "age": np.array([20.0, 40.0, 70.0, np.nan]),
    "job": np.array(["clerk", "nurse", "pilot", None], dtype=object),
    "balance": np.array([-50.0, 20.0, 45.0, np.nan]),
}


@pytest.mark.parametrize("kind", ["logistic", "mlp", "wide_and_deep", "scorecard"])
def test_a_kept_model_scores_as_it_did(kind: str) -> None:
    model = load_model(GOLDEN / kind, VerifierKey.decode(KEPT["key"]))
    assert model.manifest.training.model == kind
    x = model.transform.apply(VALUES)
    np.testing.assert_allclose(model.predictor.scores(x), KEPT["scores"][kind], rtol=1e-9)
    for name, values in model.predictor.targets(x).items():
        np.testing.assert_allclose(values, KEPT["targets"][kind][name], rtol=1e-9)
    if kind == "scorecard":
        assert scorecard(model).as_text().splitlines() == KEPT["points"]


def test_the_weights_of_one_kind_are_not_those_of_another() -> None:
    for kind, other in (("logistic", "mlp"), ("wide_and_deep", "mlp")):
        manifest = (GOLDEN / kind / "manifest.note").read_bytes()
        weights = (GOLDEN / other / "weights.safetensors").read_bytes()
        with pytest.raises(ServingError):
            open_model(manifest, weights, VerifierKey.decode(KEPT["key"]))
