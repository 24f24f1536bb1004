"""Threads, processes and kill -9: a witness never signs two roots of one size, and forgets nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.audit.witness_tools import LOG_KEY, ORIGIN, History

from hanse.audit.witness import Witness
from hanse.audit.witness_rules import WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.crypto.cosigning import CosignerKey, read_cosignatures

TOOL = Path(__file__).with_name("witness_tools.py")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "witness.key"
    CosignerKey.generate("member.example/witness", "ed25519").save(path)
    WitnessState.create(tmp_path / "witness.db")
    return path


def start(key_file: Path, mode: str, *variants: str) -> list[subprocess.Popen[str]]:
    """Starts a witness for each variant; all begin when all are there."""
    command = [sys.executable, str(TOOL), str(key_file.with_suffix(".db")), str(key_file), mode]
    started = [
        subprocess.Popen([*command, variant], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for variant in variants
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return started


def told(started: subprocess.Popen[str]) -> Iterator[tuple[str, int, str]]:
    """What a process said, in whole lines."""
    assert started.stdout is not None
    for line in started.stdout.read().splitlines(keepends=True):
        if line.endswith("\n"):
            word, size, rest = line.split()
            yield word, int(size), rest


def signed(started: subprocess.Popen[str]) -> dict[int, str]:
    return {size: root for word, size, root in told(started) if word == "cosigned"}


def witness_of(key_file: Path) -> Witness:
    state = WitnessState.open(key_file.with_suffix(".db"))
    return Witness(ORIGIN, [LOG_KEY.verifier], CosignerKey.load(key_file), state)


def test_killed_before_it_was_kept(key_file: Path) -> None:
    (dying,) = start(key_file, "before", "a")
    assert dying.wait(30) == -signal.SIGKILL
    assert signed(dying) == {}
    assert witness_of(key_file).newest is None


def test_killed_between_keeping_and_answering(key_file: Path) -> None:
    """Nobody was told, and yet the other history is refused; the same one is cosigned when asked again."""
    (dying,) = start(key_file, "between", "a")
    assert dying.wait(30) == -signal.SIGKILL
    assert signed(dying) == {}
    again = witness_of(key_file)
    assert again.newest is not None
    assert again.newest.checkpoint.size == 1
    with pytest.raises(WitnessRefusal) as caught:
        again.add_checkpoint(1, (), History.of(400, "b").note(1))
    assert (caught.value.kind, caught.value.convicts) == ("fork", True)
    line = again.add_checkpoint(1, (), History.of(400, "a").note(1))
    note = History.of(400, "a").note(1) + line.encode()
    assert len(read_cosignatures(note, [CosignerKey.load(key_file).verifier])) == 1


def test_processes_with_two_histories(key_file: Path) -> None:
    """Four processes of one key, two for each history: one history is cosigned, the other never."""
    racing = start(key_file, "run", *"abab")
    time.sleep(1)
    for started in racing:
        started.kill()
    answers = [list(told(started)) for started in racing]
    roots = {(size, root) for told_ones in answers for word, size, root in told_ones if word == "cosigned"}
    assert roots
    assert len({size for size, _ in roots}) == len(roots)  # one root for each size
    winners = {variant for variant in "ab" if all((size, root) in roots_of(variant) for size, root in roots)}
    assert len(winners) == 1
    assert any(word == "refused" for told_ones in answers for word, _, _ in told_ones)


def roots_of(variant: str) -> set[tuple[int, str]]:
    history = History.of(400, variant)
    return {(size, history.root(size).hex()) for size in range(1, 400)}


def test_threads_with_two_histories(key_file: Path) -> None:
    histories = [History.of(12, variant) for variant in "ab"]
    together = threading.Barrier(6)

    def ask(number: int) -> list[tuple[int, bytes]]:
        history, done = histories[number % 2], []
        together.wait()
        for size in range(1, 13):
            try:
                history.show(witness_of(key_file), size)
            except WitnessRefusal:
                continue
            done.append((size, history.root(size)))
        return done

    with ThreadPoolExecutor(6) as pool:
        roots = {pair for done in pool.map(ask, range(6)) for pair in done}
    assert len({size for size, _ in roots}) == len(roots) > 0
    assert any(roots <= {(size, history.root(size)) for size in range(1, 13)} for history in histories)


@pytest.mark.slow
def test_kill_9_under_load(key_file: Path) -> None:
    """Whatever was answered is remembered, and no size has two roots, however often processes die."""
    answered: dict[int, str] = {}
    patience_s = 0.0  # grows on a machine where nothing is answered in the time
    for cycle in range(12):
        known = len(answered)
        pair = start(key_file, "run", *"ab")
        time.sleep(patience_s + 0.05 + cycle * 0.07 % 0.3)
        for started in pair:
            os.kill(started.pid, signal.SIGKILL)
            for size, root in signed(started).items():
                assert answered.setdefault(size, root) == root, cycle
        newest = witness_of(key_file).newest
        if answered:
            assert newest is not None
            assert newest.checkpoint.size >= max(answered)
            assert newest.checkpoint.root.hex() == answered.get(
                newest.checkpoint.size, newest.checkpoint.root.hex()
            )
        patience_s += 0.5 if len(answered) == known else 0.0
    assert len(answered) > 10
