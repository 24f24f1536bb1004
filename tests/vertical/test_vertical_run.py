"""A whole vertical run in one process: real homes, logs, nodes, exchange and sealed channels."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import LocalFederation, open_federation, utc_now

from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.server.party import RunContext
from hanse.server.rounds import Means
from hanse.server.runs import RunRecord
from hanse.server.vertical.run import VerticalRun

PURPOSES = ("joint_modelling.propensity", "scoring.marketing")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[LocalFederation]:
    """Brand and insurer."""
    story = car_story(1500, 2, np.random.default_rng(5))
    federation = Federation(tmp_path, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    note = federation.agree(vertical_draft(story, 5, CALLER))[1]
    built = open_federation(federation, note)
    with ExitStack() as stack:
        stack.enter_context(built.hub)
        yield built


def begun(built: LocalFederation) -> tuple[VerticalRun, RunRecord]:
    record = built.book.new("abcdef", frozenset(built.nodes))
    context = RunContext(record.run, built.signed, built.signed.note)
    means = Means(built.transport(), built.hub, built.statements)
    return VerticalRun(context, means, built.key, record), record


def test_members_align_train_and_evaluate(two: LocalFederation) -> None:
    run, record = begun(two)
    outcome = run.conduct()
    print(outcome)
