"""A member of the horizontal benchmark, a process of its own: ``member.py SETTING``.

It answers until the coordinator ends the phase.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from growing.member import IDLE_S, WORK, session_of
from hanse.aggregation import Contributor, Scoped
from hanse.api.v1 import round_pb2 as pb
from hanse.client.exchange import open_exchange
from hanse.client.home import MemberHome
from hanse.client.sums import MemberSums
from hanse.crypto import SigningKey
from hanse.learning import Transform
from horizontal_parts.linear import LinearArm
from horizontal_parts.processes import Setting
from horizontal_parts.trees import TreesArm
from real_data import Fold, read
from sums.wire import PHASE, RUN


def main() -> None:
    """Answers."""
    torch.set_num_threads(1)
    setting = Setting.load(Path(sys.argv[1]))
    home = MemberHome(Path(setting.folder) / setting.member)
    session = session_of(setting.member, setting.roster)
    part = MemberSums(session, SigningKey.load(home.node_key), Scoped(contributor(setting), WORK))
    with open_exchange(home, setting.address, RUN, PHASE) as channel:
        part.take_part(channel, pb.Ready(), IDLE_S)


def contributor(setting: Setting) -> Contributor:
    """This member's half."""
    fold, rows = Fold(read(Path(setting.data)), setting.fold), np.array(setting.rows, dtype=np.intp)
    if setting.model == "trees":
        return TreesArm(fold).contributor(rows)
    return LinearArm(fold).contributor(Transform.from_json(setting.fitted.encode()), rows)


if __name__ == "__main__":
    main()
