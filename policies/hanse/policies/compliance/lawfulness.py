"""Part one: whether purpose and method are lawful, legitimate and necessary (PIPL 56(1), GDPR 35(7)(b))."""

from collections.abc import Iterator

from hanse.policies.agreement import Agreement
from hanse.policies.agreement.words import word
from hanse.policies.compliance.configuration import Configuration, rules_table, thresholds_table
from hanse.policies.compliance.dossier import Item, Section, question, statement
from hanse.policies.compliance.processing import places_item
from hanse.policies.rules import Wording


def lawfulness(configuration: Configuration) -> Section:
    """The first part."""
    title = Wording(
        "Part 1. Are purpose and method lawful, legitimate and necessary? (PIPL 56(1), GDPR 35(7)(b))",
        "第一部分 处理目的、处理方式等是否合法、正当、必要（个人信息保护法第五十六条第一项，"
        "GDPR第35条第7款b项）",
    )
    return Section(key="lawfulness", title=title, items=tuple(_items(configuration)))


def _items(configuration: Configuration) -> Iterator[Item]:
    agreement, answers = configuration.agreement, configuration.answers
    yield _basis(agreement)
    yield from _overrides(agreement)
    yield from _separate(agreement)
    yield places_item(agreement)
    yield _necessity(agreement)
    yield _people(agreement)
    yield rules_table(configuration.policy)
    yield thresholds_table(configuration.policy)
    yield question(
        "lawfulness.legitimate",
        "Why is the purpose legitimate, and would the people in the data expect it?",
        "处理目的为何正当？个人能否合理预期？",
        answers,
    )
    yield question(
        "lawfulness.necessary",
        "Could the purpose be reached with fewer columns, fewer people or no model at all?",
        "能否以更少的字段、更少的个人或不使用模型而达到目的？",
        answers,
    )
    yield question(
        "lawfulness.notices",
        "Do the notices tell people of this purpose, these members and these classes of data, in words that "
        "they "
        "understand?",
        "告知书是否以易懂的文字告知本目的、各成员及信息类别？",
        answers,
    )


def _basis(agreement: Agreement) -> Item:
    return statement(
        "basis",
        f"The legal basis is consent. A record is used only while its subject's own consent for "
        f"'{agreement.purpose}', or for a purpose above it, stands: not pre-ticked, not bundled, given after "
        "a "
        "notice that the agreement lists, naming all members and all classes of data. It is asked for again "
        "in "
        f"every round. A score needs a consent of its own, for '{agreement.scoring.purpose}', at the moment "
        "of "
        "the call.",
        f"合法性基础为同意。仅当个人对“{agreement.purpose}”或其上位目的的同意有效时方使用其记录：非预先勾选、"
        "未捆绑、在协议所列告知书公布后作出，并指名全部成员和全部信息类别。每一轮均重新核对。评分另需个人对"
        f"“{agreement.scoring.purpose}”的同意在调用时有效。",
    )


def _overrides(agreement: Agreement) -> Iterator[Item]:
    for override in agreement.overrides:
        basis = word(override.basis)
        yield statement(
            f"override.{override.member}.{override.basis}",
            f"Records of '{override.member}' may also rest on {basis.en}. Reason: {override.reason}",
            f"成员“{override.member}”的记录亦可以{basis.zh}为依据。理由：{override.reason}",
        )


def _separate(agreement: Agreement) -> Iterator[Item]:
    if any(member.role == "provider" for member in agreement.members):
        yield statement(
            "separate.sharing",
            "A member provides data to the others: its subjects' separate consent to sharing is needed.",
            "有成员向其他方提供个人信息：须取得其个人对提供的单独同意。",
        )
    if "sensitive" in agreement.classifications:
        yield statement(
            "separate.sensitive",
            "Columns are sensitive: the subjects' separate consent is needed. Whoever has not given it is "
            "left "
            "out where the column is required, and takes part without its value where it is not.",
            "含敏感个人信息：须取得个人的单独同意。未同意者，字段为必需时予以排除，非必需时不使用该值。",
        )
    if any(column.special == "public_place" for column in agreement.columns):
        yield statement(
            "separate.public_place",
            "Columns come from public places: they are used with the subjects' separate consent only.",
            "含公共场所采集的信息：仅在取得个人单独同意时使用。",
        )


def _necessity(agreement: Agreement) -> Item:
    noted = sum(column.necessity is not None for column in agreement.columns)
    total = len(agreement.columns)
    return statement(
        "necessity",
        f"{total} columns may be used and no other is read; {noted} of them have a note of necessity. Values "
        "are "
        "cut to public bins and categories before they are used.",
        f"可使用{total}个字段，其余不读取；其中{noted}个附有必要性说明。取值先归入公开的区间或类别再使用。",
    )


def _people(agreement: Agreement) -> Item:
    approvers = ", ".join(f"{member.approver} ({member.organisation})" for member in agreement.members)
    return statement(
        "people",
        f"Proposed by {agreement.proposer}, audited by {agreement.auditor}, approved by {approvers}: "
        "different "
        "people, and nothing runs that not all approvers have signed.",
        f"提案人{agreement.proposer}，审计人{agreement.auditor}，批准人{approvers}：各不相同，"
        "未经全体批准人签署不得运行。",
    )
