"""Replicas as real processes under load, withdrawals at random moments, and what came when.

Two things are held apart. A score to a call that was *asked after* the withdrawal was committed is a fault,
however slow the machine is. A score to a call that was asked before may come later than the bound, because
the process that asked was not given the processor; when it left the replica, by its own record, counts.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
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
# Its lines of the log say when each answer was handed to gRPC; times are of one clock on a machine.
OBSERVED = """
import logging, sys, time
from hanse.server.scoring import watching
class Left(logging.Handler):
    out = open(sys.argv[1], "w", buffering=1)
    def emit(self, record):
        if record.call.code == "ok":
            self.out.write(f"{record.call.log_index} {time.monotonic()}\\n")
log = logging.getLogger(watching.__name__)
log.setLevel(logging.DEBUG)
log.addHandler(Left())
"""


@dataclass
class Replica:
    """One process."""

    name: str
    process: "subprocess.Popen[str]"
    address: str
    left: Path

    def left_at(self) -> dict[int, float]:
        """By index of an entry: when the last of its answers left, monotonic seconds; once it has ended."""
        last: dict[int, float] = {}
        for line in self.left.read_text().splitlines():
            index, at = line.split()
            if index != "None":
                last[int(index)] = max(float(at), last.get(int(index), 0.0))
        return last


@contextmanager
def running(site: MemberSite, names: Sequence[str], **changes: Any) -> Iterator[list[Replica]]:
    """Replicas of one member on one machine."""
    processes = []
    try:
        for name in names:
            process = subprocess.Popen(
                [sys.executable, "-c", OBSERVED + PROGRAM, str(_left(site, name))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdin is not None
            settings = site.settings.model_copy(update={"replica": name} | changes)
            process.stdin.write(settings.model_dump_json())
            process.stdin.close()
            processes.append(process)
        yield [
            Replica(name, each, _ready(each), _left(site, name))
            for name, each in zip(names, processes, strict=True)
        ]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


def _left(site: MemberSite, name: str) -> Path:
    return site.root / f"{name}.left"


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
        scored: By replica, the scores about the subject: when each was asked for, when it arrived, and the
            index of its entry.
        refused: When each replica's first refusal arrived that was asked for after the commit.
        refusals: Refusals by replica.
    """

    subject: str
    committed: float = float("inf")
    scored: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.request = request_for(self.subject, BYSTANDER)

    def arrived_s(self) -> list[float]:
        """For each replica, how long after the commit its last score arrived; 0 if before."""
        lasts = (max(arrived for _, arrived, _ in found) for found in self.scored.values())
        return [max(last - self.committed, 0.0) for last in lasts]

    def left_s(self, left_at: Mapping[str, Mapping[int, float]]) -> list[float]:
        """Likewise, how long after the commit its last score left the replica.

        Args:
            left_at: By replica, what :meth:`Replica.left_at` says.
        """
        lasts = (max(left_at[name][index] for *_, index in found) for name, found in self.scored.items())
        return [max(last - self.committed, 0.0) for last in lasts]

    def asked_after(self) -> int:
        """How many scores were given to calls that were asked after the commit."""
        return sum(asked >= self.committed for found in self.scored.values() for asked, *_ in found)


@dataclass
class Drill:
    """Streams of calls to all replicas; each call asks about the subject of the trial that is on.

    Attributes:
        site: The member.
        replicas: Its scorers.
        streams: Calls under way at a time, to each.
        callers: In whose name the streams call, one after the other.
    """

    site: MemberSite
    replicas: Sequence[Replica]
    streams: int
    callers: Sequence[str] = (CALLER,)
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
        channels = {
            (replica.name, caller): grpc.aio.secure_channel(replica.address, self.site.credentials(caller))
            for replica in self.replicas
            for caller in self.callers
        }
        tasks = [
            asyncio.create_task(self._stream(replica, channels[replica.name, caller]))
            for replica in self.replicas
            for _, caller in zip(range(self.streams), cycle(self.callers), strict=False)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for channel in channels.values():
                await channel.close()

    async def _stream(self, replica: Replica, channel: grpc.aio.Channel) -> None:
        stub: Any = GRPCInferenceServiceStub(channel)
        while True:
            if not self.trials:
                await asyncio.sleep(0.001)
                continue
            trial, began = self.trials[-1], time.monotonic()
            try:
                answer = await stub.ModelInfer(trial.request, timeout=60)
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
            index = answer.parameters["log_index"].int64_param
            trial.scored.setdefault(replica, []).append((began, arrived, index))
            return
        if began >= trial.committed:
            trial.refused.setdefault(replica, arrived)
        trial.refusals[replica] = trial.refusals.get(replica, 0) + 1
        if len(trial.refusals) == len(self.replicas) and min(trial.refusals.values()) >= LAST_CALLS:
            trial.done.set()

    def left_s(self) -> list[float]:
        """For each trial and replica, how long after the commit the last score left; replicas have ended."""
        left_at = {replica.name: replica.left_at() for replica in self.replicas}
        return [value for trial in self.trials for value in trial.left_s(left_at)]

    def asked_after(self) -> int:
        """How many scores were given to calls that were asked after the commit of their withdrawal."""
        return sum(trial.asked_after() for trial in self.trials)

    def report(self, bound_s: float) -> dict[str, Any]:
        """How late scores came, over all trials and replicas, in milliseconds; replicas have ended.

        Args:
            bound_s: What they are set to keep to.
        """
        left = self.left_s()
        arrived = [value for trial in self.trials for value in trial.arrived_s()]
        refused = [at - trial.committed for trial in self.trials for at in trial.refused.values()]
        return {
            "trials": len(self.trials),
            "replicas": len(self.replicas),
            "streams": self.streams * len(self.replicas),
            "calls": self.calls,
            "refused_as_stale": self.stale,
            "bound_ms": bound_s * 1000,
            "scores_to_calls_asked_after_the_commit": self.asked_after(),
            "scores_that_left_after_the_bound": sum(value > bound_s for value in left),
            "scores_that_arrived_after_the_bound": sum(value > bound_s for value in arrived),
            "last_score_left_after_commit_ms": _distribution(left),
            "last_score_arrived_after_commit_ms": _distribution(arrived),
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
