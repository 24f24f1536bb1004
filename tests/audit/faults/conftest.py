"""Processes that write to a log and are made to fail; and what must hold of the log whatever they did."""

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hanse.audit import Actor, AuditLog, Event, EventType, TreeHashes, VerifiedLog, root_at, verify_log
from hanse.audit.checkpoint import open_checkpoint, parse_checkpoint
from hanse.crypto import SigningKey, unverified_text

ROOT = Path(__file__).resolve().parents[3]
SERVER = "tests.audit.faults.fault_server"
PATIENCE_S = 30.0


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Looks again and again; fails after a while."""
    end_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.001)


@dataclass
class Process:
    """One writer, as seen from outside."""

    pid: int
    output: Path

    def lines(self) -> list[list[str]]:
        """What it told so far; a last line without its end was never told."""
        text = self.output.read_text() if self.output.exists() else ""
        return [line.split() for line in text.split("\n")[:-1]]

    def told(self, word: str) -> list[list[str]]:
        return [rest for first, *rest in self.lines() if first == word]

    def acknowledged(self) -> list[str]:
        """The commits that were acknowledged, by the names that the scene gives them."""
        return [run.removesuffix(f"-{self.pid}") for *_, run in self.told("ack")]

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def was_killed(self) -> bool:
        return not self.alive and not self.told("done")

    def wait_until_told(self, word: str, times: int = 1) -> None:
        wait_for(lambda: len(self.told(word)) >= times or not self.alive, word)

    def kill(self) -> None:
        """``kill -9``; returns once it is gone."""
        assert self.alive, f"it had ended already: {self.lines()[-2:]}"
        os.kill(self.pid, signal.SIGKILL)
        self.join()

    def join(self) -> None:
        wait_for(lambda: not self.alive, "the end of a writer")
        assert not self.told("failed"), self.told("failed")


@dataclass
class Site:
    """A log, writers to it, and all that they ever told about it.

    Attributes:
        place: The log.
        key: Its key.
        leaves: Its entries as the last check found them: none of them may ever change.
    """

    place: Path | str
    key: SigningKey
    folder: Path
    server: "subprocess.Popen[str]"
    leaves: list[bytes] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _unchecked: list[Process] = field(default_factory=list)
    _owners: dict[int, str] = field(default_factory=dict)

    def begin_anew(self) -> None:
        """An empty log in another file."""
        assert not any(process.alive for process in self.processes)
        self.place = self.folder / f"audit-{next(self._numbers)}.db"
        self.processes, self.leaves, self._unchecked, self._owners = [], [], [], {}
        AuditLog.create(self.place, self.key.name, self.key)

    def start(self, scene: str, **details: Any) -> Process:
        """Forks a writer."""
        output = self.folder / f"writer-{next(self._numbers)}"
        task = {"place": str(self.place), "key": str(self.folder / "log.key"), "output": str(output)}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({**task, "scene": scene, **details}) + "\n")
        self.server.stdin.flush()
        process = Process(int(self.server.stdout.readline()), output)
        self.processes.append(process)
        self._unchecked.append(process)
        return process

    def run(self, scene: str, **details: Any) -> Process:
        """Forks a writer and waits for its end."""
        process = self.start(scene, **details)
        process.join()
        return process

    def reopen(self) -> AuditLog:
        actor = Actor(organisation="Brand", key_id=self.key.verifier.key_id, role="auditor")
        return AuditLog.open(self.place, self.key, actor)

    def check(self, *, detailed: bool = True) -> VerifiedLog:
        """Everything that must hold after any fault; then appending goes on."""
        verified = verify_log(self.place, self.key.verifier, detailed=detailed)
        leaves = list(verified.leaves)
        assert leaves[: len(self.leaves)] == self.leaves, "an entry that was there before has changed"
        for process in self._unchecked:
            self._check_acknowledged(process, leaves)
            self._check_handed_out(process, leaves)
        self._unchecked = []
        self._append(leaves)
        return verified

    def _check_acknowledged(self, process: Process, leaves: list[bytes]) -> None:
        """Each acknowledged entry is there, and no index was acknowledged twice."""
        for first, end, run in process.told("ack"):
            for index in range(int(first), int(end)):
                assert self._owners.setdefault(index, run) == run, f"entry {index} was acknowledged to two"
                assert index < len(leaves), f"acknowledged entry {index} is lost"
                assert f'"run":"{run}"'.encode() in leaves[index], f"another entry is at {index}"

    def _check_handed_out(self, process: Process, leaves: list[bytes]) -> None:
        """Every checkpoint that was handed out is one of this history."""
        hashes = TreeHashes.of_leaves(leaves)
        notes = [base64.b64decode(note) for (note,) in process.told("note")]
        for note in notes:
            stated = parse_checkpoint(unverified_text(note))
            assert root_at(stated.size, hashes) == stated.root, f"two histories of {stated.size} entries"
        for note in notes[-1:]:
            open_checkpoint(note, self.key.verifier)

    def _append(self, leaves: list[bytes]) -> None:
        """Opens the log again and appends.

        A commit that was whole on the disk when its process was killed can be seen only now: SQLite looks for
        it when nobody else has the database open.
        """
        log = self.reopen()
        assert log.size >= len(leaves)
        (index,) = log.append(Event(type=EventType.RUN_STARTED, run="check"))
        assert index not in self._owners, "the index was acknowledged before"
        after = verify_log(self.place, self.key.verifier, since=log.checkpoint(), detailed=False)
        log.close()
        self.leaves = list(after.leaves)
        assert len(self.leaves) == index + 1
        assert self.leaves[: len(leaves)] == leaves


@pytest.fixture(scope="session")
def fault_server() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", SERVER]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def database_site(
    database: str, tmp_path: Path, key: SigningKey, fault_server: "subprocess.Popen[str]"
) -> Iterator[Site]:
    """An empty log in PostgreSQL."""
    yield from _site(Site(database, key, tmp_path, fault_server))


@pytest.fixture
def site(tmp_path: Path, key: SigningKey, fault_server: "subprocess.Popen[str]") -> Iterator[Site]:
    """An empty log in a file."""
    yield from _site(Site(tmp_path / "audit.db", key, tmp_path, fault_server))


def _site(made: Site) -> Iterator[Site]:
    made.key.save(made.folder / "log.key")
    AuditLog.create(made.place, made.key.name, made.key)
    yield made
    for process in made.processes:
        if process.alive:
            process.kill()
