"""What the ledger records decides who is admitted, on each database."""

from collections.abc import Callable
from datetime import datetime, timedelta

from hanse.policies import Agreement, ConsentEvent, ConsentLedger, Job, Policy, screen

Grant = Callable[..., ConsentEvent]
REF = "0" * 32


def job(agreement: Agreement, policy: Policy, now: datetime, opening_head: int) -> Job:
    return Job(agreement, policy, agreement.purpose, now, "brand", opening_head)


def test_nobody_is_admitted_by_an_empty_ledger(
    ledger: ConsentLedger, agreement: Agreement, policy: Policy, now: datetime
) -> None:
    ledger.heartbeat(now)
    admission = screen(job(agreement, policy, now, 0), [REF], ledger.snapshot(now))
    assert (admission.rows, admission.excluded_by_rule) == ((), {"P01": 1})


def test_a_recorded_grant_admits_and_a_withdrawal_is_out_of_the_next_snapshot(
    ledger: ConsentLedger, agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    refs = [f"{number:032x}" for number in range(3)]
    assert ledger.record([grant(event_id=ref, subject_ref=ref) for ref in refs]) == 3
    ledger.heartbeat(now)
    before = ledger.snapshot(now)
    assert screen(job(agreement, policy, now, 3), refs, before).rows == (0, 1, 2)
    head = ledger.withdraw(refs[1], "joint_modelling", now)
    after = ledger.snapshot(now)
    admission = screen(job(agreement, policy, now, head), refs, after)
    assert (admission.rows, admission.excluded_by_rule) == ((0, 2), {"P10": 1})
    assert admission.snapshot_head == head == ledger.head() == 4
    assert before.root != after.root
    # The snapshot that was taken before is what it was.
    assert screen(job(agreement, policy, now, 3), refs, before).rows == (0, 1, 2)
    ledger.verify()


def test_a_grant_admits_again_only_if_it_is_newer_than_the_withdrawal(
    ledger: ConsentLedger, agreement: Agreement, policy: Policy, grant: Grant, now: datetime
) -> None:
    ledger.record([grant()])
    ledger.withdraw(REF, agreement.purpose, now)
    ledger.record([grant(event_id="late", given_at=now - timedelta(days=1), recorded_at=now)])
    ledger.heartbeat(now)
    admission = screen(job(agreement, policy, now, ledger.head()), [REF], ledger.snapshot(now))
    assert admission.excluded_by_rule == {"P10": 1}
    later = now + timedelta(minutes=1)
    ledger.record([grant(event_id="anew", given_at=later, recorded_at=later)])
    ledger.heartbeat(later)
    anew = screen(job(agreement, policy, later, ledger.head()), [REF], ledger.snapshot(later))
    assert anew.rows == (0,)
