"""The demo is told to end at awkward places: it ends, and so do its processes."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hanse.demo.interruption import SIGNALS, Interruption, heed, undisturbed
from hanse.demo.processes import Processes
from hanse.demo.steps import Steps

SLEEPER = ["-c", "import time; print('ready', flush=True); time.sleep(600)"]


@pytest.fixture(params=SIGNALS)
def told(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Tells this process to end, as a person or a supervisor would."""
    return lambda: signal.raise_signal(request.param)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    found = [signal.getsignal(number) for number in SIGNALS]
    before: list[Any] = [
        signal.default_int_handler,
        signal.SIG_DFL,
    ]  # in the background a shell has Ctrl-C ignored
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    yield
    after = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, found, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Has :class:`Processes` start sleepers in the place of ``hanse``; returns them."""
    started: list[Any] = []
    popen: Callable[..., Any] = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        process = popen([command[0], *SLEEPER], **options)
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@contextmanager
def interrupted() -> Iterator[None]:
    """A block that is told to end, and does."""
    try:
        with Interruption():
            yield
    except KeyboardInterrupt:
        return
    pytest.fail("it was told to end, and went on")


class Dying:
    """Tells while the interpreter lets go of it, when no exception gets anywhere."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def __del__(self) -> None:
        self._tell()


def in_a_destructor(tell: Callable[[], None]) -> None:
    Dying(tell)


def in_the_garbage_collector(tell: Callable[[], None]) -> None:
    dying = Dying(tell)
    dying.itself = dying  # type: ignore[attr-defined]
    del dying
    gc.collect(0)


def in_a_callback_of_a_weak_reference(tell: Callable[[], None]) -> None:
    thing = threading.Event()
    reference = weakref.ref(thing, lambda _: tell())
    del thing
    assert reference() is None


def in_a_library_that_goes_on(tell: Callable[[], None]) -> None:
    with suppress(BaseException):
        tell()


LOSSES = (
    in_a_destructor,
    in_the_garbage_collector,
    in_a_callback_of_a_weak_reference,
    in_a_library_that_goes_on,
)
swallowed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@swallowed
@pytest.mark.parametrize("lose", LOSSES)
def test_a_signal_whose_exception_is_lost_is_heeded_all_the_same(
    told: Callable[[], None], lose: Callable[[Callable[[], None]], None]
) -> None:
    after = []
    with interrupted():
        lose(told)
        after.append("the exception was lost")
        heed()
        after.append("so was the signal")
    assert after == ["the exception was lost"]


@swallowed
@pytest.mark.parametrize("lose", LOSSES)
def test_the_block_does_not_end_as_if_nothing_was_said(
    told: Callable[[], None], lose: Callable[[Callable[[], None]], None]
) -> None:
    with interrupted():
        lose(told)


def test_no_step_begins_and_none_is_done_after_a_loss(told: Callable[[], None]) -> None:
    for quiet in (False, True):
        console = Console(record=True, force_terminal=False, width=80)
        done = []
        with interrupted():
            with Steps(console, quiet=quiet).step("first"):
                in_a_library_that_goes_on(told)
            with Steps(console, quiet=quiet).step("second"):
                done.append("second")
        assert not done
        assert "✓" not in console.export_text()


def test_it_interrupts_what_is_under_way(told: Callable[[], None]) -> None:
    with interrupted():
        told()
        pytest.fail("it went on")


def test_a_wait_for_a_process_ends_though_the_exception_is_lost(
    told: Callable[[], None], sleepers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    with interrupted(), Processes(tmp_path) as processes:
        processes.start("one", [], {})
        in_a_library_that_goes_on(told)
        processes.wait_until_ready("one")
    assert [process.returncode for process in sleepers] == [-signal.SIGTERM]


def test_a_process_that_was_being_started_is_stopped_too(
    told: Callable[[], None],
    sleepers: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen

    def tell_within(*args: Any, **options: Any) -> Any:
        process = start(*args, **options)
        told()  # it runs, and nobody but this function knows
        return process

    monkeypatch.setattr(subprocess, "Popen", tell_within)
    with interrupted(), Processes(tmp_path) as processes:
        processes.start("one", [], {})
        processes.start("two", [], {})
    assert [process.returncode for process in sleepers] == [-signal.SIGTERM]


def test_stopping_is_not_cut_short(
    told: Callable[[], None],
    sleepers: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with interrupted(), Processes(tmp_path) as processes:
        for name in ("one", "two"):
            processes.start(name, [], {})
        for process in sleepers:
            ending = process.wait

            def tell_within(timeout: float | None = None, ending: Any = ending) -> int:
                told()
                code: int = ending(timeout)
                return code

            monkeypatch.setattr(process, "wait", tell_within)
    assert [process.returncode for process in sleepers] == [-signal.SIGTERM] * 2


def test_a_second_signal_while_the_first_ends_things_changes_nothing(
    told: Callable[[], None], sleepers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    with interrupted(), Processes(tmp_path) as processes:
        processes.start("one", [], {})
        try:
            told()
        finally:
            in_a_library_that_goes_on(told)
    assert sleepers[0].returncode == -signal.SIGTERM


def test_undisturbed_work_is_done_first(told: Callable[[], None]) -> None:
    done = []
    with interrupted():
        with undisturbed():
            told()
            heed()
            done.append("all of it")
        heed()
        done.append("more")
    assert done == ["all of it"]


def test_an_error_of_the_demo_s_own_is_what_they_see(told: Callable[[], None]) -> None:
    def fail() -> None:
        with Interruption():
            in_a_library_that_goes_on(told)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_where_nobody_listens_nothing_changes() -> None:
    heed()
    with undisturbed():
        heed()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption():
            os.kill(os.getpid(), signal.SIGINT)  # as below nohup
            heed()
    finally:
        signal.signal(signal.SIGINT, before)
    entered = []

    def elsewhere() -> None:
        with Interruption() as interruption:
            entered.append(interruption)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(entered) == 1


EARLY = """
import signal, sys
from contextlib import suppress
from hanse.cli.__main__ import main

class Early:
    def find_spec(self, name, *_):
        if name == "hanse.cli.main":
            with suppress(BaseException):
                signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Early())
main()
"""


def test_ctrl_c_while_the_commands_are_imported_ends_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, check=False)
    assert done.returncode == -signal.SIGINT
