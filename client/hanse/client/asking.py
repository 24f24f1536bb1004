"""What a question of a draft is, and the checks of its answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hanse.client.replies import names
from hanse.policies import Column, Identity, Wording


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a draft needs to know.

    Attributes:
        key: Its name: that of the option, then of what it is about.
        text: What is asked.
        about: What the answer means.
        default: What is taken if nothing is said; None if something has to be said.
        check: Raises :class:`ValueError` with what to write instead.
    """

    key: str
    text: Wording
    about: Wording
    default: str | None
    check: Callable[[str], object]

    @property
    def option(self) -> str:
        """How the answer is given on the command line."""
        name, _, subject = self.key.partition(".")
        flag = f"--{name.replace('_', '-')}"
        return f"{flag} {subject}=…" if subject else flag


@dataclass(frozen=True, slots=True)
class Site:
    """What the drafting site knows before anybody is asked.

    Attributes:
        members: Identities of the members.
        places: Every country of members and coordinator.
        columns: The data dictionary.
        auditors: Identities of the enrolled outside auditors.
    """

    members: Sequence[Identity]
    places: frozenset[str]
    columns: Sequence[Column]
    auditors: Sequence[Identity] = ()


def said(answer: str) -> str:
    """A text that is not empty.

    Raises:
        ValueError: It is.
    """
    if not answer.strip():
        raise ValueError("write something")
    return answer


def one_of(*choices: str) -> Callable[[str], str]:
    """A check for one of several words."""

    def check(answer: str) -> str:
        if answer not in choices:
            raise ValueError(f"write {' or '.join(choices)}")
        return answer

    return check


def some_of(known: Sequence[str], what: str) -> Callable[[str], tuple[str, ...]]:
    """A check for names of a list.

    Args:
        known: The list.
        what: What it is of, in words.
    """

    def check(answer: str) -> tuple[str, ...]:
        unknown = set(names(answer)) - set(known)
        if unknown:
            raise ValueError(f"write {what} of these: {', '.join(known)}")
        return names(answer)

    return check


def ask(
    key: str, en: str, zh: str, about: tuple[str, str], default: str | None, check: Callable[[str], object]
) -> Question:
    """A question with its texts in both languages; see :class:`Question`."""
    return Question(key, Wording(en, zh), Wording(*about), default, check)
