"""What a run found of its members' updates and their worth, from its own record: it survives a restart."""

from hanse.audit import EventType
from hanse.learning.robustness import Finding, RobustnessReport
from hanse.learning.update_shares import RunContributions, divide_run
from hanse.policies import Agreement
from hanse.server.runs import RunRecord


def run_contributions(record: RunRecord, agreement: Agreement) -> RunContributions | None:
    """What each member added to a run, if the agreement has it computed.

    Args:
        record: Of the run, which is evaluated.
        agreement: Of the run.
    """
    if not agreement.contributions:
        return None
    rounds = {facts["evaluated_round"]: facts for facts in record.told(EventType.ROUND_AGGREGATED)}
    ends = record.told(EventType.RUN_EVALUATED)[-1:]
    # What came after the state that is kept has added nothing to the model.
    kept = ends[0].get("kept_round", len(rounds)) if ends else len(rounds)
    numbers = sorted(number for number in rounds if number < kept)
    last = [facts for facts in ends if facts["evaluated_round"] == kept] or [rounds.get(kept, {})]
    losses = [facts.get("log_loss") for facts in [*(rounds[number] for number in numbers), *last]]
    shares = [rounds[number].get("shares", {}) for number in numbers]
    return divide_run([member.name for member in agreement.members], losses, shares)


def robustness_report(record: RunRecord, agreement: Agreement) -> RobustnessReport | None:
    """What the defence of a run did.

    Args:
        record: Of the run.
        agreement: Of the run.

    Returns:
        The report; members that left for what was found of them are excluded. None where no update is seen.
    """
    if agreement.secure_sums:
        return None
    findings = [Finding.model_validate(dict(facts)) for facts in record.told(EventType.UPDATE_SCREENED)]
    named = {finding.members[0] for finding in findings}
    left = {facts["member"] for facts in record.told(EventType.MEMBER_LEFT) if facts["step"] == "update"}
    return RobustnessReport(
        mode="individual",
        rounds=len(record.told(EventType.ROUND_AGGREGATED)),
        findings=tuple(findings),
        excluded=tuple(sorted(named & left)),
        rolled_back=(),
    )
