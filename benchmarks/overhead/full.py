"""The whole Hanse round, of real member nodes on real rows: admission, DP-SGD, evaluation, durable logs."""

import statistics
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from hanse.client.drafting import Draft
from hanse.client.remote import CoordinatorClient
from hanse.demo.data import load
from hanse.demo.federation import Federation
from hanse.demo.orchestrate import DELTA, MINIMUM_ROWS, PURPOSE, SCORING_PURPOSE
from hanse.demo.partition import partition
from hanse.demo.processes import Processes
from hanse.learning import recommend
from hanse.policies import DEFAULT_PACKS, builtin_pack

EPSILON = 3.0


def full_round_s(folder: Path, warm_up: int, rounds: int) -> float:
    """Median seconds of a round with two members and the bundled data.

    Args:
        folder: Empty folder for the sites.
        warm_up: Rounds to leave out.
        rounds: Rounds to measure.
    """
    data = load()
    members = partition(data, 2)
    federation = Federation(folder, members, datetime.now(UTC))
    federation.make_keys()
    federation.write_data(PURPOSE, SCORING_PURPOSE, np.random.default_rng())
    recipe = recommend("logistic", len(members[0].rows), 2, EPSILON)
    draft = Draft(
        identifier="overhead",
        title="Round overhead",
        proposer="proposer",
        auditor="auditor",
        columns=data.dictionary.columns,
        label=data.dictionary.label,
        positive=data.dictionary.positive,
        training=recipe.model_copy(update={"rounds": warm_up + rounds}),
        epsilon=EPSILON,
        delta=DELTA,
        minimum_rows=MINIMUM_ROWS,
        minimum_members=2,
        callers=["crm"],
        assessment="benchmark",
        assessor="data protection office",
        packs=[builtin_pack(name).reference for name in DEFAULT_PACKS],
    )
    _, note = federation.agree(draft)
    with Processes(folder / "output") as processes:
        federation.start(processes)
        ends_s = _follow(federation, note)
    return statistics.median(later - earlier for earlier, later in pairwise(ends_s[warm_up - 1 :]))


def _follow(federation: Federation, note: bytes) -> list[float]:
    """When each round ended, monotonic seconds."""
    ends_s = []
    with CoordinatorClient(federation.sites[0].home, f"127.0.0.1:{federation.ports.people}") as client:
        for event in client.start(client.submit(note)):
            if event.type == "round.aggregated":
                ends_s.append(time.monotonic())
            if event.type == "run.failed":
                raise RuntimeError(str(event.facts))
    return ends_s
