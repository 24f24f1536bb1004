"""A brand and an insurer who have agreed to grow trees over the columns of both; no process runs yet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.conftest import utc_now

from hanse.demo.federation import CALLER, Federation
from hanse.demo.orchestrate import PURPOSE, SCORING_PURPOSE
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.policies import Agreement


def agreed_on_trees(
    folder: Path, people: int, trees: int, patience_s: int
) -> tuple[Federation, Agreement, bytes]:
    """Makes the sites, and the agreement that both have signed.

    Args:
        folder: For all of it; made here.
        people: In the story.
        trees: Of the model.
        patience_s: How long a run waits for whoever is gone, seconds.

    Returns:
        The federation, the agreement, and the note with its signatures.
    """
    folder.mkdir()
    story = car_story(people, 2, np.random.default_rng(5))
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(PURPOSE, SCORING_PURPOSE, np.random.default_rng(7))
    drafted = vertical_draft(story, trees, CALLER)
    assert drafted.vertical is not None
    rules = drafted.vertical.alignment.model_copy(update={"runs": 1000})
    training = drafted.training.model_copy(update={"round_timeout_s": patience_s})
    vertical = drafted.vertical.model_copy(update={"alignment": rules})
    return federation, *federation.agree(replace(drafted, training=training, vertical=vertical))
