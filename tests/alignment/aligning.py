"""What the tests of the alignment share: members in threads, and rules."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from hanse.alignment.identifiers import Column, prepare
from hanse.alignment.taking_part import Alignment, take_part
from hanse.alignment.terms import Terms
from hanse.exchange.peers import MemoryChannel, memory_pair
from hanse.policies.agreement.alignment import AlignmentRules, IdentifierRule

Table = Mapping[str, Sequence[object]]


def make_rules(kinds: Sequence[str] = ("email", "phone"), **changes: Any) -> AlignmentRules:
    made = {
        "email": IdentifierRule(kind="email", normalisation="email"),
        "phone": IdentifierRule(kind="phone", normalisation="phone", country_code="49"),
        "code": IdentifierRule(kind="code", normalisation="exact"),
    }
    fields = {
        "identifiers": tuple(made[kind] for kind in kinds),
        "duplicates": "leave_out",
        "malformed": "leave_out",
        "minimum": 2,
        "smallest_set": 16,
        "runs": 10,
    }
    return AlignmentRules(**{**fields, **changes})


def make_terms(names: Sequence[str], rules: AlignmentRules, **changes: str) -> Terms:
    fields = {"agreement": "ab" * 32, "run": "run-1", "purpose": "joint_modelling.propensity"}
    return Terms(**{**fields, **changes}, label_holder=names[0], members=tuple(names), rules=rules)


def connect(names: Sequence[str]) -> dict[str, dict[str, MemoryChannel]]:
    """A channel between every two members."""
    channels: dict[str, dict[str, MemoryChannel]] = {name: {} for name in names}
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            channels[one][other], channels[other][one] = memory_pair(one, other, 20.0)
    return channels


def align(
    tables: Mapping[str, Table],
    rules: AlignmentRules,
    *,
    terms: Mapping[str, Terms] | None = None,
    channels: Mapping[str, Mapping[str, Any]] | None = None,
    processes: int = 0,
) -> dict[str, Alignment | Exception]:
    """What every member has in the end; the first table is the label holder's."""
    names = tuple(tables)
    channels = channels or connect(names)
    done: dict[str, Alignment | Exception] = {}

    def be(name: str) -> None:
        try:
            columns = {kind: Column(kind, values) for kind, values in tables[name].items()}
            prepared = prepare(columns, rules, f"{name}.csv", os.urandom)
            agreed = terms[name] if terms else make_terms(names, rules)
            done[name] = take_part(name, prepared, channels[name], agreed, processes=processes)
        except Exception as error:  # noqa: BLE001 - what a member ends with is what is tested
            done[name] = error
            for channel in channels[name].values():
                channel.close()

    threads = [threading.Thread(target=be, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done
