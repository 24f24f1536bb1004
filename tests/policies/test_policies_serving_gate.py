"""The evaluation gate: each check passes, fails and is unknown where it should."""

from dataclasses import replace
from typing import Any

import pytest

from hanse.errors import PolicyError
from hanse.policies.serving import Figures, Gate, blocking, judge
from hanse.policies.serving.gate import auc_bounds

GOOD = Figures(
    vertical=False,
    auc=0.75,
    auc_standard_error=0.02,
    calibration_error=0.02,
    calibration_standard_error=0.005,
    budget=(3.0, 1e-5),
    spent=(2.9, 1e-5),
    claimed_epsilon=2.9,
    shown_epsilon=0.4,
)
STRICT = Gate.from_yaml(
    "quality: {minimum_auc: 0.7}\ncalibration: {required: true}\nfairness: {required: true}\n"
    "privacy: {required: true}\nleakage: {required: true}\ncanaries: {required: true}\n"
)


def outcome(gate: Gate, name: str, **changes: Any) -> tuple[str, bool]:
    (check,) = [one for one in judge(gate, replace(GOOD, **changes)) if one.name == name]
    return check.outcome, check.blocks


@pytest.mark.parametrize(
    ("name", "changes", "default", "strict"),
    [
        ("quality", {}, ("passed", False), ("passed", False)),
        ("quality", {"auc_standard_error": 0.04}, ("passed", False), ("failed", True)),  # its lower end
        ("quality", {"auc": 0.49}, ("failed", True), ("failed", True)),
        ("quality", {"auc": None}, ("unknown", True), ("unknown", True)),
        ("quality", {"auc_standard_error": None}, ("unknown", True), ("unknown", True)),
        ("privacy", {"spent": (3.01, 1e-5)}, ("failed", True), ("failed", True)),
        ("privacy", {"spent": (2.0, 1e-4)}, ("failed", True), ("failed", True)),
        ("privacy", {"spent": None}, ("unknown", True), ("unknown", True)),
        ("privacy", {"budget": None, "spent": None}, ("passed", False), ("passed", False)),
        ("canaries", {"shown_epsilon": 3.0}, ("failed", True), ("failed", True)),
        ("canaries", {"shown_epsilon": None}, ("unknown", False), ("unknown", True)),
        ("calibration", {}, ("passed", False), ("passed", False)),
        ("calibration", {"calibration_error": None}, ("unknown", True), ("unknown", True)),
        ("calibration", {"calibration_standard_error": None}, ("unknown", True), ("unknown", True)),
        ("calibration", {"calibration_error": 0.06}, ("failed", True), ("failed", True)),
        ("calibration", {"calibration_standard_error": 0.016}, ("failed", True), ("failed", True)),
        ("fairness", {}, ("unknown", False), ("unknown", True)),
        ("fairness", {"protected": True}, ("unknown", True), ("unknown", True)),
        (
            "fairness",
            {"protected": True, "selection_ratio": 0.9, "opportunity_gap": 0.05},
            ("passed", False),
            ("passed", False),
        ),
        ("fairness", {"selection_ratio": 0.9}, ("unknown", False), ("unknown", True)),
        ("fairness", {"selection_ratio": 0.9, "opportunity_gap": 0.2}, ("failed", True), ("failed", True)),
        ("leakage", {"vertical": True}, ("unknown", True), ("unknown", True)),
        ("leakage", {"vertical": True, "leaked": (0.61, 0.6)}, ("failed", True), ("failed", True)),
    ],
)
def test_every_check(
    name: str, changes: dict[str, Any], default: tuple[str, bool], strict: tuple[str, bool]
) -> None:
    assert outcome(Gate(), name, **changes) == default
    assert outcome(STRICT, name, **changes) == strict


def test_what_keeps_a_version_back_is_named() -> None:
    assert blocking(judge(Gate(), GOOD)) == ()
    assert blocking(judge(STRICT, GOOD)) == ("fairness",)
    assert blocking(judge(Gate(), replace(GOOD, protected=True, calibration_error=None))) == (
        "calibration",
        "fairness",
    )


def test_the_interval_is_that_of_evaluations() -> None:
    # Normal in the log-odds: of .75 ± .02 they are 1.0986 ± 1.96 * .02 / .1875.
    assert auc_bounds(0.75, 0.02) == pytest.approx((0.708797, 0.787124), abs=1e-6)
    assert auc_bounds(1.0, 0.0) == (1.0, 1.0)


def test_a_gate_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"quality\.minimum_acu"):
        Gate.from_yaml("quality: {minimum_acu: 0.7}\n")
