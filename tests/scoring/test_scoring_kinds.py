"""Every kind of model that is whole at one member has a card, deciles and reasons."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.outputs.conftest import COLUMNS, KINDS, make_model, make_weights, random_rows
from tests.scoring.conftest import CALLER, PURPOSE, Keys, make_agreement, write_note
from typing_extensions import override

from hanse.crypto import sha256_hex
from hanse.errors import ServingError
from hanse.learning.artifact import load_model, write_model
from hanse.learning.calibration import Calibration
from hanse.policies import builtin_pack, merge, open_agreement
from hanse.policies.agreement.training import VERTICAL_ONLY, Model
from hanse.server.scoring.asked import Asked
from hanse.server.scoring.minimising import said
from hanse.server.scoring.own.cards import card_of
from hanse.server.scoring.own.explaining import ReasonsOutput
from hanse.server.scoring.own.messages import REASONS
from hanse.server.scoring.served import LocalModel, Served
from hanse.server.scoring.versions import complete

METHODS = {
    "logistic": "linear",
    "scorecard": "points",
    "mlp": "integrated-gradients",
    "wide_and_deep": "integrated-gradients",
    "trees": "shapley",
}
DECILES = tuple(number / 10 for number in range(1, 10))
MEASURED = {"calibration_error": 0.02, "calibration_standard_error": 0.004}
MAP = Calibration(given=(-1.0, 1.0), meant=(-2.0, 0.5))


def make_served(folder: Path, kind: str, **changes: Any) -> Served:
    """A version of a kind, signed, loaded and made ready as a scorer does it."""
    keys = Keys()
    terms = make_agreement(keys).scoring.model_dump(mode="json")
    terms |= {"output": "decile", "reason_codes": True}
    columns = [
        column.model_dump(mode="json") | {"disclosure": [{"to": "members", "form": "model"}]}
        for column in COLUMNS
    ]
    agreement = make_agreement(keys, columns=columns, scoring=terms)
    write_note(folder / "agreement.note", agreement, keys)
    signed = open_agreement((folder / "agreement.note").read_bytes())
    base = make_model(kind).manifest
    update = {"agreement_digest": signed.digest, "members": ("brand", "partner"), **changes}
    weights = make_weights(kind, base.transform, np.random.default_rng(5))
    write_model(folder / "model", base.model_copy(update=update), weights, keys.coordinator)
    model = load_model(folder / "model", keys.coordinator.verifier)
    policy = merge([builtin_pack(name) for name in ("pipl", "gdpr")])
    return complete(LocalModel.of(model, signed, policy), model.note, DECILES)


def test_every_kind_that_can_be_agreed_is_here() -> None:
    # The others are vertical alone: their parts stay at the members.
    assert set(METHODS) == set(KINDS) == set(get_args(Model)) - set(VERTICAL_ONLY)


@pytest.mark.parametrize("kind", sorted(METHODS))
def test_a_kind_has_a_card_deciles_and_reasons(kind: str, tmp_path: Path) -> None:
    served = make_served(tmp_path, kind, metrics=MEASURED)
    rows, admitted = random_rows(20), np.arange(20) != 3
    people = [f"person-{number}" for number in range(20)]
    scores = asyncio.run(served.probabilities(people, rows, admitted))
    numbers = said(served, rows, admitted, scores)
    assert numbers.tolist() == [1 + sum(score >= edge for edge in DECILES) for score in scores]

    asked = Asked(CALLER, PURPOSE, served, people, rows, (REASONS,), reasons=True)
    told = asyncio.run(ReasonsOutput("brand").outputs(asked, rows, admitted, scores))[REASONS]
    assert (told[3], len(told)) == (b"", 20)
    found = [json.loads(bytes(text)) for text in told if text]
    assert {one["method"] for one in found} == {METHODS[kind]}
    assert any(one["reasons"] for one in found)

    card = card_of(served, CALLER)
    assert sha256_hex(card.signed_manifest) == card.summary.model_digest == served.digest
    assert [column.name for column in card.summary.columns] == [column.name for column in COLUMNS]
    calibration = card.summary.calibration
    assert (calibration.calibrated, calibration.error) == (False, 0.02)
    assert "not corrected" in calibration.text
    assert "0.0200" in calibration.text


def test_a_card_says_that_scores_are_calibrated(tmp_path: Path) -> None:
    calibration = card_of(make_served(tmp_path, "logistic", calibration=MAP), CALLER).summary.calibration
    assert (calibration.calibrated, calibration.HasField("error")) == (True, False)
    assert "are corrected" in calibration.text
    assert "no run has told" in calibration.text


class WithoutReasons(LocalModel):
    """A kind that gives none, as vertical models do."""

    @property
    @override
    def explains(self) -> bool:
        return False


def test_a_kind_without_reasons_is_refused_where_they_are_owed(tmp_path: Path) -> None:
    served = make_served(tmp_path, "logistic")
    assert isinstance(served, LocalModel)
    signed = served.agreement
    owing = signed.agreement.scoring.model_copy(update={"significant_effect": True, "human_review": True})
    agreement = signed.agreement.model_copy(update={"scoring": owing})
    owed = replace(signed, agreement=agreement)
    assert complete(LocalModel.of(served.model, owed, served.policy), served.note, DECILES).explains
    plain = WithoutReasons.of(served.model, owed, served.policy)
    with pytest.raises(ServingError) as caught:
        complete(plain, served.note, DECILES)
    assert caught.value.code == "model.no-reasons"
    with pytest.raises(ServingError, match="replaced"):
        complete(served, b"another", DECILES)
