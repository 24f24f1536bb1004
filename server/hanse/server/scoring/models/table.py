"""Which version of a model answers a call: the live one, its canary, or one that is asked for by number."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.errors import ServingError
from hanse.policies.serving import Serving, gets_canary
from hanse.server.scoring.served import Served


@dataclass(frozen=True, slots=True)
class Versions:
    """What is served at one moment. A call is routed by one of these; the next one replaces it whole.

    Attributes:
        state: What was decided.
        served: The versions that are ready, by number.
        refused: Versions that would be served and may not be, by number, with the code that says why.
        live: Number of the version that answers; None if there is none. It is that of the state, unless that
            version could not be taken up: then the one before goes on.
        canary: Number of the canary, if it is ready.
        canary_key: Key of the hash that chooses who gets the canary.
        unloaded: Whether an operator has taken the model out of service.
    """

    state: Serving
    served: Mapping[int, Served] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    live: int | None = None
    canary: int | None = None
    canary_key: bytes = b""
    unloaded: bool = False


class VersionTable:
    """The table of one model (:class:`hanse.server.scoring.served.ModelTable`).

    Args:
        versions: What is served.
        primary: The version that entries name of calls for which none was found.
    """

    def __init__(self, versions: Versions, primary: Served) -> None:
        self.versions = versions
        self._primary = primary

    @property
    def primary(self) -> Served:
        """See :meth:`hanse.server.scoring.served.ModelTable.primary`."""
        return self._primary

    def replace(self, versions: Versions) -> None:
        """Serves other versions from the next call on; running calls keep theirs.

        Args:
            versions: What is served now; each of them is in the log.
        """
        if versions.live is not None and versions.live in versions.served:
            self._primary = versions.served[versions.live]
        self.versions = versions

    def route(self, name: str, version: str, key: bytes) -> Served:
        """See :meth:`hanse.server.scoring.served.ModelTable.route`.

        Raises:
            ServingError: ``model.not-found``; ``model.retired``; ``model.overdue`` or ``model.lineage`` if
                the version may not be used any more, or nobody can tell; ``model.invalid`` if it was not
                taken up.
        """
        now = self.versions
        if name != now.state.model or now.unloaded:
            raise ServingError("model.not-found", "a model is asked for that is not served")
        if not version:
            return self._chosen(now, key)
        if not version.isascii() or not version.isdecimal() or version != str(int(version[:18])):
            raise ServingError("model.not-found", "no model version has such a number")
        return _named(now, int(version))

    def _chosen(self, now: Versions, key: bytes) -> Served:
        if key and now.canary is not None and gets_canary(now.canary_key, key, now.state.share):
            return now.served[now.canary]
        if now.live is None:
            if now.state.retired:
                raise ServingError("model.retired", "no version is live; the last one is retired")
            raise ServingError("model.not-found", "no version is live")
        return _named(now, now.live)


def _named(now: Versions, number: int) -> Served:
    found = now.served.get(number)
    if found is not None:
        return found
    if number in now.refused:
        raise ServingError(now.refused[number], f"version {number} was not taken up; the log says why")
    if now.state.role(number) == "retired":
        raise ServingError("model.retired", f"version {number} is retired")
    raise ServingError("model.not-found", f"version {number} is not served")
