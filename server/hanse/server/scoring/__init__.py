"""The scorer: answers scores over the Open Inference Protocol, to callers and about subjects that may be.

Use it as :func:`run_scorer` with :class:`ScoringSettings`. Nothing in this package imports torch.
"""

from hanse.server.scoring.loading import Local
from hanse.server.scoring.operation import Operation
from hanse.server.scoring.server import run_scorer, serve
from hanse.server.scoring.settings import RegistrySettings, ScoringSettings

__all__ = ["Local", "Operation", "RegistrySettings", "ScoringSettings", "run_scorer", "serve"]
