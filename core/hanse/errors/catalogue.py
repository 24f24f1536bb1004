"""The catalogue of error codes: status and public message of each.

A code that is retired stays here with ``retired=True``, so that old logs keep their meaning.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Status(StrEnum):
    """The gRPC status that a code becomes at a process border (names as in ``grpc.StatusCode``)."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_FOUND = "NOT_FOUND"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ABORTED = "ABORTED"
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What a code means to an outsider.

    Attributes:
        status: gRPC status at a process border.
        public_message: The only text that leaves the process; it carries no value of any request.
        retryable: Whether the same call may succeed later without anybody changing anything.
        retired: No longer raised; kept so that old logs keep their meaning.
    """

    status: Status
    public_message: str
    retryable: bool = False
    retired: bool = False


_S = Status

CATALOGUE: Final = MappingProxyType(
    {
        # Configuration
        "config.invalid": ErrorSpec(_S.FAILED_PRECONDITION, "The configuration of this site is not valid."),
        "config.missing-file": ErrorSpec(
            _S.FAILED_PRECONDITION, "A file that the configuration names is missing."
        ),
        "config.exists": ErrorSpec(_S.FAILED_PRECONDITION, "This would overwrite what is already there."),
        "config.insecure-file": ErrorSpec(_S.FAILED_PRECONDITION, "A secret file can be read by others."),
        "config.unwritable": ErrorSpec(_S.FAILED_PRECONDITION, "A file of this site cannot be written."),
        "config.bad-data": ErrorSpec(
            _S.FAILED_PRECONDITION, "The data source of this site is not as declared."
        ),
        # Protocol
        "protocol.malformed": ErrorSpec(_S.INVALID_ARGUMENT, "The message could not be read."),
        "protocol.unexpected-step": ErrorSpec(_S.FAILED_PRECONDITION, "This step is not due."),
        "protocol.replayed": ErrorSpec(_S.FAILED_PRECONDITION, "This message was seen before."),
        "protocol.version": ErrorSpec(_S.FAILED_PRECONDITION, "The protocol versions do not match."),
        "protocol.code-in-bundle": ErrorSpec(
            _S.PERMISSION_DENIED,
            "The bundle carries more than configuration; members run installed code only.",
        ),
        # Identity
        "identity.bad-key": ErrorSpec(_S.INVALID_ARGUMENT, "A key is not valid."),
        "identity.bad-signature": ErrorSpec(_S.UNAUTHENTICATED, "A signature does not verify."),
        "identity.unknown-signer": ErrorSpec(_S.UNAUTHENTICATED, "The signer is not known here."),
        "identity.unauthenticated": ErrorSpec(_S.UNAUTHENTICATED, "The caller is not known here."),
        # Refusals by the rules
        "policy.invalid": ErrorSpec(_S.INVALID_ARGUMENT, "The agreement or policy document is not valid."),
        "policy.unsigned": ErrorSpec(
            _S.PERMISSION_DENIED, "A signature that the agreement needs is missing."
        ),
        "policy.denied": ErrorSpec(_S.PERMISSION_DENIED, "The policy denies this."),
        "policy.purpose": ErrorSpec(_S.PERMISSION_DENIED, "The purpose is not covered by the agreement."),
        "policy.column": ErrorSpec(_S.PERMISSION_DENIED, "A column is not covered by the agreement."),
        "policy.cohort": ErrorSpec(
            _S.FAILED_PRECONDITION, "Fewer admitted rows than the agreement's minimum."
        ),
        "policy.pack": ErrorSpec(
            _S.FAILED_PRECONDITION, "A rule pack that the agreement names is not adopted here."
        ),
        "policy.ledger": ErrorSpec(_S.DATA_LOSS, "The consent ledger cannot be used; nothing is processed."),
        "policy.software": ErrorSpec(
            _S.FAILED_PRECONDITION, "The installed software is not the one that the agreement names."
        ),
        "policy.leakage": ErrorSpec(
            _S.PERMISSION_DENIED, "Training leaked more than the agreement allows; no model is released."
        ),
        # Refusals by the budget
        "privacy.exhausted": ErrorSpec(_S.RESOURCE_EXHAUSTED, "The privacy budget does not cover this."),
        "privacy.unsupported": ErrorSpec(_S.INVALID_ARGUMENT, "The privacy mechanism is not supported."),
        "privacy.run-state": ErrorSpec(
            _S.FAILED_PRECONDITION, "The privacy plan of this run does not allow this step."
        ),
        "privacy.ledger": ErrorSpec(_S.DATA_LOSS, "The privacy ledger is not readable."),
        # Audit
        "audit.unavailable": ErrorSpec(
            _S.UNAVAILABLE, "The audit log cannot be written; nothing is processed.", retryable=True
        ),
        "audit.integrity": ErrorSpec(_S.DATA_LOSS, "The audit log does not verify."),
        "audit.entry-size": ErrorSpec(_S.INVALID_ARGUMENT, "An entry of the audit log would be too large."),
        "audit.loss": ErrorSpec(_S.DATA_LOSS, "Entries of the audit log would be lost."),
        "audit.subject-proof": ErrorSpec(_S.DATA_LOSS, "A proof about a subject does not verify."),
        "audit.quorum": ErrorSpec(
            _S.FAILED_PRECONDITION, "Too few witnesses have co-signed the log.", retryable=True
        ),
        "audit.witness-refused": ErrorSpec(
            _S.FAILED_PRECONDITION, "A witness refused the shared log; a person has to look at it."
        ),
        # Secure sums
        "sum.roster": ErrorSpec(_S.PERMISSION_DENIED, "The members of a secure sum are not the right ones."),
        "sum.too-few": ErrorSpec(_S.PERMISSION_DENIED, "A secure sum of too few members is refused."),
        "sum.repeated": ErrorSpec(_S.PERMISSION_DENIED, "A secure sum is made once."),
        "sum.equivocation": ErrorSpec(
            _S.PERMISSION_DENIED, "A secure sum was to be opened in more than one way."
        ),
        "sum.changed-keys": ErrorSpec(_S.PERMISSION_DENIED, "Keys of a secure sum have changed."),
        "sum.foreign": ErrorSpec(_S.FAILED_PRECONDITION, "A message belongs to another secure sum."),
        "sum.bad-share": ErrorSpec(_S.ABORTED, "A share of a secure sum is not genuine."),
        # Training
        "run.insufficient-members": ErrorSpec(
            _S.UNAVAILABLE, "Fewer members answered than the agreement's minimum.", retryable=True
        ),
        "run.update-rejected": ErrorSpec(_S.ABORTED, "An update was rejected."),
        "run.no-features": ErrorSpec(_S.FAILED_PRECONDITION, "No feature has enough rows behind it."),
        "run.unsupported-model": ErrorSpec(
            _S.FAILED_PRECONDITION, "The model cannot be trained with privacy."
        ),
        "run.unprepared": ErrorSpec(
            _S.FAILED_PRECONDITION,
            "What a column's features rest on has not been learned from the members yet.",
        ),
        "run.accounts-differ": ErrorSpec(_S.ABORTED, "The members tell different things of the same run."),
        "run.alignment-stale": ErrorSpec(
            _S.ABORTED, "People who were aligned are admitted no longer; start another run.", retryable=True
        ),
        "run.order-changed": ErrorSpec(
            _S.INTERNAL, "The common people are not in the order in which they were found; start another run."
        ),
        "run.data-changed": ErrorSpec(
            _S.ABORTED,
            "The data is not what it was before the interruption; start another run.",
            retryable=True,
        ),
        "run.unsupported": ErrorSpec(
            _S.FAILED_PRECONDITION, "The agreement asks for something that runs of this kind do not do."
        ),
        "run.no-trial": ErrorSpec(
            _S.FAILED_PRECONDITION, "No trial of the sweep ended with a model that can be judged."
        ),
        "run.unknown": ErrorSpec(_S.NOT_FOUND, "There is no such run."),
        "run.busy": ErrorSpec(_S.RESOURCE_EXHAUSTED, "Another run is active.", retryable=True),
        "run.interrupted": ErrorSpec(_S.ABORTED, "The coordinator stopped during the run.", retryable=True),
        "run.cancelled": ErrorSpec(_S.ABORTED, "The run was cancelled."),
        "run.absent": ErrorSpec(_S.UNAVAILABLE, "The member was not connected when the run began."),
        "run.late": ErrorSpec(
            _S.FAILED_PRECONDITION, "The member came late to a run in sums, which takes in nobody any more."
        ),
        "run.left": ErrorSpec(_S.ABORTED, "The member has left the run for good."),
        "run.member-refused": ErrorSpec(_S.PERMISSION_DENIED, "A member refused to take part."),
        "run.engine": ErrorSpec(_S.INTERNAL, "The federated engine failed.", retryable=True),
        # Alignment
        "alignment.identifiers": ErrorSpec(
            _S.FAILED_PRECONDITION, "The identifiers of this site cannot be used as they are."
        ),
        "alignment.terms": ErrorSpec(_S.FAILED_PRECONDITION, "The members align by different terms."),
        "alignment.nobody": ErrorSpec(_S.FAILED_PRECONDITION, "The members have nobody in common."),
        "alignment.multi-buffer": ErrorSpec(
            _S.INTERNAL,
            "The library that multiplies eight points at once computed something wrong; remove `ipp-crypto`.",
        ),
        "alignment.too-few": ErrorSpec(
            _S.FAILED_PRECONDITION, "The members have fewer people in common than the agreement asks for."
        ),
        "alignment.root": ErrorSpec(_S.ABORTED, "The members did not find the same people in common."),
        "alignment.worker": ErrorSpec(_S.INTERNAL, "A process that computes for the alignment ended."),
        "alignment.repeated": ErrorSpec(
            _S.PERMISSION_DENIED, "Too many alignments, or of sets that are nearly the same."
        ),
        "alignment.history": ErrorSpec(
            _S.DATA_LOSS, "The record of earlier alignments cannot be used; nothing is aligned."
        ),
        # The exchange between members and coordinator
        "exchange.unknown-session": ErrorSpec(_S.NOT_FOUND, "There is no such session.", retryable=True),
        "exchange.unknown-peer": ErrorSpec(_S.PERMISSION_DENIED, "The session has no such member."),
        "exchange.limit": ErrorSpec(_S.RESOURCE_EXHAUSTED, "Too many sessions are open.", retryable=True),
        "exchange.too-large": ErrorSpec(_S.INVALID_ARGUMENT, "The message is too large."),
        "exchange.flooded": ErrorSpec(_S.RESOURCE_EXHAUSTED, "More was sent than was allowed."),
        "exchange.out-of-step": ErrorSpec(_S.ABORTED, "The frames do not follow each other."),
        "exchange.restarted": ErrorSpec(_S.ABORTED, "One side has lost its memory of the session."),
        "exchange.timeout": ErrorSpec(_S.DEADLINE_EXCEEDED, "The other side was too slow.", retryable=True),
        "exchange.lost": ErrorSpec(_S.UNAVAILABLE, "The connection did not come back in time."),
        "exchange.idle": ErrorSpec(_S.ABORTED, "The session was not used for too long."),
        "exchange.closed": ErrorSpec(_S.ABORTED, "The session has ended."),
        # Sealed conversations between members
        "sealed.foreign": ErrorSpec(_S.FAILED_PRECONDITION, "Two members mean different conversations."),
        "sealed.broken": ErrorSpec(
            _S.DATA_LOSS, "What a member said was altered, repeated, reordered, left out or is not its own."
        ),
        "sealed.truncated": ErrorSpec(
            _S.ABORTED, "A conversation between members stopped before both had ended it."
        ),
        # Vertical runs
        "vertical.dealing": ErrorSpec(_S.DATA_LOSS, "The dealer's random numbers do not fit together."),
        "vertical.sums": ErrorSpec(_S.DATA_LOSS, "The sums over another party's columns do not add up."),
        # Serving
        "model.not-found": ErrorSpec(_S.NOT_FOUND, "There is no such model version."),
        "model.invalid": ErrorSpec(_S.FAILED_PRECONDITION, "The model version is not valid."),
        "model.unsupported": ErrorSpec(_S.FAILED_PRECONDITION, "Models of this kind cannot be served."),
        "model.retired": ErrorSpec(_S.FAILED_PRECONDITION, "The model version is retired."),
        "model.overdue": ErrorSpec(
            _S.FAILED_PRECONDITION, "The model version is past the day until which it may be used."
        ),
        "model.lineage": ErrorSpec(
            _S.FAILED_PRECONDITION, "It cannot be told whether the model version may still be used."
        ),
        "model.gate": ErrorSpec(
            _S.FAILED_PRECONDITION, "The model version has not shown what its evaluation gate asks for."
        ),
        "scoring.not-operator": ErrorSpec(_S.PERMISSION_DENIED, "Only operators of the scorer may do this."),
        "model.no-card": ErrorSpec(_S.NOT_FOUND, "There is no card of this model version here."),
        "model.no-reasons": ErrorSpec(
            _S.FAILED_PRECONDITION, "The agreement, or this kind of model, gives no reasons of scores."
        ),
        "scoring.unreachable": ErrorSpec(_S.UNAVAILABLE, "The scorer did not answer.", retryable=True),
        "scoring.idle": ErrorSpec(_S.DEADLINE_EXCEEDED, "The stream was idle for too long.", retryable=True),
        "scoring.bad-input": ErrorSpec(_S.INVALID_ARGUMENT, "The inputs do not fit the model."),
        "scoring.busy": ErrorSpec(_S.RESOURCE_EXHAUSTED, "Too many calls at once.", retryable=True),
        "scoring.slow": ErrorSpec(
            _S.DEADLINE_EXCEEDED,
            "The request did not arrive, or the answer was not taken, in time.",
            retryable=True,
        ),
        "scoring.timeout": ErrorSpec(_S.DEADLINE_EXCEEDED, "The call took too long.", retryable=True),
        "scoring.abandoned": ErrorSpec(
            _S.ABORTED, "The call was given up before it was answered.", retryable=True
        ),
        "scoring.stopping": ErrorSpec(_S.UNAVAILABLE, "The scorer stops.", retryable=True),
        "scoring.quota": ErrorSpec(
            _S.RESOURCE_EXHAUSTED,
            "The caller has asked about as many people as it may today.",
            retryable=True,
        ),
        "scoring.quota-store": ErrorSpec(
            _S.UNAVAILABLE, "The record of quotas cannot be used; nobody is scored.", retryable=True
        ),
        "scoring.stale": ErrorSpec(
            _S.UNAVAILABLE, "Whether consents were withdrawn is not known; nobody is scored.", retryable=True
        ),
        "scoring.partner-unavailable": ErrorSpec(
            _S.UNAVAILABLE, "A member that a score needs cannot be reached.", retryable=True
        ),
        "scoring.partner-timeout": ErrorSpec(
            _S.DEADLINE_EXCEEDED, "A member that a score needs did not answer in time.", retryable=True
        ),
        "scoring.partner-refused": ErrorSpec(
            _S.FAILED_PRECONDITION, "A member that a score needs refuses to answer."
        ),
        "scoring.partner-invalid": ErrorSpec(
            _S.DATA_LOSS, "What a member answered is no answer to what it was asked."
        ),
        "scoring.partner-quota": ErrorSpec(
            _S.RESOURCE_EXHAUSTED, "A member was asked about as many people today as the agreement allows."
        ),
        "internal.error": ErrorSpec(
            _S.INTERNAL, "Something failed inside; the site's own log has the detail."
        ),
    }
)
