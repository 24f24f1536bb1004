"""The protocols of a vertical run, as a member of an agreement takes part in them.

Here the agreement's words become what the protocols take, and what they give becomes what is kept.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from hanse.aggregation.body import decode_body, encode_body
from hanse.alignment.identifiers import Column, Prepared, prepare
from hanse.alignment.taking_part import Alignment, take_part
from hanse.alignment.terms import Terms
from hanse.client.gate import Identifiers
from hanse.client.vertical.records import CommonRows
from hanse.errors import AuditError, PolicyError, ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.exchange.transcript import Transcript
from hanse.learning.vertical.leakage.watching import WatchedTrees
from hanse.learning.vertical.runs.figures import Figures, held_out_figures
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.runs.terms import own_binning, trees_terms
from hanse.learning.vertical.trees.feature_holder import FeatureHolder
from hanse.learning.vertical.trees.label_holder import LabelHolder
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart
from hanse.policies import Agreement, Vertical

if TYPE_CHECKING:
    from hanse.client.session import Session

TrainedPart: TypeAlias = LabelPart | FeaturePart
Watched: TypeAlias = Sequence[WatchedTrees]

_SIDES: Final = "sides"


@dataclass(frozen=True, slots=True)
class Conversations:
    """With whom a member talks in a phase.

    Attributes:
        peers: The other members, by name.
        dealer: The coordinator.
    """

    peers: Mapping[str, Transcript]
    dealer: Transcript


def prepare_identifiers(session: "Session", read: Identifiers) -> Prepared:
    """What a member enters into the alignment.

    Args:
        session: The run.
        read: Identifiers of the admitted people.

    Raises:
        ConfigurationError: ``alignment.identifiers``.
    """
    given = {kind: Column(column.name, column.values) for kind, column in read.columns.items()}
    return prepare(given, vertical_of(session).alignment, read.place, os.urandom, read.row)


def aligned_people(session: "Session", prepared: Prepared, talk: Conversations) -> Alignment:
    """Finds the people whom the members have in common.

    Raises:
        HanseError: As :func:`hanse.alignment.taking_part.take_part`.
    """
    return take_part(session.member, prepared, talk.peers, _alignment_terms(session))


def enter_alignment(session: "Session", prepared: Prepared, now: datetime) -> None:
    """Records that a member aligns, if the rules allow it; before anything is sent.

    Raises:
        PolicyError: ``alignment.repeated`` (P16).
        AuditError: ``alignment.history`` if that cannot be recorded.
    """
    history = session.tools.alignments
    if history is None:
        raise AuditError("alignment.history", "this node keeps no history of alignments")
    history.begin(session.member, prepared, _alignment_terms(session), session.policy, now)


def _alignment_terms(session: "Session") -> Terms:
    agreement = session.signed.agreement
    return Terms(
        session.signed.digest,
        session.run,
        agreement.purpose,
        vertical_of(session).label_holder,
        tuple(member.name for member in agreement.members),
        vertical_of(session).alignment,
    )


def train(
    session: "Session", rows: CommonRows, root: bytes, talk: Conversations
) -> tuple[TrainedPart, Watched]:
    """Grows the model together with the others.

    Args:
        session: The run.
        rows: The common people.
        root: What all members log of them.
        talk: With whom.

    Returns:
        This member's part; at the label holder also what each feature holder has seen.

    Raises:
        HanseError: As the parties of :mod:`hanse.learning.vertical.trees`.
    """
    agreement = session.signed.agreement
    terms = trees_terms(agreement, rows.rows, root)
    dealer = talk.dealer if terms.key_bits is None else None
    binning = own_binning(agreement.as_held_by(session.member).columns, rows.columns)
    if is_label_holder(session):
        labels = rows.labels.astype(np.float64)
        holder = LabelHolder(terms, binning, rows.columns, labels, validation=rows.held_out)
        watched = [WatchedTrees(channel, rows.rows) for _, channel in sorted(talk.peers.items())]
        peers = {one.channel.peer: one.channel for one in watched}
        return holder.train(peers, dealer, os.urandom), watched
    feature_holder = FeatureHolder(terms, binning, rows.columns)
    return feature_holder.take_part(talk.peers, dealer, os.urandom), ()


def attack(watched: Watched, rows: CommonRows) -> Reports:
    """What known attacks learn of the labels from what each feature holder has seen.

    Args:
        watched: At the label holder what they have seen; nothing at the others.
        rows: The common people, with the labels.
    """
    rng = np.random.default_rng()
    return tuple(one.report(rows.labels == 1, rng) for one in watched)


def train_alone(agreement: Agreement, member: str, rows: CommonRows) -> LabelPart:
    """What the label holder's own columns give without anybody.

    Args:
        agreement: Of the run.
        member: The label holder.
        rows: The common people.
    """
    terms = trees_terms(agreement, rows.rows, b"").model_copy(update={"feature_holders": ()})
    binning = own_binning(agreement.as_held_by(member).columns, rows.columns)
    labels = rows.labels.astype(np.float64)
    holder = LabelHolder(terms, binning, rows.columns, labels, validation=rows.held_out)
    return holder.train({}, None, os.urandom)


def evaluate(session: "Session", part: TrainedPart, rows: CommonRows, talk: Conversations) -> Figures:
    """Scores the common people together: the label holder learns the scores, and of which it has held out.

    Feature holders say on which side of each of their cuts every common person is, so that nobody learns who
    is held out.

    Returns:
        Figures at the label holder; none at the others.

    Raises:
        ProtocolError: ``protocol.malformed``.
        ServingError: ``scoring.bad-input`` if sides do not fit the part.
    """
    if isinstance(part, FeaturePart):
        sides = part.sides(rows.columns)
        talk.peers[vertical_of(session).label_holder].send(encode_body({"step": _SIDES}, sides))
        return {}
    heard = {name: _hear_sides(channel) for name, channel in talk.peers.items()}
    scores = part.scores(rows.columns, heard)[:, 0]
    return held_out_figures(scores[rows.held_out], rows.labels[rows.held_out])


def alone_figures(alone: LabelPart, rows: CommonRows) -> Figures:
    """How good the label holder's own columns are without anybody, on the same held-out rows."""
    scores = alone.scores(rows.columns, {})[rows.held_out, 0]
    figures = held_out_figures(scores, rows.labels[rows.held_out])
    return {f"{name}_alone": value for name, value in figures.items()}


def part_files(part: TrainedPart) -> dict[str, bytes]:
    """A part as files, by name."""
    if isinstance(part, FeaturePart):
        return {"part.json": part.encode()}
    description, trees = part.encode()
    return {"part.json": description, "part.safetensors": trees}


def is_label_holder(session: "Session") -> bool:
    """Whether this member has the label."""
    return session.member == vertical_of(session).label_holder


def vertical_of(session: "Session") -> Vertical:
    """The vertical part of a run's agreement.

    Raises:
        PolicyError: ``policy.denied`` if it has none.
    """
    if session.signed.agreement.vertical is None:
        raise PolicyError("policy.denied", "the agreement is not vertical", rule="P17")
    return session.signed.agreement.vertical


def _hear_sides(channel: PeerChannel) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        header, arrays = decode_body(channel.receive())
    except ProtocolError as error:
        raise ProtocolError(error.code, f"{channel.peer}: {error.detail}") from error
    if header != {"step": _SIDES} or len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].ndim != 2:  # noqa: PLR2004
        raise ProtocolError("protocol.malformed", f"{channel.peer}: not the sides of cuts")
    return arrays[0]
