"""Clients that nobody here wrote, each as its users use it: tritonclient's callbacks, KServe's, grpcurl."""

import base64
import json
import os
import queue
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.scoring.conftest import CALLER, GRANTED, PURPOSE, UNKNOWN, MemberSite, RunningScorer
from tritonclient.utils import InferenceServerException

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
KSERVE = os.environ.get("HANSE_KSERVE_PYTHON")
IN_CI = "CI" in os.environ


def grpcurl() -> str | None:
    beside = Path(sys.executable).with_name("grpcurl")
    return str(beside) if beside.is_file() else shutil.which("grpcurl")


def test_tritonclients_callbacks_are_called_with_answers_and_refusals(
    site: MemberSite, scorer: RunningScorer
) -> None:
    ids = triton.InferInput("subject_id", [2], "BYTES")
    ids.set_data_from_numpy(np.array([GRANTED[0].encode(), UNKNOWN.encode()], dtype=np.object_))
    age = triton.InferInput("age", [2], "FP32")
    age.set_data_from_numpy(np.array([18, 25], dtype=np.float32))
    job = triton.InferInput("job", [2], "BYTES")
    job.set_data_from_numpy(np.array([b"admin", b"student"], dtype=np.object_))
    said: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(scorer.address, creds=site.credentials(CALLER)) as client:
        for purpose in (PURPOSE, "scoring.pricing"):
            client.async_infer(
                "propensity",
                [ids, age, job],
                callback=lambda result, error: said.put((result, error)),
                parameters={"purpose": purpose},
                client_timeout=20,
            )
        outcomes = [said.get(timeout=20) for _ in range(2)]
    (answer,) = [result for result, error in outcomes if error is None]
    (refusal,) = [error for _, error in outcomes if error is not None]
    assert list(answer.as_numpy("decision")) == [b"permit", b"deny:P26"]
    assert np.isnan(answer.as_numpy("score")).tolist() == [False, True]
    assert isinstance(refusal, InferenceServerException)
    assert refusal.status() == "StatusCode.PERMISSION_DENIED"


@pytest.mark.slow
@pytest.mark.skipif(KSERVE is None, reason="HANSE_KSERVE_PYTHON names no Python that has kserve")
def test_kserves_client(site: MemberSite, scorer: RunningScorer) -> None:
    files = [str(site.root / name) for name in ("authority.crt", f"{CALLER}.key", f"{CALLER}.crt")]
    program = str(Path(__file__).with_name("kserve_program.py"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(KSERVE), program, scorer.address, *files, PURPOSE, *GRANTED[:2], UNKNOWN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert [said["live"], said["ready"], said["model"]] == [True] * 3
    (first, raw), (second, typed) = said["raw"], said["typed"]
    assert first == second == "kserve-1"
    np.testing.assert_array_equal(raw, typed)
    assert np.isnan(raw).tolist() == [False, False, True]
    assert said["raw decisions"] == said["typed decisions"] == ["permit", "permit", "deny:P26"]
    assert said["refused"][0] == "PERMISSION_DENIED"


@pytest.mark.skipif(grpcurl() is None and not IN_CI, reason="grpcurl is not installed")
def test_grpcurl_finds_its_way_by_reflection(site: MemberSite, scorer: RunningScorer) -> None:
    authority, key, certificate = (
        str(site.root / name) for name in ("authority.crt", f"{CALLER}.key", f"{CALLER}.crt")
    )

    def call(*what: str, **flags: object) -> str:
        options = [part for name, value in flags.items() for part in (f"-{name}", str(value))]
        tls = ["-cacert", authority, "-cert", certificate, "-key", key, "-max-time", "20"]
        command = [str(grpcurl()), *tls, *options, scorer.address, *what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert {INFERENCE, HEALTH} <= set(call("list").split())
    assert "rpc ModelInfer" in call("describe", INFERENCE)
    checked = call(f"{HEALTH}/Check", d=json.dumps({"service": INFERENCE}))
    assert json.loads(checked) == {"status": "SERVING"}
    subject = GRANTED[3].encode()
    request: dict[str, Any] = {
        "model_name": "propensity",
        "parameters": {"purpose": {"string_param": PURPOSE}},
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [1], "contents": contents}
            for name, datatype, contents in (
                ("subject_id", "BYTES", {"bytes_contents": [base64.b64encode(subject).decode()]}),
                ("age", "FP64", {"fp64_contents": [41.0]}),
                ("job", "BYTES", {"bytes_contents": [base64.b64encode(b"admin").decode()]}),
            )
        ],
    }
    typed = json.loads(call(f"{INFERENCE}/ModelInfer", d=json.dumps(request)))
    (score,) = typed["outputs"][0]["contents"]["fp32_contents"]
    assert 0 < score < 1
    for tensor in request["inputs"]:
        del tensor["contents"]
    raw = [
        struct.pack("<I", len(subject)) + subject,
        struct.pack("<d", 41.0),
        struct.pack("<I", 5) + b"admin",
    ]
    request["raw_input_contents"] = [base64.b64encode(content).decode() for content in raw]
    same = json.loads(call(f"{INFERENCE}/ModelInfer", d=json.dumps(request)))
    assert base64.b64decode(same["raw_output_contents"][0]) == struct.pack("<f", score)
