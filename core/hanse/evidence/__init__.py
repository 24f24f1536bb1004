"""Evidence packages: what a site hands to a reviewer who trusts nobody's machine but their own.

* :mod:`hanse.evidence.source`: a log at one of its checkpoints.
* :mod:`hanse.evidence.package`: the archive.
* :mod:`hanse.evidence.report`, :mod:`~hanse.evidence.tables`, :mod:`~hanse.evidence.crate`: for people.
* :mod:`hanse.evidence.verify`: the check, in one file that needs nothing of Hanse; a copy is in each package.
"""

from hanse.evidence.package import build_package
from hanse.evidence.source import Evidence, at_checkpoint, collect
from hanse.evidence.trust import policy_of

__all__ = ["Evidence", "at_checkpoint", "build_package", "collect", "policy_of"]
