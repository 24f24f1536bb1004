"""The decisions about a member's models on disk: one small file for each model, ``NAME.decisions``.

A first line ``hanse serving decisions v1``, then a line for each decision: its signed note as a JSON string.
A file is read whole and believed only as a whole: each signature, and that each decision follows the one
before. A new decision is in the site's audit log before the file has it (P28), so whoever finds one here that
is not in the log does not act on it.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from hanse.crypto import SigningKey, VerifierKey, canonical_json, parse_canonical_json, write_atomic
from hanse.errors import ConfigurationError, HanseError, PolicyError
from hanse.policies.fields import problems
from hanse.policies.serving.decisions import Decision, SignedDecision, open_decision, sign_decision
from hanse.policies.serving.state import Serving, follow

ENDING: Final = ".decisions"
MAX_BOOK_BYTES: Final = 64 << 20
_FIRST_LINE: Final = b"hanse serving decisions v1"


@dataclass(frozen=True, slots=True)
class Decided:
    """What a file says.

    Attributes:
        state: What follows from all decisions.
        decisions: All of them, in order.
    """

    state: Serving
    decisions: tuple[SignedDecision, ...]


def parse_decisions(data: bytes, model: str, keys: Sequence[VerifierKey]) -> Decided:
    """Reads a file of decisions.

    Args:
        data: Bytes from anywhere.
        model: Name of the model that they are about.
        keys: Keys of those who decide, at least two different ones.

    Returns:
        What it says.

    Raises:
        PolicyError: ``policy.unsigned`` (P31) if the keys are not those of two people, or a decision is not
            signed by one of them; ``policy.invalid`` or ``policy.denied`` (P31) naming the first decision
            that cannot stand.
    """
    if len({key.public_bytes for key in keys}) < 2:  # noqa: PLR2004 - two people
        detail = "what is served is decided by two people with keys of their own"
        raise PolicyError("policy.unsigned", detail, rule="P31")
    lines = data.split(b"\n")
    if len(data) > MAX_BOOK_BYTES or lines[0] != _FIRST_LINE or lines[-1]:
        raise PolicyError("policy.invalid", f"not a file of serving decisions about {model}")
    state, decisions = Serving(model), []
    for number, line in enumerate(lines[1:-1], start=1):
        try:
            signed = open_decision(_note(line), tuple(keys))
            state = follow(state, signed)
        except HanseError as error:
            raise PolicyError(error.code, f"decision {number}: {error.detail}", rule=error.rule) from error
        decisions.append(signed)
    return Decided(state, tuple(decisions))


def format_decisions(decisions: Sequence[SignedDecision]) -> bytes:
    """The file of some decisions; :func:`parse_decisions` reads it."""
    lines = [canonical_json(one.note.decode()) for one in decisions]
    return b"\n".join([_FIRST_LINE, *lines, b""])


class ServingBook:
    """The decisions of one member.

    Args:
        folder: Where the files are; made when it is needed.
        keys: Keys of those who decide: the approver's and the auditor's.
    """

    def __init__(self, folder: Path, keys: Sequence[VerifierKey]) -> None:
        self.folder = folder
        self._keys = tuple(keys)

    def path(self, model: str) -> Path:
        """The file of a model.

        Raises:
            PolicyError: ``policy.invalid`` if no model can have the name.
        """
        if not model or Path(model).name != model or model.startswith("."):
            raise PolicyError("policy.invalid", "that is no name of a model")
        return self.folder / f"{model}{ENDING}"

    def models(self) -> tuple[str, ...]:
        """Names of the models that something was decided about."""
        return tuple(sorted(path.name.removesuffix(ENDING) for path in self.folder.glob(f"*{ENDING}")))

    def read(self, model: str) -> Decided:
        """What was decided about a model; nothing, where there is no file.

        Raises:
            PolicyError: As :func:`parse_decisions`.
            ConfigurationError: ``config.missing-file`` if the file cannot be read.
        """
        path = self.path(model)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Decided(Serving(model), ())
        except OSError as error:
            raise ConfigurationError(
                "config.missing-file", f"cannot read {path}: {error.strerror}"
            ) from error
        return parse_decisions(data, model, self._keys)

    def decide(
        self,
        model: str,
        key: SigningKey,
        log: Callable[[SignedDecision, Serving, Serving], object],
        **fields: Any,  # noqa: ANN401 - the attributes of a decision
    ) -> Serving:
        """Adds a decision.

        Args:
            model: Name of the model.
            key: Key of the person who decides.
            log: Writes it to the site's log; given the decision, what held before and what will. It is called
                when the decision has passed every check, and before it takes effect.
            **fields: Attributes of :class:`Decision` but model, number and previous.

        Returns:
            What holds now.

        Raises:
            PolicyError: As :func:`parse_decisions`.
            ConfigurationError: ``config.unwritable`` if the file system refuses.
            AuditError: As ``log``; nothing has changed then.
        """
        with self._locked():
            decided = self.read(model)
            before = decided.state
            if key.verifier not in self._keys:
                detail = f"{key.name} is neither the approver's key nor the auditor's"
                raise PolicyError("policy.unsigned", detail, rule="P31")
            signed = sign_decision(_decision(before, fields), key)
            after = follow(before, signed)
            log(signed, before, after)
            write_atomic(self.path(model), format_decisions([*decided.decisions, signed]))
        return after

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            detail = f"cannot write in {self.folder}: {error.strerror}"
            raise ConfigurationError("config.unwritable", detail) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _note(line: bytes) -> bytes:
    note = parse_canonical_json(line)
    if not isinstance(note, str):
        raise PolicyError("policy.invalid", "not a signed decision")
    return note.encode(errors="replace")


def _decision(before: Serving, fields: Mapping[str, Any]) -> Decision:
    place = {"model": before.model, "number": before.number + 1, "previous": before.head}
    try:
        return Decision.model_validate({**place, **fields})
    except ValidationError as error:
        raise PolicyError("policy.invalid", "; ".join(problems(error))) from error
