"""Answers a subject at the member: collects what the log, the kept sets and the ledger have about them."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from hanse.audit import Entry, EventType, LogReader, inclusion_proof
from hanse.audit.subject_set import Epoch, InclusionProof, encode_proof, subject_tag
from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.client.peers import own_keys
from hanse.client.receipt_files import ReceiptFile
from hanse.client.subject_anchor import make_anchor
from hanse.client.subject_answer import TOLD_BY, Answer, answer, require_match
from hanse.client.subject_bundle import Bundle, LogEntry, SetAnswer, WhyNot, format_bundle
from hanse.crypto import sha256_hex
from hanse.errors import AuditError, ConfigurationError, PolicyError
from hanse.evidence import Evidence
from hanse.learning.artifact import MANIFEST_FILE
from hanse.policies import ConsentLedger
from hanse.policies.fields import to_ms
from hanse.policies.receipts import Receipt, open_receipt
from hanse.policies.subject_sets import SubjectSets

# In JSON a quotation mark inside a string has a backslash, so this finds nothing but the types of entries.
_RELEVANT: Final = re.compile(
    b'"type":"(' + b"|".join(re.escape(kind.value.encode()) for kind in sorted(TOLD_BY)) + b')"'
)


class _Asked(NamedTuple):
    """Whom it is about, and from when to when.

    Attributes:
        secret: The subject's secret.
        since_ms: From when on it counted.
        until_ms: Until when.
    """

    secret: bytes
    since_ms: float
    until_ms: float

    def counted(self, at_ms: int) -> bool:
        """Whether a set that was first used at that time knew the subject by this secret, if at all."""
        return self.since_ms <= at_ms < self.until_ms


class Proved(NamedTuple):
    """What was made.

    Attributes:
        bundle: The bundle's bytes.
        answer: What it shows, checked as the subject will check it.
    """

    bundle: bytes
    answer: Answer


def prove(
    home: MemberHome,
    receipt: ReceiptFile,
    secret: bytes | None,
    now: datetime,
    shared: Evidence | None = None,
) -> Proved:
    """Makes the bundle for the subject of a receipt.

    Args:
        home: The member's folder.
        receipt: The subject's receipt.
        secret: The subject's secret, as the subject handed it in; None to take what the ledger has.
        now: Now.
        shared: The shared log, to prove what of this member's log the witnesses have seen.

    Returns:
        The bundle, and what it shows.

    Raises:
        PolicyError: ``policy.invalid`` if the receipt is not this member's, or its secret is neither given
            nor kept here any more.
        AuditError: If the log cannot be read, or is not what it was.
        ConfigurationError: If another file of the member cannot be read.
    """
    with LogReader.open(log_place(home)) as reader:
        found = list(_relevant(reader))
        keys = own_keys(home)
        opened = open_receipt(receipt.note, *keys)
        with open_ledger(home) as ledger:
            asked = _asked(ledger, opened, secret or receipt.secret)
        entries = [
            LogEntry(
                index=index,
                entry=leaf.decode(),
                path=_base64(inclusion_proof(index, reader.size, reader.hashes)),
            )
            for index, leaf, _ in found
        ]
        note = reader.note.decode()
        anchor = None if shared is None else make_anchor(shared, keys, reader.size, reader.hashes)
    bundle = Bundle(
        format="hanse subject bundle v1",
        made_at=now,
        checkpoint=note,
        entries=tuple(entries),
        sets=tuple(_sets(home, [entry for _, _, entry in found], asked)),
        manifests=tuple(_manifests(home, {entry.model_out for _, _, entry in found})),
        anchor=anchor,
    )
    # What a subject is handed must convince them: it is checked here as they will check it.
    return Proved(format_bundle(bundle), answer(bundle, receipt.note, asked.secret, keys))


def _relevant(reader: LogReader) -> Iterator[tuple[int, bytes, Entry]]:
    """Index, bytes and content of every entry that tells of a run."""
    for index, leaf in enumerate(reader.leaves(0, reader.size)):
        if _RELEVANT.search(leaf):
            yield index, leaf, Entry.parse(leaf)


def _asked(ledger: ConsentLedger, receipt: Receipt, given: bytes | None) -> _Asked:
    """The secret, and when it counted: what a set says of any other time is no answer."""
    kept = ledger.secret_of(receipt.pii_principal_id)
    own = None if kept is None else kept.secret
    secret = own if given is None else given
    if secret is None or not receipt.is_for(secret):
        if given is not None:
            require_match(receipt, given)
        raise PolicyError(
            "policy.invalid", "the secret of this receipt is not kept here any more; give it with --secret"
        )
    if kept is None:
        return _Asked(secret, 0, 0)
    if secret == own:
        return _Asked(secret, kept.since_ms if kept.times_forgotten else 0, float("inf"))
    return _Asked(secret, 0, kept.forgotten_ms or 0 if kept.times_forgotten == 1 else 0)


def _sets(home: MemberHome, entries: list[Entry], asked: _Asked) -> Iterator[SetAnswer]:
    """One answer for each set, in the order in which they were first used."""
    kept = SubjectSets(home.subject_sets)
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.type is EventType.ROUND_ADMITTED and entry.subject_set_root is not None:
            first.setdefault(entry.subject_set_root, entry)
    for root, entry in first.items():
        proof: bytes | WhyNot = _proof(kept, root, entry, asked)
        if isinstance(proof, bytes):
            yield SetAnswer(root=root, proof=base64.b64encode(proof).decode(), why_not=None)
        else:
            yield SetAnswer(root=root, proof=None, why_not=proof)


def _proof(kept: SubjectSets, root: str, entry: Entry, asked: _Asked) -> "bytes | WhyNot":
    if entry.agreement is None or entry.run is None or entry.subject_epoch is None:
        return "damaged"
    try:
        tags = kept.open(root, entry.subject_set_size or 0)
    except (AuditError, ConfigurationError):
        return "damaged"
    if tags is None:
        return "deleted"
    proof = tags.prove(subject_tag(asked.secret, Epoch(entry.agreement, entry.run, entry.subject_epoch)))
    if not isinstance(proof, InclusionProof) and not asked.counted(to_ms(entry.at)):
        return "other-secret"
    return encode_proof(proof)


def _manifests(home: MemberHome, digests: set[str | None]) -> Iterator[str]:
    """The signed manifests, as far as they are here, of models that the log knows by digest."""
    for path in sorted(home.models.glob(f"*/{MANIFEST_FILE}")):
        with suppress(OSError, UnicodeDecodeError):
            data = path.read_bytes()
            if sha256_hex(data) in digests:
                yield data.decode()


def _base64(digests: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(base64.b64encode(digest).decode() for digest in digests)
