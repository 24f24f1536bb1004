"""A run whose agreement has no dealer: the same model, and nothing begun where the library is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import copy_of, open_federation, utc_now
from tests.vertical.trees_run import need_homomorphic

from hanse.client.vertical.kinds import trees
from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.errors import ConfigurationError, TrainingError
from hanse.policies import Trust
from hanse.server.party import RunContext
from hanse.server.rounds import Means
from hanse.server.vertical.run import VerticalOutcome, VerticalRun

PURPOSES = ("joint_modelling.propensity", "scoring.marketing")
ENCRYPTED = Trust(mode="homomorphic", key_bits=2048)


def conducted(folder: Path, *trusts: Trust) -> list[VerticalOutcome]:
    """Runs of the same members under agreements that differ in what they rely on."""
    story = car_story(600, 2, np.random.default_rng(5))
    (folder / "made").mkdir()
    federation = Federation(folder / "made", [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    draft = vertical_draft(story, 1, CALLER)
    assert draft.vertical is not None
    outcomes = []
    for trust in trusts:
        own = copy_of(federation, folder / trust.mode)
        vertical = draft.vertical.model_copy(update={"trust": trust})
        built = open_federation(own, own.agree(replace(draft, vertical=vertical))[1])
        with built.hub:
            record = built.book.new("abcdef", frozenset(built.nodes))
            context = RunContext(record.run, built.signed, built.signed.note)
            means = Means(built.transport(), built.hub, built.statements)
            run = VerticalRun(context, means, built.key, record)
            try:
                outcomes.append(run.conduct())
            finally:
                run.finish("", "", "run.cancelled")
    return outcomes


@pytest.mark.slow
def test_a_run_without_a_dealer_gives_the_same_scores(tmp_path: Path) -> None:
    need_homomorphic()
    dealer = Trust(mode="dealer", dealer="coordinator", coordinator_colludes_with_no_member=True)
    dealt, encrypted = conducted(tmp_path, dealer, ENCRYPTED)
    assert encrypted.aligned == dealt.aligned
    assert encrypted.figures == pytest.approx(dealt.figures, rel=1e-9)  # sums in another order of people
    assert not any(encrypted.dealt.values())
    (report,) = encrypted.leakage
    assert report.leaked <= max(0.6, report.chance)


def test_without_the_library_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ConfigurationError("config.invalid", "install it")

    monkeypatch.setattr(trees, "require_library", missing)
    with pytest.raises(TrainingError) as refused:
        conducted(tmp_path, ENCRYPTED)
    assert refused.value.code == "run.insufficient-members"
    for log in tmp_path.glob("homomorphic/*/state/audit.db"):
        assert b"alignment.entered" not in log.read_bytes()
