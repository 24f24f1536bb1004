"""Answers a label holder about people whom it scores with a vertical model: the feature holder's side.

Use it as :func:`run_part` with :class:`PartSettings`. Nothing in this package imports torch.

* :mod:`hanse.server.parts.table`: of whom there is an answer.
* :mod:`hanse.server.parts.answering`: who may ask about whom, what is logged, what is said.
* :mod:`hanse.server.parts.service`, :mod:`hanse.server.parts.server`: how gRPC reaches it.
"""

from hanse.server.parts.server import run_part, serve_part
from hanse.server.parts.settings import PartSettings
from hanse.server.parts.table import PartData

__all__ = ["PartData", "PartSettings", "run_part", "serve_part"]
