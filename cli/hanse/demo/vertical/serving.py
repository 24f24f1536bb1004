"""Scoring in the vertical demo: the brand's scorer, and every other member's service for its part.

What a deployment does with ``hanse serve-part`` at each feature holder and ``hanse serve`` at the label
holder (docs/how-to-serve-a-vertical-model.md). Then a calling system asks: about some people, about one who
has just withdrawn at another member, while that member does not answer, and for a purpose that nobody agreed
to.
"""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.api.v1 import scoring_pb2 as pb
from hanse.crypto import write_atomic
from hanse.demo.calls import Caller, Reply
from hanse.demo.federation import CALLER, Federation, Site
from hanse.demo.interruption import heed
from hanse.demo.orchestrate import FOREIGN_PURPOSE, SCORER, SCORING_PURPOSE
from hanse.demo.processes import Processes
from hanse.demo.vertical.facts import Asked, Scored
from hanse.demo.vertical.story import Story
from hanse.errors import ServingError
from hanse.server.ports import free_port
from hanse.server.scoring.vertical.model import BASIS_OUTPUT, JOINT, OWN_COLUMNS

_CONSENTING: Final = 20
_OTHERS: Final = 3
_POLL_S: Final = 0.02
_LONGEST_S: Final = 10.0


def score_together(federation: Federation, story: Story, model: str, processes: Processes) -> Scored:
    """Starts the services, and asks.

    Args:
        federation: Sites that have trained the model; the first is the label holder.
        story: Who is known to whom.
        model: Name and version of the model, as ``vertical-propensity@1``.
        processes: Where services are started; one is killed on the way.

    Raises:
        ServingError: ``scoring.partner-unavailable`` if nobody was scored on everybody's columns;
            ``scoring.stale`` if a withdrawal had no effect, which must not be.
    """
    caller = _start(federation, model, processes)
    subjects = people_to_score(federation.sites, story)
    reply = caller.ask(SCORING_PURPOSE, subjects)
    first = _told("people who agreed, and some who did not", SCORING_PURPOSE, subjects, reply)
    partner = federation.sites[1]
    person = subjects[_first_joint(reply)]
    effect_s, withdrawn = _withdraw(federation, story, caller, person)
    stopped = _part_of(partner)
    processes.kill(stopped)
    without = _asked(caller, f"the same people, while {partner.data.name} does not answer", subjects)
    foreign = _asked(caller, "the same people, for another purpose", subjects, FOREIGN_PURPOSE)
    return Scored(calls=(first, withdrawn, without, foreign), withdrawal_s=effect_s)


def people_to_score(sites: Sequence[Site], story: Story) -> list[str]:
    """Some people, as the label holder writes them: known to all, some who refused somewhere, some unknown.

    Args:
        sites: Label holder first.
        story: Who each row is about.
    """
    kinds = [_kinds(site, story, place) for place, site in enumerate(sites)]
    everywhere = np.all([known != "" for known in kinds], axis=0)
    agreed = np.all([known == "granted" for known in kinds], axis=0)
    groups = [(agreed, _CONSENTING)]
    groups += [(everywhere & (known == "training-only"), _OTHERS) for known in kinds[:2]]
    groups += [((kinds[0] == "granted") & (kinds[1] == ""), _OTHERS)]
    chosen = [person for group, most in groups for person in np.flatnonzero(group)[:most]]
    rows = {person: row for row, person in enumerate(story.holders[0].person.tolist())}
    names = sites[0].written.subject_ids
    return list(dict.fromkeys(str(names[rows[person]]) for person in chosen))


def _kinds(site: Site, story: Story, place: int) -> NDArray[np.object_]:
    """What each person agreed to at a member, by person; "" for who is unknown there."""
    kinds = np.full(len(story.labels), "", dtype=object)
    kinds[story.holders[place].person] = site.written.profiles
    return kinds


def _start(federation: Federation, model: str, processes: Processes) -> Caller:
    """``hanse serve-part`` everywhere else, the links handed over, ``hanse serve`` at the label holder."""
    brand, *others = federation.sites
    folder = federation.make_callers([CALLER])[CALLER]
    for site in others:
        address = f"127.0.0.1:{free_port()}"
        arguments = ["serve-part", model, "--home", str(site.home.root), "--address", address]
        processes.start(_part_of(site), arguments, {})
    for site in others:
        processes.wait_until_ready(_part_of(site))
        write_atomic(brand.home.root / _link_of(site), site.home.link.read_bytes())
    listed = "".join(f'"{site.data.name}" = "{_link_of(site)}"\n' for site in others)
    settings = brand.home.settings
    write_atomic(settings, f"{settings.read_text()}\n[serve.partners]\n{listed}".encode())
    processes.start(SCORER, ["serve", model, "--home", str(brand.home.root)], {})
    address = processes.wait_until_ready(SCORER).split()[-1]
    name, _, version = model.partition("@")
    return Caller(address, folder, brand.home.serving_authority, (name, version))


def _part_of(site: Site) -> str:
    return f"{site.data.name}-part"


def _link_of(site: Site) -> str:
    return f"{site.data.name}.link"


def _withdraw(federation: Federation, story: Story, caller: Caller, person: str) -> tuple[float, Asked]:
    """One person withdraws at another member; asks until that has reached everybody."""
    brand, partner = federation.sites[:2]
    row = int(np.flatnonzero(brand.written.subject_ids == person)[0])
    there = np.flatnonzero(story.holders[1].person == story.holders[0].person[row])
    subject = str(partner.written.subject_ids[int(there[0])])
    federation.withdraw(partner, subject, SCORING_PURPOSE, datetime.now(UTC))
    began_s = time.monotonic()
    while time.monotonic() < began_s + _LONGEST_S:
        heed()
        asked = _asked(caller, f"one of them, who has withdrawn at {partner.data.name}", [person])
        if not asked.joint and not asked.own_columns:
            return time.monotonic() - began_s, asked
        time.sleep(_POLL_S)
    raise ServingError(
        "scoring.stale", f"a withdrawal at {partner.data.name} had no effect in {_LONGEST_S:.0f} s"
    )


def _first_joint(reply: Reply) -> int:
    rests = _rests(reply)
    if JOINT not in rests:
        raise ServingError("scoring.partner-unavailable", "nobody was scored on the columns of every member")
    return rests.index(JOINT)


def _rests(reply: Reply) -> list[str]:
    """On which columns each score rests; "" of people who have none."""
    response = reply.response or pb.ScoreResponse()
    return next((list(one.texts) for one in response.results.outputs if one.name == BASIS_OUTPUT), [])


def _asked(caller: Caller, about: str, subjects: Sequence[str], purpose: str = SCORING_PURPOSE) -> Asked:
    return _told(about, purpose, subjects, caller.ask(purpose, subjects))


def _told(about: str, purpose: str, subjects: Sequence[str], reply: Reply) -> Asked:
    rests = Counter(_rests(reply))
    return Asked(
        about=about,
        purpose=purpose,
        people=len(subjects),
        joint=rests[JOINT],
        own_columns=rests[OWN_COLUMNS],
        denied=dict(Counter(rule for rule in reply.rules if rule)),
        code=reply.code,
        latency_ms=reply.latency_ms,
    )
