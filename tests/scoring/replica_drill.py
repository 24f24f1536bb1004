"""Replicas as real processes under load, withdrawals at random moments, and what came when."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import numpy as np
from tests.scoring.conftest import CALLER, PURPOSE, MemberSite, make_grant

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.policies import ConsentLedger

PROGRAM = """
import sys
from hanse.server.scoring import ScoringSettings, run_scorer
run_scorer(ScoringSettings.model_validate_json(sys.stdin.read()))
"""
BYSTANDER = "bystander"
LAST_CALLS = 3


@dataclass
class Replica:
    """One process."""

    name: str
    process: "subprocess.Popen[str]"
    address: str


@contextmanager
def running(site: MemberSite, names: Sequence[str], **changes: Any) -> Iterator[list[Replica]]:
    """Replicas of one member on one machine."""
    processes = []
    try:
        for name in names:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert process.stdin is not None
            settings = site.settings.model_copy(update={"replica": name} | changes)
            process.stdin.write(settings.model_dump_json())
            process.stdin.close()
            processes.append(process)
        yield [Replica(name, each, _ready(each)) for name, each in zip(names, processes, strict=True)]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


def _ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    word, address = process.stdout.readline().split()
    assert word == "ready"
    return address


def request_for(*subjects: str) -> oip.ModelInferRequest:
    rows = len(subjects)
    request = oip.ModelInferRequest(model_name="propensity")
    request.parameters["purpose"].string_param = PURPOSE
    for name, datatype in (("subject_id", "BYTES"), ("age", "FP64"), ("job", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[rows])
    request.inputs[0].contents.bytes_contents.extend(subject.encode() for subject in subjects)
    request.inputs[1].contents.fp64_contents.extend([41.0] * rows)
    request.inputs[2].contents.bytes_contents.extend([b"admin"] * rows)
    return request


@dataclass
class Trial:
    """One withdrawal.

    Attributes:
        subject: Who withdraws.
        committed: When the withdrawal was on the disk, monotonic seconds.
        scored: When each replica's last score about the subject arrived.
        refused: When each replica's first refusal arrived that was asked for after the commit.
        enough: Refusals by replica.
    """

    subject: str
    committed: float = float("inf")
    scored: dict[str, float] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def late_s(self) -> dict[str, float]:
        """By replica: how long after the commit its last score arrived; 0 if before."""
        return {name: max(at - self.committed, 0.0) for name, at in self.scored.items()}


@dataclass
class Drill:
    """Streams of calls to all replicas; each call asks about the subject of the trial that is on."""

    site: MemberSite
    replicas: Sequence[Replica]
    streams: int
    seed: int = 7
    trials: list[Trial] = field(default_factory=list)
    calls: int = 0
    stale: int = 0
    errors: list[str] = field(default_factory=list)

    async def run(self, subjects: Sequence[str]) -> None:
        """One trial after the other, under load all the time."""
        chance = np.random.default_rng(self.seed)
        with ConsentLedger(self.site.settings.consents) as ledger:
            async with self._load():
                for subject in subjects:
                    trial = Trial(subject)
                    self.trials.append(trial)
                    await asyncio.sleep(chance.uniform(0.0, 0.05))
                    await asyncio.to_thread(self._withdraw, ledger, trial)
                    await asyncio.wait_for(trial.done.wait(), 60)

    def _withdraw(self, ledger: ConsentLedger, trial: Trial) -> None:
        ledger.withdraw(self.site.ref(trial.subject), "scoring", datetime.now(UTC))
        trial.committed = time.monotonic()

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[None]:
        channels = [
            (replica, grpc.aio.secure_channel(replica.address, self.site.credentials(CALLER)))
            for replica in self.replicas
        ]
        tasks = [
            asyncio.create_task(self._stream(replica, channel))
            for replica, channel in channels
            for _ in range(self.streams)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _, channel in channels:
                await channel.close()

    async def _stream(self, replica: Replica, channel: grpc.aio.Channel) -> None:
        stub: Any = GRPCInferenceServiceStub(channel)
        while True:
            if not self.trials:
                await asyncio.sleep(0.001)
                continue
            trial, began = self.trials[-1], time.monotonic()
            try:
                answer = await stub.ModelInfer(request_for(trial.subject, BYSTANDER), timeout=60)
            except grpc.aio.AioRpcError as error:
                if "scoring.stale" in str(error.details()):
                    self.stale += 1  # a replica that was not given the processor in time refuses, as it shall
                else:
                    self.errors.append(f"{error.code()} {error.details()}")
                continue
            arrived = time.monotonic()
            self.calls += 1
            self._note(trial, replica.name, began, arrived, answer)

    def _note(self, trial: Trial, replica: str, began: float, arrived: float, answer: Any) -> None:
        score, bystander = answer.outputs[0].contents.fp32_contents
        if np.isnan(bystander):
            self.errors.append("somebody else was refused")
        if not np.isnan(score):
            trial.scored[replica] = max(arrived, trial.scored.get(replica, 0.0))
            return
        if began >= trial.committed:
            trial.refused.setdefault(replica, arrived)
        trial.refusals[replica] = trial.refusals.get(replica, 0) + 1
        if len(trial.refusals) == len(self.replicas) and min(trial.refusals.values()) >= LAST_CALLS:
            trial.done.set()

    def report(self) -> dict[str, Any]:
        """How late scores came, over all trials and replicas, in milliseconds."""
        late = [value for trial in self.trials for value in trial.late_s().values()]
        refused = [at - trial.committed for trial in self.trials for at in trial.refused.values()]
        return {
            "trials": len(self.trials),
            "replicas": len(self.replicas),
            "streams": self.streams * len(self.replicas),
            "calls": self.calls,
            "refused_as_stale": self.stale,
            "last_score_after_commit_ms": _distribution(late),
            "first_refusal_after_commit_ms": _distribution(refused),
        }


def _distribution(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(np.array(values) * 1000, [50, 90, 99, 100])
    return {
        name: round(float(value), 1) for name, value in zip(("p50", "p90", "p99", "max"), found, strict=True)
    }


def grant(site: MemberSite, subjects: Sequence[str]) -> None:
    with site.ledger as ledger:
        ledger.record(make_grant(site.ref(subject)) for subject in subjects)
