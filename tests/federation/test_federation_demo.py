"""`hanse demo` as a visitor runs it: to its end, twice in the same folder, and with Ctrl-C half way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hanse.demo.results import DemoResult

pytestmark = [pytest.mark.federation, pytest.mark.timeout(600)]


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "hanse.cli", "demo", "--folder", str(folder), *arguments]


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name the folder."""
    lines = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                lines.append(line)
    return lines


def test_the_demo_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder, out = tmp_path / "demo", tmp_path / "out.json"
    # A relative folder, as the default is.
    done = subprocess.run(
        command(Path("demo"), "--members", "2", "--json", "out.json"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("Rounds", "Members", "Summary", "report:"):
        assert title in done.stdout
    result = DemoResult.from_json(out.read_bytes())
    assert json.loads(out.read_bytes())["model"]["name"] == "propensity@1"
    assert len(result.rounds) == result.agreement.rounds
    assert [call.allowed for call in result.scoring] == [True, False]
    assert all(log.verified for log in result.logs)
    assert len(result.logs) == 3
    assert {rule for member in result.members for rule in member.excluded_by_rule} >= {"P01", "P02", "P10"}
    assert all(member.epsilon is not None and member.epsilon <= 3.0 for member in result.members)
    report = (folder / "report.html").read_text()
    assert report.count("<svg") >= 4
    assert processes_of(folder) == []


def told_to_end(folder: Path, number: signal.Signals, sign: str) -> str:
    """Runs the demo until there is a file, tells it to end, and returns what it printed."""
    for path in folder.glob(sign):  # of the demo before
        path.unlink()
    demo = subprocess.Popen(
        command(folder, "--members", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that starts the tests in its background has them, and all they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads yet
    )
    deadline_s = time.monotonic() + 300
    while not list(folder.glob(sign)):
        assert demo.poll() is None, demo.communicate()[0]
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    demo.send_signal(number)
    printed, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, printed  # what shells call the end by Ctrl-C
    return printed


def test_ctrl_c_stops_every_process_and_the_folder_can_be_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told_to_end(folder, signal.SIGINT, "hub/state/runs/*/round-0001.state")
    assert processes_of(folder) == []
    # Files that appear whole are written under a name with a dot first.
    halves = [path for path in folder.rglob(".*") if path.name != ".hanse-demo"]
    assert halves == []
    for number in (signal.SIGINT, signal.SIGTERM):
        told_to_end(folder, number, "propensity.agreement")
        assert processes_of(folder) == []
