"""Which versions of a model are served, as it follows from the decisions about it. Pure.

Who decides what (rule P31): a promotion, a retirement, a canary that gets more than :data:`ALONE_PERCENT` of
the subjects, deciles that a version is given, and everything that overrides a check of the gate take two
people of different names and keys,
one to propose and one to approve. A smaller canary and a roll-back take effect at once, by one person.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, NamedTuple

from hanse.errors import PolicyError
from hanse.policies.serving.decisions import Decision, SignedDecision

ALONE_PERCENT: Final = 5
"""Largest share of a canary that one person may set."""

LAPSES_AFTER: Final = timedelta(days=14)
"""How long a proposal can be approved."""


class Ref(NamedTuple):
    """A version of the model.

    Attributes:
        version: Its number.
        manifest: Digest of its manifest.
    """

    version: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Serving:
    """What follows from all decisions about a model so far.

    Attributes:
        model: Its name.
        live: The version that answers.
        canary: A version that answers a share of the subjects.
        share: That share, percent; 0 without a canary.
        earlier: Versions that were live before, the last one first; a roll-back can go to each.
        retired: Versions that are never served again.
        proposed: Decisions that wait for a second person.
        number: Of the last decision; 0 before the first.
        head: Its digest; None before the first.
        changed: Number of the last decision that took effect.
        deciles: Where tenths of people begin, by version that was decided on with them.
    """

    model: str
    live: Ref | None = None
    canary: Ref | None = None
    share: int = 0
    earlier: tuple[Ref, ...] = ()
    retired: tuple[Ref, ...] = ()
    proposed: tuple[SignedDecision, ...] = ()
    number: int = 0
    head: str | None = None
    changed: int = 0
    deciles: tuple[tuple[Ref, tuple[float, ...]], ...] = ()

    @property
    def previous(self) -> Ref | None:
        """The version that was live before the live one, if it can be gone back to."""
        return self.earlier[0] if self.earlier else None

    @property
    def served(self) -> tuple[Ref, ...]:
        """The versions that answer when they are asked for: live, canary and previous."""
        return tuple(ref for ref in (self.live, self.canary, self.previous) if ref is not None)

    def deciles_of(self, ref: Ref) -> tuple[float, ...]:
        """Where tenths of people begin, as was last decided with a version; empty where nobody did."""
        return dict(self.deciles).get(ref, ())

    def role(self, version: int) -> str | None:
        """``live``, ``canary``, ``previous``, ``earlier``, ``retired``, or None for any other."""
        for role, refs in (
            ("live", (self.live,)),
            ("canary", (self.canary,)),
            ("previous", self.earlier[:1]),
            ("earlier", self.earlier),
            ("retired", self.retired),
        ):
            if any(ref is not None and ref.version == version for ref in refs):
                return role
        return None


def needs_two(decision: Decision) -> bool:
    """Whether a decision takes effect only once a second person has approved it."""
    if decision.overridden or decision.deciles or decision.kind in ("promote", "retire"):
        return True
    return decision.kind == "canary" and (decision.share or 0) > ALONE_PERCENT


def follow(state: Serving, signed: SignedDecision) -> Serving:
    """What holds after one more decision.

    Args:
        state: What held before.
        signed: The decision; its signature was checked.

    Returns:
        What holds now.

    Raises:
        PolicyError: ``policy.invalid`` if it does not follow the one before, or is about nothing that can be
            decided; ``policy.denied`` (P31) if a second person is needed and this is not one.
    """
    decision = signed.decision
    if (decision.model, decision.number, decision.previous) != (state.model, state.number + 1, state.head):
        raise PolicyError("policy.invalid", f"decision {decision.number} does not follow the one before it")
    after = replace(state, number=decision.number, head=signed.digest)
    if decision.kind in ("approve", "reject"):
        return _answered(after, signed)
    _check_possible(state, decision)
    if needs_two(decision):
        return replace(after, proposed=(*state.proposed, signed))
    return _effect(after, decision)


def _answered(state: Serving, signed: SignedDecision) -> Serving:
    """A proposal that is approved takes effect; one that is rejected is gone."""
    decision = signed.decision
    found = [one for one in state.proposed if one.decision.number == decision.proposal]
    if not found:
        raise PolicyError("policy.invalid", f"there is no open proposal {decision.proposal}")
    (proposal,) = found
    rest = replace(state, proposed=tuple(one for one in state.proposed if one is not proposal))
    if decision.kind == "reject":
        return rest
    if proposal.key.public_bytes == signed.key.public_bytes or _same_person(proposal.decision, decision):
        raise PolicyError(
            "policy.denied", "a proposal is approved by another person, with another key", rule="P31"
        )
    if decision.at - proposal.decision.at > LAPSES_AFTER:
        detail = f"proposal {decision.proposal} is older than {LAPSES_AFTER.days} days; propose it again"
        raise PolicyError("policy.denied", detail, rule="P31")
    if state.changed > proposal.decision.number:
        detail = f"what is served has changed since proposal {decision.proposal}; propose it again"
        raise PolicyError("policy.denied", detail, rule="P31")
    _check_possible(rest, proposal.decision)
    return _effect(rest, proposal.decision)


def _same_person(one: Decision, other: Decision) -> bool:
    return one.by.casefold() == other.by.casefold()


def _check_possible(state: Serving, decision: Decision) -> None:
    """Refuses what makes no sense in the state."""
    ref = _ref(decision)
    if any(ref.version == known.version and ref != known for known in (*state.served, *state.earlier)):
        raise PolicyError("policy.invalid", f"version {ref.version} is another model than was decided on")
    if any(ref.version == gone.version for gone in state.retired):
        raise PolicyError("policy.invalid", f"version {ref.version} is retired, for good")
    anew = bool(decision.deciles) and decision.deciles != state.deciles_of(ref)
    if ref == state.live and (decision.kind == "canary" or (decision.kind == "promote" and not anew)):
        raise PolicyError("policy.invalid", f"version {ref.version} is live already")
    if decision.kind == "canary" and state.live is None:
        raise PolicyError("policy.invalid", "a canary stands beside a live version; promote one first")
    if decision.kind == "rollback" and not (
        ref in state.earlier or (state.canary is not None and ref == state.live)
    ):
        raise PolicyError(
            "policy.invalid", f"there is no way back to version {ref.version}: it was not live, or is retired"
        )


def _effect(state: Serving, decision: Decision) -> Serving:
    ref, state = _ref(decision), replace(state, changed=state.number)
    if decision.deciles:
        state = replace(state, deciles=tuple({**dict(state.deciles), ref: decision.deciles}.items()))
    if decision.kind == "canary":
        return replace(state, canary=ref, share=decision.share or 0)
    if decision.kind == "promote":
        before = () if state.live is None else (state.live,)
        earlier = tuple(one for one in (*before, *state.earlier) if one != ref)
        return replace(state, live=ref, canary=None, share=0, earlier=earlier)
    if decision.kind == "rollback":
        if ref == state.live:
            return replace(state, canary=None, share=0)
        earlier = state.earlier[state.earlier.index(ref) + 1 :]
        return replace(state, live=ref, canary=None, share=0, earlier=earlier)
    canary = None if ref in (state.canary, state.live) else state.canary
    return replace(
        state,
        live=None if state.live == ref else state.live,
        canary=canary,
        share=state.share if canary is not None else 0,
        earlier=tuple(one for one in state.earlier if one != ref),
        retired=(*state.retired, ref),
    )


def _ref(decision: Decision) -> Ref:
    if decision.version is None or decision.manifest is None:
        raise PolicyError("policy.invalid", "the decision names no version")
    return Ref(decision.version, decision.manifest)
