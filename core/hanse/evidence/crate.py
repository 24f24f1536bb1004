"""Metadata of a package as JSON-LD: RO-Crate 1.2 (https://w3id.org/ro/crate/1.2), written by hand. Pure.

The terms are those of the Five Safes profile (https://w3id.org/5s-crate/0.4): an agreement is the project
that a run is part of, each run is a ``CreateAction`` with its outcome. The package does not claim to conform
to that profile, which also asks for a BagIt folder, a workflow crate and the names of persons: none of them
is in a log (docs/adr/0019).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hanse.audit import EventType
from hanse.evidence.figures import Row, runs
from hanse.policies import Agreement

NAME: Final = "ro-crate-metadata.json"
_CRATE: Final = "https://w3id.org/ro/crate/1.2"
_PROFILE: Final = "https://w3id.org/5s-crate/0.4"
_FORMATS: Final = {
    "csv": "text/csv",
    "html": "text/html",
    "jsonl": "application/jsonl",
    "py": "text/x-python",
    "txt": "text/plain",
}
_STATUS: Final = "http://schema.org/{}ActionStatus"

Entity = dict[str, Any]


def metadata(
    origin: str, rows: Sequence[Row], files: Mapping[str, bytes], agreements: Mapping[str, Agreement]
) -> bytes:
    """Writes the metadata file.

    Args:
        origin: Which log.
        rows: Index and entry of what is disclosed, at least one.
        files: All other files of the package, by name.
        agreements: Those among them, by digest.

    Returns:
        JSON-LD, the same bytes for the same arguments.
    """
    graph = [
        {"@id": NAME, "@type": "CreativeWork", "about": _ref("./"), "conformsTo": _ref(_CRATE)},
        _root(origin, rows, files, agreements),
        {"@id": _PROFILE, "@type": ["CreativeWork", "Profile"], "name": "Five Safes RO-Crate profile 0.4"},
        {
            "@id": "#terms",
            "@type": "CreativeWork",
            "name": "Handed over for review under the agreements that it names",
            "description": "No licence to publish or to pass on is given with this package.",
        },
        {"@id": "#exporter", "@type": "Organization", "name": origin},
        *(_file(name, data) for name, data in sorted(files.items())),
        *(_project(digest, agreement) for digest, agreement in sorted(agreements.items())),
        *(_action(run, entries) for run, entries in runs(rows).items()),
    ]
    document = {"@context": f"{_CRATE}/context", "@graph": graph}
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _root(
    origin: str, rows: Sequence[Row], files: Mapping[str, bytes], agreements: Mapping[str, Agreement]
) -> Entity:
    # The time of the newest entry, not of the export: the same log makes the same package.
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Evidence from the log {origin}",
        "description": "Entries of a transparency log with what proves them. verify.py checks it offline.",
        "datePublished": rows[-1][1].time,
        "license": _ref("#terms"),
        "publisher": _ref("#exporter"),
        "isBasedOn": _ref(_PROFILE),
        "mainEntity": _ref("entries.jsonl"),
        "sourceOrganization": [_ref(f"#agreement-{digest}") for digest in sorted(agreements)],
        "hasPart": [_ref(name) for name in sorted(files)],
        "mentions": [_ref(f"#{run}") for run in runs(rows)],
    }


def _file(name: str, data: bytes) -> Entity:
    entity: Entity = {
        "@id": name,
        "@type": "File",
        "name": name.rpartition("/")[2],
        "contentSize": str(len(data)),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    kind = _FORMATS.get(name.rpartition(".")[2])
    return {**entity, "encodingFormat": kind} if kind else entity


def _project(digest: str, agreement: Agreement) -> Entity:
    return {
        "@id": f"#agreement-{digest}",
        "@type": "Project",
        "name": agreement.title,
        "identifier": digest,
        "member": [
            {"@id": f"#member-{member.name}", "@type": "Organization", "name": member.organisation}
            for member in agreement.members
        ],
        "subjectOf": _ref(f"agreements/{digest}.agreement"),
    }


def _action(run: str, entries: Sequence[Row]) -> Entity:
    """A run: who did it, when, and what came out, as far as its entries say."""
    last = entries[-1][1]
    models = [entry.model_out for _, entry in entries if entry.type is EventType.MODEL_REGISTERED]
    action: Entity = {
        "@id": f"#{run}",
        "@type": "CreateAction",
        "name": f"Training run {run}",
        "agent": _ref("#exporter"),
        "startTime": entries[0][1].time,
        "endTime": last.time,
        "actionStatus": _STATUS.format(_outcome(entries)),
        "object": [_ref(f"agreements/{digest}.agreement") for digest in _agreements(entries)],
    }
    return {**action, "result": [{"@id": f"urn:sha256:{digest}"} for digest in models]} if models else action


def _agreements(entries: Sequence[Row]) -> Iterator[str]:
    yield from sorted({entry.agreement for _, entry in entries if entry.agreement is not None})


def _outcome(entries: Sequence[Row]) -> str:
    kinds = {entry.type for _, entry in entries}
    if EventType.RUN_FINISHED in kinds:
        return "Completed"
    return "Failed" if EventType.RUN_FAILED in kinds else "Active"


def _ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}
