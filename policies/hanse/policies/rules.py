"""The rules that this version enforces, with the articles they come from.

Identifiers are stable: they appear in decisions, log entries and messages. What a rule's text says here is
what this version checks, not what the article says in full; see the legal note in the documentation. Numbers
are those of the PIPL (Personal Information Protection Law of China) and the GDPR (Regulation (EU) 2016/679).
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hanse.crypto import canonical_json, sha256_hex


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: ``P01`` … ``P32``.
        articles: What it comes from.
        message: What was wrong when it refuses.
        remedy: What to do.
    """

    id: str
    articles: tuple[str, ...]
    message: str
    remedy: str


def _rule(rule_id: str, pipl: str, gdpr: str, message: str, remedy: str) -> tuple[str, Rule]:
    articles = (*(f"PIPL {part}" for part in pipl.split()), *(f"GDPR {part}" for part in gdpr.split()))
    return rule_id, Rule(rule_id, articles, message, remedy)


RULES: Final = MappingProxyType(
    dict(
        (
            _rule(
                "P01", "13", "6(1)",
                "No consent of this subject to a member of the agreement is on file.",
                "Ask the subject, or leave the record out.",
            ),
            _rule(
                "P02", "14", "4(11) 7(1)",
                "It is not shown that the subject acted: the grant is pre-ticked, has no active method, or "
                "comes without the notice that was published before it.",
                "Ask the subject again, with a notice and without a pre-ticked box.",
            ),
            _rule(
                "P03", "14 16", "7(2) 7(4)",
                "The grant is bundled with something else, or it is not known whether it is.",
                "Ask for each purpose by itself.",
            ),
            _rule(
                "P04", "6 14", "5(1)(b) 6(4)",
                "The purpose is not the granted or agreed one, nor below it.",
                "Use a purpose that was granted, or ask for this one.",
            ),
            _rule(
                "P05", "14", "13(3)",
                "The columns are of a class of data that the grant does not name.",
                "Remove the columns, or ask the subject again and name the class.",
            ),
            _rule(
                "P06", "23", "13(1)(e) 14",
                "The grant does not name every member, or a provider of data has no separate consent.",
                "Ask for a grant that names all members; a provider also asks for 'sharing', separately.",
            ),
            _rule(
                "P07", "28 29", "9(1) 9(2)(a)",
                "Sensitive columns need a note of necessity and the subject's separate consent.",
                "Write why the column is needed and ask for 'sensitive_data' separately, or remove it.",
            ),
            _rule(
                "P10", "15 47", "7(3) 17(1)(b) 21(3)",
                "The grant is withdrawn, refused or expired, has no end, or the consent snapshot is stale.",
                "Leave the record out; take a new snapshot for every round.",
            ),
            _rule(
                "P12", "19 47", "5(1)(e)",
                "What is kept would have to be deleted before the longest possible run ends.",
                "Raise retention_days, or lower rounds or round_timeout_s.",
            ),
            _rule(
                "P13", "6", "5(1)(c) 25(2)",
                "A column was asked for that the agreement does not list.",
                "Ask for listed columns only, or amend the agreement.",
            ),
            _rule(
                "P15", "6 51", "25 32",
                "The cohort is smaller than the agreement allows, or the agreement allows too small ones.",
                "Admit more consenting subjects, or raise the minimum.",
            ),
            _rule(
                "P17", "51", "32",
                "Too few members for an aggregate in which none can be told apart.",
                "Wait for more members, or lower minimum_members, but never below two.",
            ),
            _rule(
                "P18", "51 55", "25 35(7)(d)",
                "The privacy budget is spent, or is too wide to protect a record.",
                "Use an epsilon of at most 10 and a delta below one in the smallest cohort.",
            ),
            _rule(
                "P19", "55 56", "35",
                "There is no approved and current impact assessment.",
                "Make or renew the assessment, have it approved, and state its dates.",
            ),
            _rule(
                "P20", "20 21", "26 28",
                "The agreement is not in force, or nobody in it is responsible for the data.",
                "Run within valid_from and valid_until; let at least one member be joint or provider.",
            ),
            _rule(
                "P21", "38 39 40", "44 49",
                "Data or results would cross a border without a recorded mechanism or separate consent.",
                "Record the border mechanism and its reference, and ask for 'cross_border' separately.",
            ),
            _rule(
                "P23", "24", "22",
                "The use of scores is prohibited, or is not the one that the agreement names.",
                "Ask for the agreed use; pricing, underwriting, credit and employment are never allowed.",
            ),
            _rule(
                "P26", "13 47", "6 21",
                "The subject has no valid grant for scoring at this moment.",
                "Do not score this subject.",
            ),
            _rule(
                "P28", "51 54", "5(2) 24 30",
                "The decision could not be written to the log before its effect.",
                "Make the log writable; nothing is processed until then.",
            ),
            _rule(
                "P31", "51", "24 25",
                "One person proposes, approves or audits in two roles.",
                "Name different people as proposer, auditor and approver of each member.",
            ),
            _rule(
                "P32", "51", "5(2) 32",
                "The records used are not those that were admitted.",
                "Reject the update and find out why at the member.",
            ),
        )
    )
)  # fmt: skip
"""Every rule that this version enforces, by identifier."""

POLICY_DIGEST: Final = sha256_hex(
    canonical_json([[rule.id, rule.articles, rule.message, rule.remedy] for rule in RULES.values()])
)
"""SHA-256 over the rules' text: names, in the log, the rules under which a decision was made."""
