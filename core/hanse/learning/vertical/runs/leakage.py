"""Leakage reports of a run, from the label holder that makes them to the manifest that shows them."""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from hanse.crypto import canonical_json, parse_canonical_json
from hanse.errors import PolicyError, ProtocolError
from hanse.learning.vertical.leakage.report import LeakageReport, check_release
from hanse.policies import Vertical

LEAKAGE_FILE: Final = "leakage.json"
"""In the label holder's part: the reports as it made them, which its signature covers."""

Reports = tuple[LeakageReport, ...]


def encode_report(report: LeakageReport) -> bytes:
    """A report as it is told to the coordinator: canonical JSON."""
    return canonical_json(report.model_dump(mode="json"))


def encode_reports(reports: Reports) -> bytes:
    """Reports as the file that stays with the label holder's part; equal reports give equal bytes."""
    return canonical_json([report.model_dump(mode="json") for report in reports])


def decode_reports(data: bytes) -> Reports:
    """Reads what :func:`encode_reports` wrote.

    Raises:
        ProtocolError: ``protocol.malformed`` for other bytes.
    """
    told = parse_canonical_json(data)
    if not isinstance(told, list):
        raise ProtocolError("protocol.malformed", "not a list of leakage reports")
    return read_reports([canonical_json(one) for one in told], "this site")


def read_reports(told: Sequence[bytes], member: str) -> Reports:
    """The reports that a label holder tells.

    Args:
        told: As :func:`encode_report`; bytes from anywhere.
        member: Who tells them.

    Raises:
        ProtocolError: ``protocol.malformed`` if one is none.
    """
    try:
        return tuple(LeakageReport.model_validate_json(one) for one in told)
    except ValidationError as error:
        raise ProtocolError("protocol.malformed", f"{member}: not a leakage report") from error


def check_reports(reports: Reports, vertical: Vertical) -> None:
    """Refuses a model of which a report is missing, or whose training leaked more than is agreed.

    Args:
        reports: All of them.
        vertical: Of the agreement.

    Raises:
        PolicyError: ``policy.leakage``.
    """
    if sorted(one.party for one in reports) != sorted(vertical.feature_holders):
        raise PolicyError("policy.leakage", "there is not one leakage report for each feature holder")
    check_release(reports, vertical.maximum_leakage)
