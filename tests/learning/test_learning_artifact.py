"""Model folders: whole or not there, and no byte of them can change."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from tests.learning.conftest import categorical, make_training, numeric

from hanse.crypto import SigningKey, sha256_hex, sign_note, write_atomic
from hanse.errors import ConfigurationError, ServingError
from hanse.learning import (
    ModelManifest,
    Predictor,
    Transform,
    encode_weights,
    load_model,
    open_model,
    store_model,
    write_model,
)
from hanse.learning.artifact import MANIFEST_FILE, MAX_MANIFEST_BYTES, WEIGHTS_FILE, _format_text
from hanse.policies import Label, Privacy

KEY = SigningKey.generate("coordinator")
TRANSFORM = Transform.fit((numeric("age", 30, 50), categorical("job", "clerk")), None, 0)
WEIGHTS = np.linspace(-1, 1, TRANSFORM.n_features + 1, dtype=np.float32)


def make_manifest(**changes: Any) -> ModelManifest:
    values: dict[str, Any] = {
        "name": "propensity",
        "version": 3,
        "agreement_digest": "a" * 64,
        "run": "run-7",
        "purpose": "joint_modelling.propensity",
        "label": Label(name="bought", positive="yes"),
        "transform": TRANSFORM,
        "training": make_training(),
        "metrics": {"auc": 0.78, "log_loss": None},
        "privacy": Privacy(unit="record", adjacency="add-or-remove-one", epsilon=3.0, delta=1e-5),
        "epsilon": {"north": 2.9, "south": 2.95},
        "members": ("north", "south"),
        "created_at": datetime(2026, 1, 31, 9, tzinfo=UTC),
    }
    return ModelManifest(**(values | changes))


MANIFEST_BYTES = sign_note(_format_text(make_manifest(), sha256_hex(encode_weights(WEIGHTS))), KEY)


def resigned(weights_file: bytes, **changes: Any) -> bytes:
    """A manifest with a valid signature that vouches for other weights."""
    return sign_note(_format_text(make_manifest(**changes), sha256_hex(weights_file)), KEY)


def test_a_written_model_loads_and_scores_as_trained(tmp_path: Path) -> None:
    digest = write_model(tmp_path / "model", make_manifest(), encode_weights(WEIGHTS), KEY)
    model = load_model(tmp_path / "model", KEY.verifier)
    assert model.digest == digest == sha256_hex(MANIFEST_BYTES)
    assert model.manifest == make_manifest()
    assert model.manifest.reference == "propensity@3"
    x = model.transform.apply({"age": np.array([20.0, 99.0]), "job": np.array(["clerk", "pilot"])})
    expected = Predictor(make_training(), TRANSFORM.n_features, WEIGHTS).scores(x)
    assert (model.predictor.scores(x) == expected).all()
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [MANIFEST_FILE, WEIGHTS_FILE]


def test_every_flipped_byte_is_refused() -> None:
    weights_file = encode_weights(WEIGHTS)
    open_model(MANIFEST_BYTES, weights_file, KEY.verifier)
    for position in range(len(MANIFEST_BYTES)):
        with pytest.raises(ServingError):
            open_model(flip(MANIFEST_BYTES, position), weights_file, KEY.verifier)
    for position in range(len(weights_file)):
        with pytest.raises(ServingError):
            open_model(MANIFEST_BYTES, flip(weights_file, position), KEY.verifier)


@given(st.sampled_from([MANIFEST_FILE, WEIGHTS_FILE]), st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_flipped_byte_on_disk_is_refused(tmp_path: Path, name: str, position: int, mask: int) -> None:
    folder = tmp_path / "model"
    if not folder.exists():
        write_model(folder, make_manifest(), encode_weights(WEIGHTS), KEY)
    good = (folder / name).read_bytes()
    write_atomic(folder / name, flip(good, position % len(good), mask))
    with pytest.raises(ServingError) as caught:
        load_model(folder, KEY.verifier)
    assert caught.value.code == "model.invalid"
    write_atomic(folder / name, good)


def flip(data: bytes, position: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_random_bytes_are_refused(manifest_file: bytes, weights_file: bytes) -> None:
    with pytest.raises(ServingError):
        open_model(manifest_file, weights_file, KEY.verifier)


@given(st.binary(max_size=200))
def test_signed_garbage_is_refused(weights_file: bytes) -> None:
    with pytest.raises(ServingError):
        open_model(resigned(weights_file), weights_file, KEY.verifier)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=1000), max_size=80))
def test_signed_text_of_another_form_is_refused(text: str) -> None:
    weights_file = encode_weights(WEIGHTS)
    digest = sha256_hex(weights_file)
    good = _format_text(make_manifest(), digest)
    for form in (
        f"{text}\n",
        f"hanse model v1\n{digest}\n{text}\n",
        good.replace("v1", "v2"),
        good.replace('"version":3', '"version": 3'),
    ):
        with pytest.raises(ServingError):
            open_model(sign_note(form, KEY), weights_file, KEY.verifier)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"other": WEIGHTS},
        {"weights": WEIGHTS, "other": WEIGHTS},
        {"weights": WEIGHTS.astype(np.float64)},
        {"weights": WEIGHTS[:, None]},
        {"weights": WEIGHTS[:-1]},
        {"weights": np.full_like(WEIGHTS, np.nan)},
    ],
)
def test_signed_weights_that_do_not_fit_are_refused(tensors: dict[str, Any]) -> None:
    weights_file = save(tensors)
    with pytest.raises(ServingError) as caught:
        open_model(resigned(weights_file), weights_file, KEY.verifier)
    assert caught.value.code == "model.invalid"


def test_a_stranger_and_a_namesake_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_manifest(), encode_weights(WEIGHTS), KEY)
    for stranger in (SigningKey.generate("stranger"), SigningKey.generate("coordinator")):
        with pytest.raises(ServingError):
            load_model(tmp_path / "model", stranger.verifier)


def test_weights_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ServingError):
        write_model(tmp_path / "model", make_manifest(), encode_weights(WEIGHTS[:-1]), KEY)
    assert not list(tmp_path.iterdir())


def test_a_version_is_never_overwritten_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_manifest(), encode_weights(WEIGHTS), KEY)
    with pytest.raises(ConfigurationError) as caught:
        store_model(tmp_path / "model", MANIFEST_BYTES, b"other")
    assert caught.value.code == "config.exists"
    with pytest.raises(ConfigurationError) as caught:
        store_model(tmp_path / "absent" / "model", MANIFEST_BYTES, b"other")
    assert caught.value.code == "config.unwritable"
    load_model(tmp_path / "model", KEY.verifier)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServingError) as caught:
        load_model(tmp_path, KEY.verifier)
    assert caught.value.code == "model.not-found"
    (tmp_path / MANIFEST_FILE).write_bytes(bytes(MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ServingError) as caught:
        load_model(tmp_path, KEY.verifier)
    assert caught.value.code == "model.invalid"
