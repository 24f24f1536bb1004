"""Nothing but admitted records becomes training data: by type, and at run time as well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.enforcement.conftest import columns_of
from tests.enforcement.enforcement_population import agreement, job, make_snapshot, ref_of

from hanse.enforcement import AdmittedExamples, AdmittedRecords, Decision, decide, release
from hanse.enforcement.simulation import simulated_examples, simulated_records
from hanse.errors import PolicyError
from hanse.policies import prepare_training

ROOT = Path(__file__).parents[2]
PROGRAM = """
import numpy as np
import numpy.typing as npt
from hanse.client.gate import Gate, Step
from hanse.enforcement import AdmittedRecords
from hanse.learning import Transform
from hanse.learning.training import LocalTrainer

def admitted(trainer: LocalTrainer, gate: Gate, step: Step, transform: Transform) -> None:
    records = gate.open(step).training
    trainer.run_round(np.zeros(3, np.float32), records.examples(transform.apply), 1, 1)

"""
BARE = {
    "arrays": "trainer.run_round(np.zeros(3, np.float32), (x, y), 1, 1)",
    "two arrays": "trainer.run_round(np.zeros(3, np.float32), x, y, 1, 1)",
    "columns": 'trainer.run_round(np.zeros(3, np.float32), {"age": x}, 1, 1)',
    "records as they are": "trainer.run_round(np.zeros(3, np.float32), records, 1, 1)",
    "records made by hand": 'AdmittedRecords({"age": x}, y, b"")',
    "records with a seal of one's own": 'AdmittedRecords(object(), {"age": x}, y, b"")',
}
FUNCTION = """
def bare_{number}(
    trainer: LocalTrainer, records: AdmittedRecords, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
) -> None:
    {bare}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_type_checker_lets_nothing_else_through(tmp_path: Path) -> None:
    functions = [FUNCTION.format(number=n, bare=bare) for n, bare in enumerate(BARE.values())]
    text = PROGRAM + "".join(functions)
    program = tmp_path / "program.py"
    program.write_text(text)
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "mypy", *config, str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    told = {
        int(line)
        for line in re.findall(r"program\.py:(\d+): error: .*\[(?:arg-type|call-arg)\]", done.stdout)
    }
    refused = {
        number for number, line in enumerate(text.splitlines(), start=1) if line.strip() in BARE.values()
    }
    assert len(refused) == len(BARE)
    # Every line with bare arrays, and no line of the admitted case.
    assert told == refused, done.stdout + done.stderr
    assert {int(line) for line in re.findall(r"program\.py:(\d+): error", done.stdout)} == refused


@pytest.mark.parametrize("seal", [None, object(), True])
def test_nobody_else_can_make_them(seal: Any) -> None:
    rows = np.zeros(2, np.float32)
    with pytest.raises(TypeError):
        AdmittedRecords(seal, {"age": rows}, rows, b"")
    with pytest.raises(TypeError):
        AdmittedExamples(seal, rows[:, None], rows)


def test_examples_are_as_many_as_the_records() -> None:
    records = simulated_records({"age": np.zeros(3)}, np.ones(3, np.float32))
    examples = records.examples(lambda columns: np.zeros((len(columns["age"]), 2), np.float32))
    assert (len(examples), examples.features.shape) == (3, (3, 2))
    with pytest.raises(PolicyError) as caught:
        records.examples(lambda _: np.zeros((2, 2), np.float32))
    assert caught.value.rule == "P32"
    with pytest.raises(PolicyError):
        simulated_examples(np.zeros((2, 1), np.float32), np.zeros(3, np.float32))


@pytest.fixture(scope="module")
def decision() -> Decision:
    snapshot = make_snapshot(np.random.default_rng(8), 400)
    columns = columns_of(snapshot)
    refs = [ref_of(number) for number in range(400)]
    return decide(prepare_training(job(agreement()), columns), columns, columns.places(refs))[0]


def values_of(decision: Decision) -> dict[str, Any]:
    columns: dict[str, Any] = {name: np.ones(len(decision.rows)) for name in ("age", "extra km", "camera")}
    columns["health"] = np.full(len(decision.rows), "ill")
    for name, hidden in decision.hidden.items():
        columns[name][np.isin(decision.rows, hidden)] = "" if name == "health" else np.nan
    return columns


def test_a_hidden_value_that_was_read_is_not_released(decision: Decision) -> None:
    labels = np.zeros(len(decision.rows), np.float32)
    assert release(decision, decision.rows, values_of(decision), labels, b"root").rows == len(labels)
    for name in ("extra km", "health"):
        columns = values_of(decision)
        place = np.flatnonzero(np.isin(decision.rows, decision.hidden[name]))[0]
        columns[name][place] = "ill" if name == "health" else 0.0
        with pytest.raises(PolicyError, match="a hidden value was read") as caught:
            release(decision, decision.rows, columns, labels, b"root")
        assert caught.value.rule == "P32"


def test_rows_that_were_not_admitted_are_not_released(decision: Decision) -> None:
    labels = np.zeros(len(decision.rows), np.float32)
    stranger = next(row for row in range(400) if row not in set(decision.rows.tolist()))
    rows = decision.rows.copy()
    rows[0] = stranger
    with pytest.raises(PolicyError, match="not admitted") as caught:
        release(decision, rows, values_of(decision), labels, b"root")
    assert caught.value.rule == "P32"
    with pytest.raises(PolicyError, match="the rows read are not"):
        release(decision, decision.rows[1:], values_of(decision), labels, b"root")
