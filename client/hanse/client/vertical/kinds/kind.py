"""What every kind of vertical model has: one object for each run at a member."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from hanse.client.vertical.records import CommonRows
from hanse.errors import PolicyError
from hanse.exchange.transcript import Transcript
from hanse.learning.vertical.runs.figures import Figures
from hanse.learning.vertical.runs.leakage import Reports
from hanse.policies import Agreement, Column, Vertical

Files: TypeAlias = Mapping[str, bytes]
"""Files of a part, by name."""


@dataclass(frozen=True, slots=True)
class Conversations:
    """With whom a member talks in a phase.

    Attributes:
        peers: The other members, by name.
        dealer: The coordinator.
    """

    peers: Mapping[str, Transcript]
    dealer: Transcript


@dataclass(frozen=True, slots=True)
class Site:
    """A member in a run.

    Attributes:
        agreement: Of the run.
        member: Its name.
    """

    agreement: Agreement
    member: str

    @property
    def vertical(self) -> Vertical:
        """The vertical part of the agreement.

        Raises:
            PolicyError: ``policy.denied`` if it has none.
        """
        if self.agreement.vertical is None:
            raise PolicyError("policy.denied", "the agreement is not vertical", rule="P17")
        return self.agreement.vertical

    @property
    def has_label(self) -> bool:
        """Whether this member is the label holder."""
        return self.member == self.vertical.label_holder

    @property
    def columns(self) -> tuple[Column, ...]:
        """The member's own columns."""
        return tuple(self.agreement.as_held_by(self.member).columns)


class Kind(Protocol):
    """One run at a member; its methods are called in the order in which they stand here."""

    def require(self) -> None:
        """Looks for what a run needs and a site may lack, before anything is aligned.

        Raises:
            ConfigurationError: ``config.invalid`` naming what is missing.
        """
        ...

    def divide(self, rows: CommonRows) -> CommonRows:
        """The common people with those marked that are held out for the evaluation."""
        ...

    def train_alone(self, rows: CommonRows) -> Files:
        """What the label holder's own columns give without anybody; called there alone."""
        ...

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """Trains together with the others.

        Args:
            rows: The common people.
            root: What all members log of them.
            talk: With whom.

        Returns:
            This member's part of the model.

        Raises:
            HanseError: As the protocol of the kind.
        """
        ...

    def attack(self, rows: CommonRows) -> Reports:
        """What known attacks learn of labels from what each feature holder was sent; none at the others."""
        ...

    def evaluate(self, rows: CommonRows, talk: Conversations) -> Figures:
        """Scores held-out people together.

        Returns:
            Figures at the label holder, those of its own columns alone among them; none at the others.

        Raises:
            HanseError: As the protocol of the kind.
        """
        ...
