"""What a member does in a vertical run by the kind of model that is trained.

* :mod:`hanse.client.vertical.kinds.kind`: what every kind has.
* :mod:`hanse.client.vertical.kinds.trees`, :mod:`hanse.client.vertical.kinds.scorecard`,
  :mod:`hanse.client.vertical.kinds.late_fusion`, :mod:`hanse.client.vertical.kinds.split_network`: the kinds.
"""

from collections.abc import Callable, Mapping
from typing import Final

from hanse.client.vertical.kinds.kind import Conversations, Files, Kind, Site
from hanse.client.vertical.kinds.late_fusion import LateFusion
from hanse.client.vertical.kinds.scorecard import Scorecard
from hanse.client.vertical.kinds.trees import Keeping, Trees
from hanse.errors import TrainingError


def _split_network(site: Site) -> Kind:
    # Imported now: it loads torch, which the others do not need.
    from hanse.client.vertical.kinds.split_network import SplitNetwork  # noqa: PLC0415

    return SplitNetwork(site)


_KINDS: Final[Mapping[str, Callable[[Site], Kind]]] = {
    "scorecard": Scorecard,
    "late_fusion": LateFusion,
    "split_network": _split_network,
}


def kind_of(site: Site, keeping: Keeping) -> Kind:
    """What a member does in a run.

    Args:
        site: Of the run.
        keeping: Where trees keep how far a run has come.

    Raises:
        TrainingError: ``run.unsupported`` for a model that members do not train on each other's columns.
    """
    model = site.agreement.training.model
    if model == "trees":
        return Trees(site, keeping)
    if model not in _KINDS:
        raise TrainingError("run.unsupported", f"a vertical run of a model that is {model}")
    return _KINDS[model](site)


__all__ = ["Conversations", "Files", "Keeping", "Kind", "Site", "Trees", "kind_of"]
