"""Every entry of real runs, left out: found, or listed with the reason why it cannot be."""

from collections.abc import Callable, Iterable

import pytest
from tests.completeness.conftest import Story, unwritten, without

from hanse.audit import Entry, EventType
from hanse.audit.completeness import check_member, check_shared
from hanse.audit.findings import Finding

ALONE = {
    ("shared", EventType.ROUND_SUBMITTED): "of a step that was not completed, or by a member that left then",
    ("shared", EventType.MEMBER_LEFT): "when too few were left and the run ended: nobody was missed any more",
    ("member", EventType.AGREEMENT_ACCEPTED): "of a run that was refused at once",
    ("member", EventType.RUN_PREPARED): "as the last step before a run failed",
    ("member", EventType.ROUND_TRAINED): "as the last step before a run failed",
    ("member", EventType.SCORE_WITHHELD): "a call: the caller was told the index of its entry, or refused",
    ("member", EventType.SCORE_DENIED): "a call that was refused",
}
"""What nothing else in the same log speaks of: if its actor never wrote it, no check can miss it there."""


def checks(log: str) -> Callable[[Iterable[Entry]], list[Finding]]:
    return check_shared if log == "shared" else lambda entries: check_member(entries, log)


def test_real_runs_give_no_findings(story: Story) -> None:
    assert check_shared(story.logs["shared"]) == []
    for member in story.members:
        assert check_member(story.logs[member], member) == []
        assert story.compare(member) == []


def test_an_entry_that_is_taken_out_is_missing_in_the_sequence_of_its_actor(story: Story) -> None:
    for log, entries in story.logs.items():
        last = {entry.actor: index for index, entry in enumerate(entries)}
        for index, entry in enumerate(entries):
            found = {finding.kind for finding in checks(log)(without(entries, index))}
            # An actor's last entry leaves no gap: a saved checkpoint and the witnesses show that.
            assert "sequence-gap" in found or last[entry.actor] == index, (log, index, entry.type)


def test_an_entry_that_was_never_written_is_missed(stories: Callable[[str], Story]) -> None:
    """The actor goes on counting as if nothing had been: only what other entries say can tell."""
    missed: set[tuple[str, EventType]] = set()
    for name in ("withdrawal", "losses"):
        for log, entries in stories(name).logs.items():
            for index, entry in enumerate(entries):
                if not checks(log)(unwritten(entries, index)):
                    missed.add(("shared" if log == "shared" else "member", entry.type))
    assert missed == set(ALONE)


def test_what_one_log_cannot_tell_the_other_can(story: Story) -> None:
    """A member that rewrites its own log, sequence and all, contradicts what it stated of it."""
    for member in story.members:
        entries = story.logs[member]
        stated = max(story.stated_sizes(member))
        for index in range(stated):
            kinds = {f.kind for f in story.compare(member, own=unwritten(entries, index))}
            assert kinds & {"checkpoint-differs", "checkpoint-beyond"}, (member, index, entries[index].type)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_shared_log_without_its_last_entries_is_open_or_contradicted(story: Story, count: int) -> None:
    shared = story.logs["shared"][:-count]
    found = [f for member in story.members for f in story.compare(member, shared=shared)] + check_shared(
        shared
    )
    assert found
