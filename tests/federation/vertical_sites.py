"""Brand, insurer and media house that have agreed on models over the columns of all; no process runs yet."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tests.conftest import utc_now

from hanse.demo.federation import CALLER, Federation
from hanse.demo.orchestrate import PURPOSE, SCORING_PURPOSE
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import Story, car_story
from hanse.learning.vertical.recipe import VerticalModel
from hanse.policies import SignedAgreement, open_agreement

# Of few people, a flipped label may by chance look like more than it is.
_CHANGED: Mapping[VerticalModel, Mapping[str, Any]] = MappingProxyType(
    {"late_fusion": {"maximum_leakage": 0.95}}
)


def agreed_on(
    folder: Path,
    people: int,
    steps: Mapping[VerticalModel, int | None],
    patience_s: int,
    members: int = 2,
) -> tuple[Federation, dict[VerticalModel, SignedAgreement]]:
    """Makes the sites, and the agreements that all have signed.

    Args:
        folder: For all of it; made here.
        people: In the story.
        steps: Kinds of models, and how many trees or steps each has; None for the usual.
        patience_s: How long a run waits for whoever is gone, seconds.
        members: 2 for brand and insurer, 3 with the media house.

    Returns:
        The federation, and the agreement about each kind.
    """
    folder.mkdir()
    story = car_story(people, members, np.random.default_rng(5))
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(PURPOSE, SCORING_PURPOSE, np.random.default_rng(7))
    return federation, {
        model: _agreed(federation, story, model, number, patience_s) for model, number in steps.items()
    }


def _agreed(
    federation: Federation, story: Story, model: VerticalModel, steps: int | None, patience_s: int
) -> SignedAgreement:
    drafted = vertical_draft(story, steps, CALLER, model)
    assert drafted.vertical is not None
    rules = drafted.vertical.alignment.model_copy(update={"runs": 1000})
    training = drafted.training.model_copy(update={"round_timeout_s": patience_s})
    vertical = drafted.vertical.model_copy(update={"alignment": rules, **_CHANGED.get(model, {})})
    name = model.replace("_", "-")
    draft = replace(drafted, identifier=name, training=training, vertical=vertical)
    return open_agreement(federation.agree(draft)[1])
