"""Decisions about which version of a model is served, as people sign them.

Each is a signed note of one person. It names the number and the digest of the one before, so that none can be
taken out, put in or moved. What takes two people is proposed by one and approved by another
(:mod:`hanse.policies.serving.state`).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.crypto import SigningKey, VerifierKey, open_note, sha256_hex, sign_note
from hanse.errors import HanseError, PolicyError
from hanse.policies.fields import Count, Many, Name, Sha256Hex, Text, UtcTime, check_form
from hanse.policies.texts import SignedText, has_strangers

MAX_DECISION_BYTES: Final = 1 << 16

Kind = Literal["promote", "canary", "retire", "rollback", "approve", "reject"]
CheckName = Annotated[str, check_form(r"[a-z]+(-[a-z]+)*", "write the name of a check of the gate")]

_MAKES_ANSWER: Final = frozenset({"promote", "canary"})
_DECILES: Final = 9
_ABOUT_VERSIONS: Final = frozenset({"promote", "canary", "retire", "rollback"})


class Decision(SignedText):
    """One decision about one model.

    Attributes:
        schema_version: Version of this form.
        model: Name of the model.
        number: Which decision about the model, from 1.
        previous: SHA-256 of the signed decision before; None for the first.
        kind: ``promote`` makes a version the live one; ``canary`` gives it a share of the subjects;
            ``retire`` ends its use for good; ``rollback`` ends the canary, or goes back to one that was live;
            ``approve`` and ``reject`` answer a proposal.
        version: The version that it is about; of a roll-back the one that is live afterwards. None for an
            answer.
        manifest: Digest of that version's manifest, so that no other model takes its number.
        share: Percent of the subjects, for a canary.
        deciles: Where the tenths of people begin, in scores, for a version that does not say so itself; nine,
            not decreasing. None where they are not given.
        proposal: Number of the decision that an answer is about.
        overridden: Checks of the gate that did not pass, or could not be made, and that the signers accept.
        gate: Digest of the gate that was asked, where one was.
        reason: Why.
        by: Name of the person who signs.
        at: When.
    """

    header: ClassVar[str] = "hanse serving decision v1\n"
    called: ClassVar[str] = "a serving decision"

    schema_version: Literal[1] = 1
    model: Name
    number: Count
    previous: Sha256Hex | None
    kind: Kind
    version: Count | None = None
    manifest: Sha256Hex | None = None
    share: Annotated[int, Field(ge=1, le=99)] | None = None
    deciles: Many[Annotated[float, Field(ge=0, le=1)]] = Field(default=(), exclude_if=lambda given: not given)
    proposal: Count | None = None
    overridden: Annotated[Many[CheckName], Field(max_length=20)] = ()
    gate: Sha256Hex | None = None
    reason: Text
    by: Text
    at: UtcTime

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        versioned = self.kind in _ABOUT_VERSIONS
        if (
            versioned != (self.version is not None)
            or versioned != (self.manifest is not None)
            or (self.kind == "canary") != (self.share is not None)
            or versioned == (self.proposal is not None)
            or (self.number == 1) != (self.previous is None)
        ):
            raise PydanticCustomError("kind", "give what this kind of decision needs, and nothing else")
        if self.deciles and (
            self.kind not in _MAKES_ANSWER
            or len(self.deciles) != _DECILES
            or list(self.deciles) != sorted(self.deciles)
        ):
            raise PydanticCustomError(
                "deciles", "give nine deciles in rising order to a promotion or a canary, and to nothing else"
            )
        return self


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """A decision whose signature was checked.

    Attributes:
        decision: The decision.
        key: Whose signature it carries.
        note: The exact bytes.
    """

    decision: Decision
    key: VerifierKey
    note: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the note: names the decision in the log, and in the one after it."""
        return sha256_hex(self.note)


def sign_decision(decision: Decision, key: SigningKey) -> SignedDecision:
    """Signs a decision for the person who has the key."""
    return SignedDecision(decision, key.verifier, sign_note(decision.text(), key))


def open_decision(note: bytes, keys: tuple[VerifierKey, ...]) -> SignedDecision:
    """Reads a decision that one of some people has signed.

    Args:
        note: Bytes from anywhere.
        keys: Keys of those who decide.

    Returns:
        The decision.

    Raises:
        PolicyError: ``policy.invalid`` if it is none, or carries anything beside the signature;
            ``policy.unsigned`` (P31) if none of them has signed exactly this.
    """
    if len(note) > MAX_DECISION_BYTES:
        raise PolicyError("policy.invalid", f"a serving decision has at most {MAX_DECISION_BYTES} bytes")
    try:
        opened = open_note(note, *keys)
    except HanseError as error:
        detail = f"a serving decision is not signed by approver or auditor: {error.detail}"
        raise PolicyError("policy.unsigned", detail, rule="P31") from error
    decision = Decision.from_text(opened.text)
    if len(opened.keys) != 1 or has_strangers(note, opened.text, 1):
        raise PolicyError("policy.invalid", "a serving decision carries one signature")
    return SignedDecision(decision, opened.keys[0], note)
