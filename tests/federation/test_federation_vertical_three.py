"""Brand, insurer and media house grow trees together, a process each; each is killed in one phase.

That whoever is killed in whichever phase is in tests/soak/test_soak_vertical.py.
"""

from pathlib import Path

import pytest
from tests.federation.conftest import Running
from tests.federation.kill_drill import Drill, Kill
from tests.federation.vertical_sites import agreed_on
from tests.soak.test_soak_vertical import PHASES, check

from hanse.client.progress import failure
from hanse.demo.processes import Processes

pytestmark = [pytest.mark.federation, pytest.mark.slow, pytest.mark.timeout(400)]

PEOPLE, TREES, PATIENCE_S = 2000, 20, 60


def test_of_three_that_are_killed_one_ends_a_run_and_the_next_one_survives_two(tmp_path: Path) -> None:
    folder = tmp_path / "federation"
    federation, signed = agreed_on(folder, PEOPLE, {"trees": TREES}, PATIENCE_S, members=3)
    with Processes(tmp_path / "output") as processes:
        federation.start(processes)
        running = Running(federation, signed["trees"].agreement, signed["trees"], processes)
        drill = Drill(running)
        ended = drill.run(Kill("insurer", *PHASES["align"], 0.0))
        assert ended.how == "run.insufficient-members", ended
        left = [event.facts["member"] for event in ended.events if event.type == "member.left"]
        assert left == ["insurer"]
        assert " ended in the preparation: " in str(failure(ended.events))
        check(running, drill, ended)

        ended = drill.run(Kill("media", *PHASES["train"], 0.0), Kill("brand", *PHASES["evaluate"], 0.0))
        assert ended.how == "finished", ended
        gone = [event.facts.get("gone") for event in ended.events if event.type == "run.resumed"]
        assert gone[0] == "media"
        assert set(gone[1:]) <= {"brand"}  # the evaluation may be over before the process is
        check(running, drill, ended, after=True)
