"""Serves a site as `hanse serve` does; the argument is a file with the settings."""

import sys
from pathlib import Path

from hanse.server.scoring import ScoringSettings, run_scorer

run_scorer(ScoringSettings.model_validate_json(Path(sys.argv[1]).read_bytes()))
