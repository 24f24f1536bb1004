"""The versions that a scorer has loaded and checked, and whether each of them may still be used."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hanse.crypto import VerifierKey
from hanse.errors import HanseError, IdentityError, ServingError
from hanse.learning.manifests import origin_of, read_any_manifest
from hanse.policies import ConsentLedger, Member
from hanse.policies.lineage import Lineage, Sets, Withdrawals
from hanse.policies.serving import Ref
from hanse.policies.serving.evidence import LogEvidence
from hanse.policies.subject_sets import SubjectSets
from hanse.server.scoring.served import Served
from hanse.server.scoring.settings import ScoringSettings
from hanse.server.scoring.versions import VersionFiles, load_version, manifest_note
from hanse.server.scoring.vertical.hub import PartnerHub


@dataclass(slots=True)
class Kept:
    """A version that was loaded.

    Attributes:
        member: The member that this site is in its agreement.
        served: The version.
        withdrawals: Which of its subjects have withdrawn.
        deciles: Where tenths of people begin, as was decided with it.
        deadline: From when on it must not be used; None if nobody of them has.
    """

    member: Member
    served: Served
    withdrawals: Withdrawals
    deciles: tuple[float, ...] = ()
    deadline: datetime | None = None


class Finds(Protocol):
    """Where the files of a version may be."""

    def __call__(self, version: int, /) -> Sequence[VersionFiles]:
        """Candidates, of which the first that verifies is taken."""
        ...


class _NoSets:
    """Of a site that has kept no sets: whoever withdraws may be in every model."""

    def open(self, root: str, size: int) -> None:
        """See :class:`hanse.policies.lineage.Sets`."""


class Shelf:
    """Loads versions once, and keeps them as long as they are served. Not for several threads at a time.

    Args:
        settings: The settings.
        own: Keys that this site has or had.
        find: Where the files of a version are.
        evidence: What the site's log says.
        ledger: The member's consent ledger.
        hub: Connects to the members whose parts vertical models need.
    """

    def __init__(
        self,
        settings: ScoringSettings,
        own: Sequence[VerifierKey],
        find: Finds,
        evidence: LogEvidence,
        ledger: ConsentLedger,
        hub: PartnerHub | None = None,
    ) -> None:
        self._hub = PartnerHub() if hub is None else hub
        self._settings = settings
        self._own = own
        self._find = find
        self._evidence = evidence
        self._ledger = ledger
        sets = settings.subject_sets
        self._sets: Sets = _NoSets() if sets is None else SubjectSets(sets)
        self._kept: dict[Ref, Kept] = {}

    def take(self, ref: Ref, deciles: tuple[float, ...] = ()) -> Kept:
        """A version, loaded and checked.

        Args:
            ref: Which one; another model under its number is refused.
            deciles: Where tenths of people begin, as was decided with it.

        Raises:
            HanseError: As :func:`hanse.server.scoring.versions.load_version`.
        """
        found = self._kept.get(ref)
        if found is None or found.deciles != deciles:
            found = self._kept[ref] = self._load(ref, deciles)
        return found

    def require_usable(self, ref: Ref, now: datetime) -> None:
        """Refuses a version past the day until which it may be used, because somebody in it has withdrawn.

        Args:
            ref: A version that was taken.
            now: The time.

        Raises:
            ServingError: ``model.overdue``; ``model.lineage`` if nobody can tell, whatever the reason.
        """
        kept = self._kept[ref]
        try:
            contained = kept.withdrawals.update(self._ledger, self._sets)
        except HanseError as error:
            detail = f"version {ref.version}: who has withdrawn cannot be told: {error}"
            raise ServingError("model.lineage", detail) from error
        kept.deadline = contained.deadline
        if contained.is_over(now):
            detail = f"version {ref.version} had to be retired by {contained.deadline}: it contains withdrawn"
            raise ServingError("model.overdue", detail)

    def overdue(self, now: datetime) -> list[Ref]:
        """The versions whose deadline has passed, as far as was known at the last look."""
        return [ref for ref, kept in self._kept.items() if kept.deadline is not None and now >= kept.deadline]

    def keep_only(self, refs: Collection[Ref]) -> None:
        """Forgets all other versions; calls that run with one of them keep it."""
        self._kept = {ref: kept for ref, kept in self._kept.items() if ref in refs}

    def _load(self, ref: Ref, deciles: tuple[float, ...]) -> Kept:
        candidates = self._find(ref.version)
        for files in candidates[:-1]:  # a former key of the coordinator may have signed it
            with suppress(ServingError, IdentityError):
                return self._checked(ref, files, deciles)
        return self._checked(ref, candidates[-1], deciles)

    def _checked(self, ref: Ref, files: VersionFiles, deciles: tuple[float, ...]) -> Kept:
        member, served = load_version(self._settings, files, self._own, self._hub, deciles)
        if (served.digest, served.version) != (ref.manifest, str(ref.version)):
            raise ServingError("model.invalid", f"version {ref.version} is another model than was decided on")
        origin = origin_of(read_any_manifest(manifest_note(files.folder)))
        lineage = Lineage(
            agreement=served.agreement.agreement,
            purpose=origin.purpose,
            own=member.name in origin.members,
            created_at=origin.created_at,
            sets=self._evidence.sets(origin.run),
        )
        return Kept(member, served, Withdrawals(lineage), deciles)
