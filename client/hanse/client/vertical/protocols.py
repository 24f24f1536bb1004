"""The alignment of a vertical run, as a member of an agreement takes part in it.

Here the agreement's words become what the protocol takes.
"""

import os
from datetime import datetime
from typing import TYPE_CHECKING

from hanse.alignment.identifiers import Column, Prepared, prepare
from hanse.alignment.taking_part import Alignment, take_part
from hanse.alignment.terms import Terms
from hanse.client.gate import Identifiers
from hanse.client.vertical.kinds.kind import Conversations, Site
from hanse.errors import AuditError
from hanse.policies import Vertical

if TYPE_CHECKING:
    from hanse.client.session import Session


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


def is_label_holder(session: "Session") -> bool:
    """Whether this member has the label."""
    return site_of(session).has_label


def vertical_of(session: "Session") -> Vertical:
    """The vertical part of a run's agreement.

    Raises:
        PolicyError: ``policy.denied`` if it has none.
    """
    return site_of(session).vertical


def site_of(session: "Session") -> Site:
    """The member in the run."""
    return Site(session.signed.agreement, session.member)
