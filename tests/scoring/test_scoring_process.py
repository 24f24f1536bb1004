"""The scorer as a process: start, stop, what it refuses to start with, what happens when something fails."""

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pydantic import ValidationError
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    NOW,
    PURPOSE,
    Keys,
    MemberSite,
    RunningScorer,
    make_agreement,
    make_site,
    write_note,
    write_registered_model,
    write_registration,
)

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import EventType
from hanse.crypto import SigningKey, make_authority, make_client_certificate, make_server_certificate
from hanse.errors import CATALOGUE, ConfigurationError, HanseError, IdentityError
from hanse.learning import load_model
from hanse.server.scoring import ScoringSettings, commits, run_scorer
from hanse.server.scoring.callers import Callers

OURS = "hanse.api.inference.open_inference_grpc_pb2"
PROGRAM = """
import json, sys
from hanse.server.scoring import ScoringSettings, run_scorer
settings = ScoringSettings.model_validate_json(sys.stdin.read())
run_scorer(settings)
late = {"torch", "flwr", "opacus", "pandas", "duckdb", "prometheus_client", "opentelemetry"}
print(json.dumps(sorted(late & set(sys.modules))))
"""


def make_request(subjects: tuple[str, ...] = GRANTED) -> oip.ModelInferRequest:
    rows = len(subjects)
    request = oip.ModelInferRequest(model_name="propensity")
    request.parameters["purpose"].string_param = PURPOSE
    for name, datatype in (("subject_id", "BYTES"), ("age", "FP64"), ("job", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[rows])
    request.inputs[0].contents.bytes_contents.extend(subject.encode() for subject in subjects)
    request.inputs[1].contents.fp64_contents.extend(AGES[:rows])
    request.inputs[2].contents.bytes_contents.extend(job.encode() for job in JOBS[:rows])
    return request


def infer(site: MemberSite, scorer: RunningScorer) -> oip.ModelInferResponse:
    with grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel:
        return GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=10)


def public(code: str) -> str:
    return f"{CATALOGUE[code].public_message} ({code})"


def scores(response: oip.ModelInferResponse) -> list[float]:
    return list(response.outputs[0].contents.fp32_contents)


def start(settings: ScoringSettings) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(settings.model_dump_json())
    process.stdin.close()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_serves_without_torch_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    site = make_site(tmp_path)
    with start(site.settings) as process:
        assert process.stdout is not None
        word, address = process.stdout.readline().split()
        assert word == "ready"
        with grpc.secure_channel(address, site.credentials(CALLER)) as channel:
            answer = GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=10)
        assert len(scores(answer)) == len(GRANTED)
        process.send_signal(number)
        assert json.loads(process.stdout.read()) == []
        assert process.wait(20) == 0
    types = [entry.type for entry in site.entries()]
    assert types == [EventType.SCORER_STARTED, EventType.SCORE_ANSWERED, EventType.SCORER_STOPPED]


@pytest.mark.parametrize("order", [(OURS, "tritonclient.grpc"), ("tritonclient.grpc", OURS)])
def test_another_stub_of_the_protocol_fits_in_the_same_process(order: tuple[str, str]) -> None:
    program = "; ".join(f"import {module}" for module in order)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_running_calls_finish_when_the_scorer_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "QUICK_S", 0.0)  # so that the thread writes, and not the loop
    site = make_site(tmp_path)
    arrived, go_on = threading.Event(), threading.Event()

    def slow_clock() -> datetime:
        # The log takes the time in the thread that writes; holding it there holds the call, not the server.
        if armed and threading.current_thread().name != "scorer":
            arrived.set()
            go_on.wait(10)
        return datetime.now(UTC)

    armed = False
    answers: list[oip.ModelInferResponse] = []
    with RunningScorer(site.settings, slow_clock) as scorer:
        armed = True
        caller = threading.Thread(target=lambda: answers.append(infer(site, scorer)))
        caller.start()
        assert arrived.wait(10)
        scorer.stop()
        go_on.set()
        caller.join(10)
    assert len(scores(answers[0])) == len(GRANTED)
    assert [entry.type for entry in site.entries()[-2:]] == [
        EventType.SCORE_ANSWERED,
        EventType.SCORER_STOPPED,
    ]


def test_nothing_is_answered_without_the_log(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    log, away = tmp_path / "audit.db", tmp_path / "away.log"
    with RunningScorer(site.settings) as scorer:
        log.rename(away)
        with pytest.raises(grpc.RpcError) as caught:
            infer(site, scorer)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == public("audit.unavailable")
        log.unlink(missing_ok=True)
        away.rename(log)
        before = len(site.calls())
        infer(site, scorer)
    assert len(site.calls()) == before + 1


def test_an_unforeseen_error_says_nothing_but_that(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(tmp_path)
    failures = [ValueError("customer-7 has 41 years")]

    def clock() -> datetime:
        if armed and failures:
            raise failures.pop()
        return datetime.now(UTC)

    armed = False
    with caplog.at_level(logging.DEBUG), RunningScorer(site.settings, clock) as scorer:
        armed = True
        with pytest.raises(grpc.RpcError) as caught:
            infer(site, scorer)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == public("internal.error")
    assert "ValueError" in caplog.text
    assert "customer-7" not in caplog.text
    entry = site.calls()[-1]
    assert (entry.type, entry.reasons) == (EventType.SCORE_DENIED, ("internal.error",))


def test_an_agreement_that_has_ended_answers_nobody(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    late = datetime.now(UTC) + timedelta(days=61)
    with RunningScorer(site.settings, lambda: late) as scorer, pytest.raises(grpc.RpcError) as caught:
        infer(site, scorer)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert site.calls()[-1].reasons == ("policy.denied", "P20")


def test_bands_are_what_leaves_where_the_agreement_says_bands(tmp_path: Path) -> None:
    terms = make_agreement(Keys()).scoring.model_dump(mode="json") | {"decimals": 4}
    for output in ("band", "score"):
        (tmp_path / output).mkdir()
    banded = make_site(tmp_path / "band", scoring=terms | {"output": "band"})
    plain = make_site(tmp_path / "score", scoring=terms | {"output": "score"})
    with RunningScorer(banded.settings) as scorer:
        bands = scores(infer(banded, scorer))
    with RunningScorer(plain.settings) as scorer:
        probabilities = np.array(scores(infer(plain, scorer)))
    assert bands == (np.floor(probabilities * 10) + 1).tolist()
    assert len(set(bands)) > 2


def test_segments_leave_with_their_names(tmp_path: Path) -> None:
    segments = {"value": "age", "value_from": 40.0, "score_from": 0.5}
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    site = make_site(tmp_path, scoring=terms | {"output": "segment", "segments": segments})
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        request = make_request()
        for name in ("score", "segment"):
            request.outputs.add(name=name)
        response = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=10)
    names = [name.decode() for name in response.outputs[1].contents.bytes_contents]
    numbers = scores(response)
    known = ["high-value", "to-develop", "at-risk", "other"]
    assert names == [known[int(number) - 1] for number in numbers]
    assert [name in ("high-value", "at-risk") for name in names] == [
        age >= 40 for age in AGES[: len(GRANTED)]
    ]


def test_where_people_are_named_alone_columns_are_refused(tmp_path: Path) -> None:
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    site = make_site(tmp_path, scoring=terms | {"by_id": True})
    with RunningScorer(site.settings) as scorer, pytest.raises(grpc.RpcError) as caught:
        infer(site, scorer)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert site.calls()[-1].reasons == ("policy.denied", "P27")


def test_plaintext_on_loopback_counts_as_the_one_caller(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    values = site.settings.model_dump() | {
        "callers": {CALLER: site.settings.callers[CALLER]},
        "tls_key": None,
        "tls_certificate": None,
        "dangerously_insecure": True,
    }
    with (
        RunningScorer(ScoringSettings(**values)) as scorer,
        grpc.insecure_channel(scorer.address) as channel,
    ):
        answer = GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=10)
    assert len(scores(answer)) == len(GRANTED)
    assert site.calls()[-1].peer == CALLER


@pytest.mark.parametrize(
    "changes",
    [
        {"tls_key": None},
        {"tls_certificate": None},
        {"callers": {}},
        {"callers": {"Erika Mustermann": Path("x")}},
        {"address": "127.0.0.1"},
        {"address": "127.0.0.1:port"},
        {"dangerously_insecure": True, "callers": {CALLER: Path("x")}},  # with TLS files
        {"dangerously_insecure": True, "tls_key": None, "tls_certificate": None},  # two callers
        {"dangerously_insecure": True, "tls_key": None, "tls_certificate": None, "address": "0.0.0.0:1"},
        {"dangerously_insecure": True, "tls_key": None, "tls_certificate": None, "address": "localhost:1"},
        {"quota": 1},
    ],
)
def test_settings_that_are_not_safe_are_refused(site: MemberSite, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScoringSettings(**site.settings.model_dump() | changes)


def other_key_file(site: MemberSite) -> None:
    site.settings.signing_key.unlink()
    SigningKey.generate("somebody").save(site.settings.signing_key)


def other_agreement(site: MemberSite) -> None:
    write_note(site.settings.agreement, make_agreement(site.keys, title="Another title"), site.keys)


def other_coordinator(site: MemberSite) -> None:
    site.keys.coordinator = SigningKey.generate("hub")
    write_note(site.settings.agreement, make_agreement(site.keys), site.keys)


def column_named_as_subjects(site: MemberSite) -> None:
    column = {"name": "subject_id", "kind": "numeric", "classification": "basic", "edges": [0.5]}
    agreement = make_agreement(site.keys, columns=[column])
    write_note(site.settings.agreement, agreement, site.keys)
    site.settings.model.rename(site.root / "old")
    write_registered_model(site.settings.model, agreement, site.keys)


def fewer_witnesses(site: MemberSite) -> None:
    """A registration that one of the two witnesses has not seen."""
    site.keys.witnesses = dict(list(site.keys.witnesses.items())[:1])
    digest = load_model(site.settings.model, site.keys.coordinator.verifier).digest
    write_registration(site.settings.model, site.agreement, site.keys, digest)


def other_registration(site: MemberSite) -> None:
    write_registration(site.settings.model, site.agreement, site.keys, "0" * 64)


def flip_byte(name: str) -> Callable[[MemberSite], None]:
    def spoil(site: MemberSite) -> None:
        path = site.root / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return spoil


def change_log(site: MemberSite) -> None:
    path = site.root / "audit.db"
    data = path.read_bytes()
    assert b"brand-log\n0\n" in data
    path.write_bytes(data.replace(b"brand-log\n0\n", b"brand-log\n1\n"))


def remove(name: str) -> Callable[[MemberSite], None]:
    return lambda site: (site.root / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (remove("consent.db"), "config.missing-file"),
        (remove("agreement.note"), "config.missing-file"),
        (remove("node.key"), "config.missing-file"),
        (remove("pseudonym.key"), "config.missing-file"),
        (remove(f"{CALLER}.crt"), "config.missing-file"),
        (remove("server.crt"), "config.missing-file"),
        (lambda site: (site.root / "pseudonym.key").chmod(0o644), "config.insecure-file"),
        (lambda site: (site.root / "server.key").chmod(0o644), "config.insecure-file"),
        (lambda site: (site.root / "server.key").write_bytes(b"no key"), "config.invalid"),
        (lambda site: (site.root / f"{CALLER}.crt").write_bytes(b"no certificate"), "identity.bad-key"),
        (flip_byte("agreement.note"), "policy.invalid"),
        (change_log, "audit.integrity"),
        (flip_byte("model/weights.safetensors"), "model.invalid"),
        (flip_byte("model/registration.json"), "model.invalid"),
        (flip_byte("model/registration.tlog-proof"), "model.invalid"),
        (remove("model/registration.tlog-proof"), "config.missing-file"),
        (fewer_witnesses, "model.invalid"),
        (other_registration, "model.invalid"),
        (other_key_file, "identity.unknown-signer"),
        (other_agreement, "model.invalid"),
        (other_coordinator, "identity.unknown-signer"),
        (column_named_as_subjects, "model.invalid"),
    ],
)
def test_a_scorer_does_not_start_with(tmp_path: Path, spoil: Callable[[MemberSite], None], code: str) -> None:
    site = make_site(tmp_path)
    spoil(site)
    with pytest.raises(HanseError) as caught:
        run_scorer(site.settings)
    assert caught.value.code == code


def test_settings_that_were_not_validated_do_not_lead_to_plaintext(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with pytest.raises(ConfigurationError, match="tls_key"):
        run_scorer(site.settings.model_copy(update={"tls_key": None}))


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with RunningScorer(site.settings) as scorer, pytest.raises(ConfigurationError, match="cannot listen"):
        run_scorer(site.settings.model_copy(update={"address": scorer.address}))


class FakePeer:
    def __init__(self, *certificates: bytes) -> None:
        self._certificates = certificates

    def certificates(self) -> tuple[bytes, ...]:
        return self._certificates


def test_only_pinned_certificates_are_callers_not_those_that_they_sign() -> None:
    authority = make_authority("a caller", NOW, 30)
    _, signed = make_server_certificate(*authority, ["localhost"], NOW, 30)
    callers = Callers({CALLER: authority[1]})
    assert callers.identify(FakePeer(authority[1])) == CALLER
    for peer in (FakePeer(signed), FakePeer()):
        with pytest.raises(IdentityError) as caught:
            callers.identify(peer)
        assert caught.value.code == "identity.unauthenticated"


def test_two_names_for_one_certificate_are_refused() -> None:
    _, certificate = make_client_certificate(CALLER, NOW, 30)
    with pytest.raises(ConfigurationError):
        Callers({"one": certificate, "two": certificate})
