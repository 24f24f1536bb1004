"""A member of the benchmark of trees: ``member.py SETTING``.

It answers until the coordinator ends the phase.
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from growing.shared import Setting, contributor
from hanse.aggregation import Contributor, Query, Scoped, SumHistory, Vector
from hanse.api.v1 import round_pb2 as pb
from hanse.client.exchange import open_exchange
from hanse.client.home import MemberHome
from hanse.client.sums import MemberSums
from hanse.crypto import SigningKey
from hanse.errors import HanseError, PolicyError
from sums.wire import PHASE, RUN, agreed

WORK = "0" * 64
IDLE_S = 300.0


class Leaving:
    """Answers so many questions, and no more."""

    def __init__(self, own: Contributor, questions: int) -> None:
        self._own = own
        self._left = questions

    def contribute(self, query: Query) -> Vector:
        """Answers, or refuses."""
        self._left -= 1
        if not self._left:
            raise PolicyError("policy.cohort", "as the benchmark wants it")
        return self._own.contribute(query)


def session_of(member: str, roster: dict[str, str]) -> Any:  # noqa: ANN401 - what sums need of a session
    """A session of a run that the site does not leave."""
    terms, left = agreed(roster), SimpleNamespace(require_in=lambda _: None)
    return SimpleNamespace(
        agreed_terms=lambda: terms,
        member=member,
        run=RUN,
        sums=SumHistory(),
        tools=SimpleNamespace(left=left),
    )


def main() -> None:
    """Answers, and writes the processor time that it took."""
    path = Path(sys.argv[1])
    setting = Setting.load(path)
    names = sorted(setting.roster)
    own = contributor(setting.trees, slice(names.index(setting.member), None, len(names)))
    home = MemberHome(Path(setting.folder) / setting.member)
    session = session_of(setting.member, setting.roster)
    scoped = Scoped(Leaving(own, setting.leaves), WORK)
    part = MemberSums(session, SigningKey.load(home.node_key), scoped)
    begun_s = time.process_time()
    try:
        with open_exchange(home, setting.address, RUN, PHASE) as channel:
            part.take_part(channel, pb.Ready(), IDLE_S)
    except HanseError as error:
        if error.code != "policy.cohort":
            raise
    path.with_suffix(".seconds").write_text(str(time.process_time() - begun_s), encoding="utf-8")


if __name__ == "__main__":
    main()
