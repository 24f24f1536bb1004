"""A vertical run between processes, as ``hanse demo --vertical`` starts them."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from hanse.demo.vertical.orchestrate import VerticalOptions, run_vertical
from hanse.learning.vertical.recipe import VerticalModel

pytestmark = [pytest.mark.federation, pytest.mark.slow]


@pytest.mark.parametrize("model", ["trees", "scorecard"])
def test_members_learn_together_and_the_logs_tell_one_story(tmp_path: Path, model: VerticalModel) -> None:
    options = VerticalOptions(None, 2, 2000, 8, tmp_path / "demo", tmp_path / "result.json", model)
    result = run_vertical(options, Console(quiet=True))
    manifest = result.model.manifest
    assert manifest.aligned == result.rivals.people > 0
    assert set(manifest.parts) == {"brand", "insurer"}
    assert result.model.part is not None
    assert result.findings == ()
    told = json.loads((tmp_path / "result.json").read_text())
    # The same model as in one place, up to bins that were merged to hide few people, and whole points.
    assert abs(told["auc"]["joint"] - told["auc"]["pooled"]) < 0.1
    assert [one["party"] for one in told["leakage"]] == ["insurer"]
    assert all(one["sent"][0] + one["sent"][1] > 0 for one in told["conversations"])
