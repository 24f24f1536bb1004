"""Of whom a feature holder can answer: the common people, by its own identifiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hanse.learning.subject_values import SubjectValues, Values, without
from hanse.learning.vertical.serving import FeatureHalf, Rows
from hanse.policies import Column, Pseudonymiser


class PartData(SubjectValues, Protocol):
    """The feature holder's own data."""

    def subject_ids(self) -> Sequence[str]:
        """The site's own identifiers of its subjects, each once."""
        ...


@dataclass(frozen=True, slots=True)
class PartPeople:
    """See the module docstring.

    Attributes:
        data: The member's data.
        part: What answers.
        columns: The member's columns that answers are made of; no other is read.
        subjects: The site's own identifier of each of the common people, by place; None for whom it has no
            row any more.
    """

    data: SubjectValues
    part: FeatureHalf
    columns: Sequence[Column]
    subjects: Sequence[str | None]

    async def answers(
        self, places: Sequence[int], hidden: Mapping[str, Sequence[int]]
    ) -> tuple[Sequence[bool], Rows]:
        """What the part says of people, by what is known of them now.

        Args:
            places: Whom.
            hidden: By column, positions of those who hide it: it counts as missing.

        Returns:
            Of each whether it has a row, and what is said of those who have; shape (people, bytes).

        Raises:
            ConfigurationError: If the data is not as declared.
        """
        asked = [subject for place in places if (subject := self.subjects[place]) is not None]
        found = await self.data.look_up(self.columns, asked)
        each = iter(found.known.tolist())
        at = [self.subjects[place] is not None and next(each) for place in places]
        if all(at) and not hidden:
            return at, self.part.answers(found.values, len(asked))
        position = {old: new for new, old in enumerate(one for one, is_known in enumerate(at) if is_known)}
        values: Values = {name: column[found.known] for name, column in found.values.items()}
        left = {
            name: [position[one] for one in positions if one in position]
            for name, positions in hidden.items()
        }
        return at, self.part.answers(without(values, left), len(position))


def common_subjects(people: Sequence[str], data: PartData, ref: Pseudonymiser) -> list[str | None]:
    """The site's own identifier of each of the common people.

    Args:
        people: Pseudonyms by place.
        data: The member's data.
        ref: Makes the pseudonyms.

    Raises:
        ConfigurationError: If the data is not as declared.
    """
    places = {pseudonym: place for place, pseudonym in enumerate(people)}
    subjects: list[str | None] = [None] * len(people)
    for subject in data.subject_ids():
        place = places.get(ref.ref(subject))
        if place is not None:
            subjects[place] = subject
    return subjects
