"""What a bundle shows a subject, checked with the subject's secret and the member's keys alone. No I/O.

The receipt, which the member signed, commits to the secret; the checkpoint, which the member signed, commits
to every entry; an entry commits to a set of subjects. So whoever has receipt and secret needs to believe
nobody that the answer about a set is about them. What it is worth beyond that: :data:`LIMITS`.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from hanse.audit import Checkpoint, Entry, EventType, check_inclusion, parse_checkpoint
from hanse.audit.policy_file import TrustPolicy
from hanse.audit.subject_set import Epoch, check_proof, parse_proof, subject_tag
from hanse.client.subject_anchor import check_anchor
from hanse.client.subject_bundle import Bundle, LogEntry, SetAnswer
from hanse.crypto import VerifierKey, open_note, sha256_hex
from hanse.errors import AuditError, HanseError, PolicyError, ServingError
from hanse.learning import read_manifest
from hanse.policies.receipts import Receipt, open_receipt

Verdict: TypeAlias = Literal["used", "not used", "cannot tell"]

TOLD_BY: Final = frozenset(
    {
        EventType.ROUND_ADMITTED,
        EventType.ROUND_TRAINED,
        EventType.RUN_FINISHED,
        EventType.RUN_FAILED,
        EventType.SUBJECTS_DELETED,
    }
)
"""The kinds of entries that a bundle holds."""

LIMITS: Final = (
    (
        "It shows what the member committed to in its log before it read any data. It does not show what a "
        "processor read. What makes that harder to fake: the rows used must be as many as were admitted "
        "(rule P32), and the shared log has the member's signed statement of the same set for every step."
    ),
    (
        "'Not used' assumes that the set in the log is sorted, and that you had no other secret at this "
        "member. An auditor can check the first from the whole set, several people by comparing their proofs."
    ),
    "'Used' means admitted. Whether a row trained the model or was held out to evaluate it is not said.",
    (
        "It covers the entries of the bundle. Steps that are missing from a run are noticed; that a whole "
        "run was left out is not. Compare the runs with an export of the member's log or of the shared log."
    ),
    (
        "It is about this member alone. Other members of the same run answer for themselves, and nothing is "
        "said about copies of data or models outside of the log."
    ),
)
"""What an answer does not prove; shown with every answer."""

_REASONS: Final = {
    "deleted": "the set was deleted when its time was over",
    "damaged": "the member's file of the set is damaged",
    "other-secret": "another secret of yours may have counted then",
    None: "the bundle has no proof about the set",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One use of the member's rows, or one that is missing.

    Attributes:
        name: ``preparation``, ``round 2``, ``evaluation``.
        verdict: Whether the subject's row was admitted.
        epoch: Which set of the run; None for a step that is missing.
        size: How many were admitted.
        time: When, as in the log.
        entry: Index of the entry.
        reason: Why it cannot be told.
    """

    name: str
    verdict: Verdict
    epoch: int | None = None
    size: int | None = None
    time: str | None = None
    entry: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model version that came out of a run.

    Attributes:
        digest: SHA-256 of its signed manifest, from the log.
        reference: Its name and version; None if the member does not have the manifest.
    """

    digest: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """One run.

    Attributes:
        run: Its identifier.
        agreement: Digest of its agreement.
        verdict: ``used`` if any step used the row; ``not used`` if none did and none is missing.
        steps: Its steps.
        ended: ``finished``, ``failed`` or ``not ended``, as far as the member knows.
        model: What came out of it; None if nothing is known to have.
    """

    run: str
    agreement: str
    verdict: Verdict
    steps: tuple[Step, ...]
    ended: str
    model: ModelAnswer | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was shown.

    Attributes:
        member: Name of the member's log.
        log_size: Entries of the log at the checkpoint.
        log_root: Root of its tree, 64 hex digits.
        runs: The runs, in order.
        warnings: What is not as it should be, though every signature and proof is right.
        cosigned: How many entries of the log, from the first, the witnesses' quorum stands behind; None if
            that was not checked.
    """

    member: str
    log_size: int
    log_root: str
    runs: tuple[RunAnswer, ...]
    warnings: tuple[str, ...]
    cosigned: int | None = None


@dataclass(slots=True)
class _Run:
    """Entries of one run, in order."""

    agreement: str
    admitted: list[tuple[int, Entry]] = field(default_factory=list)
    trained: list[tuple[int, Entry]] = field(default_factory=list)
    end: Entry | None = None


def answer(
    bundle: Bundle,
    receipt_note: bytes,
    secret: bytes,
    keys: Sequence[VerifierKey],
    policy: TrustPolicy | None = None,
) -> Answer:
    """Checks a bundle, and says what it shows.

    Args:
        bundle: From anywhere.
        receipt_note: The subject's receipt.
        secret: The subject's secret.
        keys: The keys that the member's log has had, from elsewhere; usually one.
        policy: Whose cosignatures of the shared log count; without one, none is checked.

    Returns:
        What it shows about the subject who has the secret.

    Raises:
        PolicyError: ``policy.invalid`` if receipt and secret do not belong together, or the member did not
            sign the receipt.
        AuditError: ``audit.integrity`` if an entry is not in the log, ``audit.subject-proof`` if a proof does
            not hold; names the entry. ``audit.quorum`` if the policy's witnesses did not co-sign.
        IdentityError: If the checkpoint is not signed by one of the keys.
        ProtocolError: ``protocol.malformed`` if something is not of its form.
    """
    require_match(open_receipt(receipt_note, *keys), secret)
    checkpoint = parse_checkpoint(open_note(bundle.checkpoint.encode(), *keys).text)
    if checkpoint.origin not in {key.name for key in keys}:
        raise AuditError("audit.integrity", f"the checkpoint is that of {checkpoint.origin}")
    cosigned = None if policy is None else check_anchor(bundle.anchor, policy, keys, checkpoint)
    entries = _entries(bundle.entries, checkpoint)
    runs, deleted = _grouped(entries)
    proofs = {own.root: own for own in bundle.sets}
    manifests = {sha256_hex(note.encode()): note.encode() for note in bundle.manifests}
    told = tuple(_run(name, run, proofs, secret, manifests) for name, run in runs.items())
    warnings = (
        *_unlogged(bundle.sets, deleted),
        *(text for name, run in runs.items() for text in _rows(name, run)),
        *_uncovered(runs, cosigned),
    )
    return Answer(checkpoint.origin, checkpoint.size, checkpoint.root.hex(), told, warnings, cosigned)


def require_match(receipt: Receipt, secret: bytes) -> None:
    """Raises unless the secret is the one that the receipt commits to.

    Raises:
        PolicyError: ``policy.invalid``.
    """
    if not receipt.is_for(secret):
        raise PolicyError("policy.invalid", "the secret is not the one that belongs to the receipt")


def _entries(given: Iterable[LogEntry], checkpoint: Checkpoint) -> list[tuple[int, Entry]]:
    """The entries, of each of which it was checked that it is in the log, at its place and once."""
    entries: list[tuple[int, Entry]] = []
    for own in given:
        data = own.entry.encode()
        path = [base64.b64decode(digest) for digest in own.path]
        check_inclusion(data, own.index, checkpoint.size, checkpoint.root, path)
        if entries and own.index <= entries[-1][0]:
            raise AuditError("audit.integrity", "the entries are not in order", entry=own.index)
        entries.append((own.index, Entry.parse(data)))
    return entries


def _grouped(entries: Iterable[tuple[int, Entry]]) -> tuple[dict[str, _Run], set[str | None]]:
    """The entries by run, and the roots of the sets that were deleted."""
    runs: dict[str, _Run] = {}
    deleted: set[str | None] = set()
    for index, entry in entries:
        if entry.type is EventType.SUBJECTS_DELETED:
            deleted.add(entry.subject_set_root)
        if entry.run is None or entry.type not in TOLD_BY:
            continue
        if entry.type is EventType.ROUND_ADMITTED:
            run = runs.setdefault(entry.run, _Run(entry.agreement or ""))
            run.admitted.append((index, entry))
        elif entry.run in runs:
            run = runs[entry.run]
            if entry.type is EventType.ROUND_TRAINED:
                run.trained.append((index, entry))
            elif entry.type is not EventType.SUBJECTS_DELETED:
                run.end = entry
    return runs, deleted


def _run(
    name: str, run: _Run, proofs: Mapping[str, SetAnswer], secret: bytes, manifests: Mapping[str, bytes]
) -> RunAnswer:
    steps = tuple(_steps(run, proofs, secret))
    verdicts = {step.verdict for step in steps}
    verdict: Verdict = "cannot tell" if "cannot tell" in verdicts else "not used"
    if "used" in verdicts:
        verdict = "used"
    ended = "not ended" if run.end is None else run.end.type.value.removeprefix("run.")
    model = None
    if run.end is not None and run.end.model_out is not None:
        digest = run.end.model_out
        model = ModelAnswer(digest, _reference(manifests.get(digest), name))
    return RunAnswer(name, run.agreement, verdict, steps, ended, model)


def _steps(run: _Run, proofs: Mapping[str, SetAnswer], secret: bytes) -> Iterable[Step]:
    """Every step with what is shown of it, and those that must have been though the bundle lacks them."""
    rounds = [entry.round for _, entry in (*run.admitted, *run.trained) if entry.round is not None]
    last = max(rounds, default=0)
    names: list[str] = []
    for index, entry in run.admitted:
        before = not any(name.startswith("round") for name in names)
        name = f"round {entry.round}" if entry.round else "preparation" if before else "evaluation"
        names.append(name)
        yield _step(name, index, entry, proofs, secret)
    expected = ["preparation", *(f"round {number}" for number in range(1, last + 1))]
    if run.end is not None and run.end.type is EventType.RUN_FINISHED:
        expected.append("evaluation")
    for name in expected:
        if name not in names:
            yield Step(name, "cannot tell", reason="the bundle does not have its entry")


def _step(name: str, index: int, entry: Entry, proofs: Mapping[str, SetAnswer], secret: bytes) -> Step:
    root, size, number = entry.subject_set_root, entry.subject_set_size, entry.subject_epoch
    if root is None or size is None or number is None or entry.agreement is None or entry.run is None:
        return Step(name, "cannot tell", None, None, entry.time, index, "the entry names no set")
    shown = proofs.get(root)
    if shown is None or shown.proof is None:
        reason = _REASONS[None if shown is None else shown.why_not]
        return Step(name, "cannot tell", number, size, entry.time, index, reason)
    tag = subject_tag(secret, Epoch(entry.agreement, entry.run, number))
    try:
        used = check_proof(parse_proof(base64.b64decode(shown.proof)), tag, bytes.fromhex(root), size)
    except HanseError as error:
        raise AuditError("audit.subject-proof", error.detail, entry=index) from error
    return Step(name, "used" if used else "not used", number, size, entry.time, index)


def _reference(manifest: bytes | None, run: str) -> str | None:
    """Name and version that a manifest gives, which the digest in the log commits to."""
    if manifest is None:
        return None
    try:
        read = read_manifest(manifest)
    except ServingError:
        return None
    return read.reference if read.run == run else None


def _unlogged(sets: Iterable[SetAnswer], deleted: set[str | None]) -> Iterable[str]:
    """Sets that are said to be deleted, though the log does not say so."""
    for own in sets:
        if own.why_not == "deleted" and own.root not in deleted:
            yield f"the set {own.root[:16]}… is not there, and no entry says that it was deleted"


def _uncovered(runs: Mapping[str, _Run], cosigned: int | None) -> Iterable[str]:
    """Steps that are in no log that the witnesses have seen."""
    if cosigned is None:
        return
    for name, run in runs.items():
        if any(index >= cosigned for index, _ in (*run.admitted, *run.trained)):
            yield f"run {name} has steps after entry {cosigned - 1}: no witness has seen them"


def _rows(name: str, run: _Run) -> Iterable[str]:
    """Rounds that used other numbers of rows than were admitted, by the member's own words (P32)."""
    admitted = {entry.round: entry.subject_set_size for _, entry in run.admitted}
    for index, entry in run.trained:
        if entry.round in admitted and entry.rows_used != admitted[entry.round]:
            yield f"run {name}, round {entry.round}: by entry {index}, not the rows admitted were used"
