"""A columnar copy of what stands in the consent ledger, kept in memory and brought up to date by events.

Per subject and purpose: the number of a profile and two times. Everything else is in the profiles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.enforcement.profiles import ABSENT, Profile, Profiles
from hanse.errors import PolicyError
from hanse.policies.consent import Folding
from hanse.policies.ledger import StandingRow, StandingRows

MAX_TIME_MS: Final = 1 << 62
"""Largest time, either way, milliseconds; far beyond every calendar, and comparisons stay exact."""

_CHUNK_ROWS: Final = 1 << 13
_NONE: Final = -1
_REF_BYTES: Final = 16
_SMALL: Final = np.iinfo(np.uint16).max

Keys: TypeAlias = npt.NDArray[np.bytes_]
Places: TypeAlias = npt.NDArray[np.int64]
Times: TypeAlias = npt.NDArray[np.int64]


class Ledger(Protocol):
    """A consent ledger, as far as it is copied."""

    def standing_rows(self, since: int = 0) -> StandingRows:
        """What stands for everybody whom an event after ``since`` is about, in one consistent view."""
        ...


class _Chunk(NamedTuple):
    """Rows as arrays."""

    keys: Keys
    purposes: npt.NDArray[np.uint8]
    profiles: npt.NDArray[np.uint32]
    given: Times
    expires: Times


class PurposeColumns:
    """The standings of all subjects for one purpose, in the order of the subjects.

    Attributes:
        profile: Number of each subject's profile; 0 where nothing stands.
        given: When the grant was given, milliseconds since 1970; 0 where the profile does not know it.
        expires: When it ends, likewise.
    """

    def __init__(self, subjects: int) -> None:
        self.profile: npt.NDArray[np.unsignedinteger] = np.zeros(subjects, dtype=np.uint16)
        self.given: Times = np.zeros(subjects, dtype=np.int64)
        self.expires: Times = np.zeros(subjects, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.profile.nbytes + self.given.nbytes + self.expires.nbytes

    def put(self, places: Places, chunk: _Chunk, chosen: npt.NDArray[np.bool_]) -> None:
        """Writes what stands for the subjects at the places."""
        profiles = chunk.profiles[chosen]
        if self.profile.dtype == np.uint16 and profiles.size and profiles.max() > _SMALL:
            self.profile = self.profile.astype(np.uint32)
        self.profile[places] = profiles
        self.given[places] = chunk.given[chosen]
        self.expires[places] = chunk.expires[chosen]

    def insert(self, places: Places) -> None:
        """Makes room for new subjects, about whom nothing is recorded yet."""
        self.profile = np.insert(self.profile, places, ABSENT)
        self.given = np.insert(self.given, places, 0)
        self.expires = np.insert(self.expires, places, 0)


class ConsentColumns:
    """See the module docstring. Empty until it is first brought up to date.

    Attributes:
        head: Number of the last event of the ledger that it knows.
        root: Digest of the history up to there.
        synced_at: When a source last fed the ledger.
        profiles: What the subjects' standings have in common.
        foldings: What is hidden, by purpose and subject.
    """

    def __init__(self) -> None:
        self.head = 0
        self.root = ""
        self.synced_at: datetime | None = None
        self.profiles = Profiles()
        self.foldings: dict[str, dict[str, Folding]] = {}
        self._taken_at: datetime | None = None
        self._subjects: Keys = np.zeros(0, dtype=f"S{_REF_BYTES}")
        self._purposes: dict[str, PurposeColumns] = {}
        self._folded: dict[str, Sequence[tuple[Folding, Places]]] = {}

    def __len__(self) -> int:
        """Number of subjects about whom something stands."""
        return len(self._subjects)

    @property
    def taken_at(self) -> datetime:
        """When it was last brought up to date.

        Raises:
            PolicyError: ``policy.denied`` (P10) if it never was.
        """
        if self._taken_at is None:
            raise PolicyError("policy.denied", "the copy of the consent ledger was never filled", rule="P10")
        return self._taken_at

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays; the profiles and what is hidden come on top, and do not grow with subjects."""
        return self._subjects.nbytes + sum(columns.nbytes for columns in self._purposes.values())

    def purpose(self, name: str) -> PurposeColumns | None:
        """The standings for a purpose; None if nothing was ever recorded for it."""
        return self._purposes.get(name)

    def refresh(self, ledger: Ledger, now: datetime) -> None:
        """Reads what has changed in the ledger. If it fails, the copy stays as old as it was.

        Args:
            ledger: Always the same ledger.
            now: The current time.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read, or is not the one that was copied.
        """
        rows = ledger.standing_rows(since=self.head)
        if rows.head < self.head or (rows.head == self.head and self.root not in {"", rows.root}):
            raise PolicyError("policy.ledger", "the consent ledger is not the one that was read before")
        self._folded.clear()
        self._apply(rows)
        self.head, self.root, self.synced_at, self._taken_at = rows.head, rows.root, rows.synced_at, now

    def folded(self, purpose: str) -> Sequence[tuple[Folding, Places]]:
        """Who hides what for a purpose: each different choice once, with the places of who made it."""
        if purpose not in self._folded:
            groups: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
            for ref, folding in self.foldings.get(purpose, {}).items():
                groups.setdefault((folding.hidden_columns, folding.hidden_categories), []).append(ref)
            found = ((Folding(*hidden), self.places(refs)) for hidden, refs in groups.items())
            self._folded[purpose] = [(folding, places[places >= 0]) for folding, places in found]
        return self._folded[purpose]

    def places(self, refs: Sequence[str]) -> Places:
        """Where subjects are, by pseudonym; -1 for each about whom nothing stands."""
        keys = _keys(refs)
        if not len(self._subjects):
            return np.full(len(keys), -1, dtype=np.int64)
        found = _search(self._subjects, keys)
        found[found == len(self._subjects)] = 0
        found[self._subjects[found] != keys] = -1
        return found

    def _apply(self, rows: StandingRows) -> None:
        self.profiles.learn(rows.terms)
        names: dict[str, int] = {}
        chunks = list(self._chunks(rows.rows, names))
        if chunks:
            whole = _Chunk(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))
            self._put(whole, names)
            self._unfold(whole.keys)
        for purpose, hidden in rows.foldings.items():
            self.foldings.setdefault(purpose, {}).update(hidden)

    def _put(self, chunk: _Chunk, names: Mapping[str, int]) -> None:
        self._make_room(chunk.keys)
        for purpose, number in names.items():
            columns = self._purposes.setdefault(purpose, PurposeColumns(len(self._subjects)))
            chosen = chunk.purposes == number
            columns.put(_search(self._subjects, chunk.keys[chosen]), chunk, chosen)

    def _make_room(self, keys: Keys) -> None:
        new = np.setdiff1d(keys, self._subjects)
        places = np.searchsorted(self._subjects, new)
        self._subjects = np.insert(self._subjects, places, new)
        for columns in self._purposes.values():
            columns.insert(places)

    def _unfold(self, keys: Keys) -> None:
        """Whoever is read again hides what is said now, and nothing else."""
        if self.head and any(self.foldings.values()):
            for ref in {key.hex() for key in keys.astype("V16").tolist()}:
                for hidden in self.foldings.values():
                    hidden.pop(ref, None)

    def _chunks(self, rows: Iterable[StandingRow], names: dict[str, int]) -> Iterator[_Chunk]:
        """Rows as arrays; ``names`` collects the numbers of the purposes."""
        states: dict[str, int] = {}
        published = self._published()
        iterator = iter(rows)
        while part := list(islice(iterator, _CHUNK_ROWS)):
            refs, purposes, said, given, expires, _, terms, guardians, ages = zip(*part, strict=True)
            given_ms, expires_ms = _times(given), _times(expires)
            numbers = _numbers(terms)
            if numbers.size and numbers.max() >= len(published):
                raise PolicyError("policy.ledger", "a standing names terms that the ledger does not have")
            facts = np.stack(
                [
                    numbers,
                    np.array([states.setdefault(state, len(states)) for state in said]),
                    np.array(guardians, dtype=np.int64),
                    _numbers(ages),
                    _known(given).astype(np.int64),
                    _known(expires).astype(np.int64),
                    (_known(given) & (published[numbers] <= given_ms)).astype(np.int64),
                ]
            )
            yield _Chunk(
                _keys(refs),
                np.array([names.setdefault(name, len(names)) for name in purposes], dtype=np.uint8),
                self._codes(facts, list(states)),
                given_ms,
                expires_ms,
            )

    def _published(self) -> Times:
        """When the notice of each terms was published, by number; in the end of time if that is unknown."""
        terms = self.profiles.terms
        published = np.full(max(terms, default=0) + 2, np.iinfo(np.int64).max)
        for number, facts in terms.items():
            if isinstance(moment := facts.get("notice_published"), int):
                published[number] = moment
        return published

    def _codes(self, facts: npt.NDArray[np.int64], states: Sequence[str]) -> npt.NDArray[np.uint32]:
        """Numbers of profiles; each that occurs is looked up once."""
        mixed = np.ravel_multi_index(tuple(facts + 1), tuple(facts.max(axis=1) + 2))
        _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
        codes = []
        different: list[list[int]] = facts[:, first].T.tolist()
        for terms, state, guardian, age, *flags in different:
            known = (None if terms == _NONE else terms, states[state], bool(guardian))
            profile = Profile(*known, None if age == _NONE else age, *map(bool, flags))
            codes.append(self._code(profile))
        return np.array(codes, dtype=np.uint32)[inverse]

    def _code(self, profile: Profile) -> int:
        try:
            return self.profiles.code(profile)
        except KeyError as error:
            raise PolicyError(
                "policy.ledger", "a standing names terms that the ledger does not have"
            ) from error


def _search(subjects: Keys, keys: Keys) -> Places:
    """Where the keys are, or would be. In order they are found several times as fast."""
    order = np.argsort(keys)
    found = np.empty(len(keys), dtype=np.int64)
    found[order] = np.searchsorted(subjects, keys[order])
    return found


def _keys(refs: Sequence[str]) -> Keys:
    try:
        packed = bytes.fromhex("".join(refs))
    except ValueError as error:
        raise PolicyError("policy.ledger", "a pseudonym is not 32 hex digits") from error
    if len(packed) != _REF_BYTES * len(refs):
        raise PolicyError("policy.ledger", "a pseudonym is not 32 hex digits")
    return np.frombuffer(packed, dtype=f"S{_REF_BYTES}")


def _known(values: Sequence[int | None]) -> npt.NDArray[np.bool_]:
    return np.array([value is not None for value in values], dtype=np.bool_)


def _numbers(values: Sequence[int | None]) -> npt.NDArray[np.int64]:
    return np.array([_NONE if value is None else value for value in values], dtype=np.int64)


def _times(values: Sequence[int | None]) -> Times:
    try:
        times = np.array([0 if value is None else value for value in values], dtype=np.int64)
    except OverflowError as error:
        raise PolicyError("policy.ledger", "a time of the ledger is out of range") from error
    if times.size and max(times.max(), -times.min()) > MAX_TIME_MS:
        raise PolicyError("policy.ledger", "a time of the ledger is out of range")
    return times
