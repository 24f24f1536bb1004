"""What every rule says when it refuses, and what to do about it: in English and in Chinese.

The Chinese terms are those of the official text of the Personal Information Protection Law of China.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from hanse.policies.rules.model import Wording


class Wordings(NamedTuple):
    """What a rule says."""

    message: Wording
    remedy: Wording


def _say(message: str, message_zh: str, remedy: str, remedy_zh: str) -> Wordings:
    return Wordings(Wording(message, message_zh), Wording(remedy, remedy_zh))


WORDINGS: Final[Mapping[str, Wordings]] = MappingProxyType(
    {
        "P01": _say(
            "There is no legal basis that counts: nothing is recorded about this person, or it rests on "
            "a basis that the agreement or the rule packs do not allow.",
            "缺少可以适用的合法性基础：没有该个人的任何记录，或者其依据不在协议或规则包允许的范围之内。",
            "Ask the person for consent, or leave the record out; another basis needs an override in the "
            "agreement, with a reason, signed by every member.",
            "请取得该个人的同意，或者不处理该条记录；如以其他依据处理，须在协议中写明例外及理由，并由各方签署。",
        ),
        "P02": _say(
            "It is not shown that the person acted: the grant is pre-ticked, has no active method, or "
            "comes without a notice that the agreement knows and that was published before it.",
            "不能证明个人作出了主动、明确的同意：选项被预先勾选，没有主动作出的方式，"
            "或者没有协议所载明且在同意之前已公布的告知文本。",
            "Ask the person again, with a notice that the agreement lists and without a pre-ticked box.",
            "请在充分告知的前提下重新取得同意：使用协议所列的告知文本，并且不得预先勾选。",
        ),
        "P03": _say(
            "The consent is not free: it is bundled with other purposes, or the service depends on it, "
            "or neither is known.",
            "同意并非自愿作出：与其他处理目的捆绑，或者以同意作为提供服务的条件，或者上述情况不明。",
            "Ask for each purpose by itself, and provide the service also to who does not agree.",
            "请就每一处理目的分别取得同意；个人不同意的，不得以此为由拒绝提供产品或者服务。",
        ),
        "P04": _say(
            "The purpose is not the granted or agreed one, nor below it.",
            "处理目的既不是个人同意或者协议约定的目的，也不在该目的的范围之内。",
            "Use a purpose that was granted, or ask for consent to this one.",
            "请在个人已同意的目的范围内处理；处理目的发生变更的，应当重新取得个人同意。",
        ),
        "P05": _say(
            "The processing has changed since the person agreed: a class of data is not named in the "
            "grant, its notice is of an older main version, or the person hides the column.",
            "个人同意之后，处理活动发生了变更：同意未载明所处理的个人信息的种类，告知文本的主版本已经更新，"
            "或者个人已隐藏该数据列。",
            "Ask the person again with the current notice and name the class, or remove the column.",
            "请以现行告知文本重新取得个人同意并载明个人信息的种类，或者移除该数据列。",
        ),
        "P06": _say(
            "The grant does not name every recipient, or a provider of data has no separate consent.",
            "同意未载明全部接收方，或者向其他个人信息处理者提供个人信息时未取得单独同意。",
            "Ask for a grant that names all members; a provider also asks for 'sharing', separately. A "
            "new recipient or a new purpose of a recipient needs a new consent.",
            "请取得载明全部成员的同意；提供方还须就“对外提供”取得单独同意。接收方或者其处理目的发生变更的，应当重新取得同意。",
        ),
        "P07": _say(
            "A sensitive column has no note of necessity, or the person has not consented to it separately.",
            "敏感个人信息数据列未说明处理的必要性，或者未取得个人的单独同意。",
            "Write why the purpose needs the column and why it is sensitive, and ask for "
            "'sensitive_data' separately; or remove the column.",
            "请说明处理敏感个人信息的必要性及其敏感类别，并就处理敏感个人信息取得单独同意；否则移除该数据列。",
        ),
        "P08": _say(
            "The person is a child for whom no guardian has agreed, or may be one: the age is not known "
            "and the data may contain children.",
            "该个人是未成年人而其父母或者其他监护人尚未同意，或者可能是未成年人：年龄不明，且数据中可能包含未成年人的个人信息。",
            "Ask a parent or guardian, record the age that the person has reached, or leave the record out.",
            "请取得其父母或者其他监护人的同意，记录该个人已达到的年龄，或者不处理该条记录。",
        ),
        "P09": _say(
            "The column was recorded in public places, and the person has not consented to this use "
            "separately.",
            "该数据列系在公共场所采集的个人图像或者身份识别信息，且未就此用途取得个人的单独同意。",
            "Remove the column, or ask for 'sensitive_data' separately.",
            "请移除该数据列，或者取得个人的单独同意。",
        ),
        "P10": _say(
            "The grant is withdrawn, objected to, refused, expired or too old, or has no beginning or "
            "end; or what is known of it is stale.",
            "同意已被撤回、拒绝、反对或者已经到期、过于陈旧，或者没有起止时间；或者所依据的同意状态不是最新的。",
            "Leave the record out. Let the sources of consent report in time, and take a new copy of the "
            "ledger for every round and call.",
            "请不处理该条记录。请确保同意数据来源按时更新，并在每一轮训练和每一次评分之前重新读取同意台账。",
        ),
        "P11": _say(
            "A withdrawal has not taken effect everywhere in time: a member has not acknowledged it, or "
            "a model that contains the person is used for too long.",
            "撤回同意未在期限内全面生效：有成员尚未确认，或者包含该个人信息的模型使用时间过长。",
            "Have every member acknowledge; train the model anew without the person, and retire the old "
            "version.",
            "请要求各成员确认撤回；在剔除该个人信息后重新训练模型，并停用旧版本。",
        ),
        "P12": _say(
            "Something is kept too short or too long: it would be deleted before the longest run ends, "
            "or it is past its time and the log does not say that it was deleted.",
            "保存期限过短或者过长：在最长的一次训练结束之前即应删除，或者保存期限已经届满而日志中没有删除记录。",
            "Correct the retention of the agreement, or rounds and round_timeout_s; delete what is past "
            "its time, and log it.",
            "请调整协议中的保存期限，或者调整轮数与单轮时限；对保存期限届满的数据予以删除并记入日志。",
        ),
        "P13": _say(
            "A column was asked for that the agreement does not list as the data set declares it, or "
            "that it discloses to nobody.",
            "请求了协议未列明、与数据集声明不一致或者未约定向任何成员披露的数据列。",
            "Ask for listed columns only, or amend the agreement and say to whom the column may go.",
            "请仅使用协议列明的数据列；确有需要的，应当修订协议，并写明该数据列可以向谁披露。",
        ),
        "P14": _say(
            "The column has contributed nothing measurable to the last trainings.",
            "在最近若干次训练中，未测得该数据列有任何贡献。",
            "Remove the column, or have the data protection officer decide, with a reason, to keep it.",
            "请移除该数据列；确需保留的，由个人信息保护负责人说明理由后决定。",
        ),
        "P15": _say(
            "The cohort is smaller than allowed, or its size or another count would leave the member "
            "although it is small.",
            "参与人群少于最低人数，或者过小的人数、计数将被提供给其他成员。",
            "Admit more consenting people, or raise the minimum; show small counts as 'fewer than'.",
            "请纳入更多已同意的个人，或者提高最低人数；较小的计数仅以“少于若干”的形式显示。",
        ),
        "P16": _say(
            "Too many alignments, or two of nearly the same set: the difference could single people out.",
            "数据对齐过于频繁，或者两次对齐的人群几乎相同：通过比较差异可能识别出特定个人。",
            "Wait until the window has passed, or until the sets differ by more people.",
            "请在时间窗口结束之后，或者在两次对齐的人群差异足够大时，再进行对齐。",
        ),
        "P17": _say(
            "Too few members for an aggregate in which none can be told apart.",
            "参与聚合的成员过少，可能据以区分出单个成员的结果。",
            "Wait for more members, or lower minimum_members, but never below two.",
            "请等待更多成员参与，或者降低最少成员数，但不得少于两个。",
        ),
        "P18": _say(
            "The privacy budget is spent, is missing for sensitive data, or is too wide to protect a record.",
            "隐私预算已经用尽，处理敏感个人信息时未设定隐私预算，或者预算过宽，不足以保护单条记录。",
            "Keep epsilon within the policy and delta below one in the smallest cohort; when the budget "
            "is spent, it stays so, also after a retraining.",
            "请使 ε 不超过规则上限，δ 小于最小参与人数的倒数；预算用尽后不得重置，重新训练也不例外。",
        ),
        "P19": _say(
            "There is no approved and current impact assessment that covers purposes, members and "
            "classes of data.",
            "没有经批准且在有效期内、涵盖处理目的、各成员及个人信息种类的个人信息保护影响评估。",
            "Make or renew the assessment, have it approved before processing, and state what it covers.",
            "请在处理之前进行或者更新个人信息保护影响评估并取得批准，写明其涵盖的范围。",
        ),
        "P20": _say(
            "The agreement is not in force or not signed by all, nobody in it is responsible for the "
            "data, or an entrusted member has no contract that covers this.",
            "协议未生效或者未经各方签署，没有成员对个人信息处理负责，或者受托人没有涵盖本次处理的委托合同。",
            "Run within valid_from and valid_until, signed by all; let a member be joint or provider; "
            "give entrusted members a contract with purposes, end, and no sub-processors.",
            "请在协议有效期内、经各方签署后运行；至少一方为共同处理者或者提供方；"
            "与受托人约定委托处理的目的、期限、方式，并禁止其擅自转委托。",
        ),
        "P21": _say(
            "Data or results would cross a border without a recorded mechanism or the person's separate "
            "consent.",
            "个人信息或者处理结果将出境，但未登记出境机制，或者未取得个人的单独同意。",
            "Record the mechanism (security assessment, certification or standard contract) with its "
            "reference, and ask for 'cross_border' separately.",
            "请登记出境机制及其编号（数据出境安全评估、个人信息保护认证或者个人信息出境标准合同），并就个人信息出境取得单独同意。",
        ),
        "P22": _say(
            "So many people's data has gone abroad this year that the recorded mechanism is not enough.",
            "自当年1月1日起累计向境外提供个人信息的人数，已超出所登记的出境机制的适用范围。",
            "Conclude a standard contract or obtain a certification; from one million people, or ten "
            "thousand with sensitive data, pass a security assessment.",
            "请订立个人信息出境标准合同或者通过个人信息保护认证；"
            "达到100万人，或者敏感个人信息达到1万人的，应当通过数据出境安全评估。",
        ),
        "P23": _say(
            "The use of scores is prohibited, or is not the one that the agreement names for this caller.",
            "评分的用途被禁止，或者不是协议为该调用方约定的用途。",
            "Ask for the agreed use; pricing, underwriting, credit and employment are never allowed.",
            "请仅用于约定的用途；不得用于定价、核保、信贷和招聘，不得在交易价格等交易条件上实行不合理的差别待遇。",
        ),
        "P24": _say(
            "Scores would be used for marketing by a caller that offers no way out of it.",
            "调用方将评分用于商业营销，但未提供不针对个人特征的选项，也未提供便捷的拒绝方式。",
            "Let the caller offer an opt-out and a path without scores, and state both in the agreement.",
            "请由调用方同时提供不针对其个人特征的选项和便捷的拒绝方式，并在协议中载明。",
        ),
        "P25": _say(
            "Decisions with a significant effect on people would rest on scores alone.",
            "对个人权益有重大影响的决定将仅以评分这一自动化决策的方式作出。",
            "Provide a review by a person and reason codes, and state both in the agreement.",
            "请提供人工复核和理由说明，并在协议中载明；个人有权拒绝仅通过自动化决策的方式作出决定。",
        ),
        "P26": _say(
            "The person has no valid grant for scoring at this moment.",
            "此刻该个人没有对评分的有效同意。",
            "Do not score this person.",
            "请不要对该个人进行评分。",
        ),
        "P27": _say(
            "The caller asks for too many scores, or for scores that are too exact.",
            "调用方请求的评分过多，或者评分过于精确。",
            "Ask tomorrow, or for fewer people; round scores, or return bands.",
            "请次日再请求或者减少人数；对评分取整，或者仅返回分档。",
        ),
        "P28": _say(
            "The decision could not be written to the log before its effect, or nobody witnesses the log.",
            "决定未能在生效之前写入日志，或者没有足够的见证方为日志联署。",
            "Make the log writable; nothing is processed until then. Let the quorum of witnesses be at least "
            "1 and at most the number of members and auditors; more than half of them is safe.",
            "请恢复日志的写入；在此之前不进行任何处理。联署所需的见证方应至少为一个，且不超过成员与审计方的总数；过半数方为稳妥。",
        ),
        "P29": _say(
            "Logs, records of processing or assessments are kept too short.",
            "日志、处理情况记录或者影响评估报告的保存时间过短。",
            "Keep access logs for at least six months, records and assessments for at least three years.",
            "请将访问日志至少保存六个月，将个人信息保护影响评估报告和处理情况记录至少保存三年。",
        ),
        "P30": _say(
            "A compliance audit is due, or nobody is named who answers for personal data.",
            "应当进行个人信息保护合规审计，或者尚未指定个人信息保护负责人。",
            "Name the officer; have the audit made and record its date.",
            "请指定个人信息保护负责人；进行合规审计并记录日期。",
        ),
        "P31": _say(
            "One person acts in two roles, or a change of policy lacks two signers, a reason or an end, "
            "or would apply to a round that runs.",
            "同一人担任两个角色；或者规则变更缺少两人签署、理由或者截止时间，或者将适用于正在进行的轮次。",
            "Name different people as proposer, auditor and approvers; have two people sign the change, "
            "with reason and end, to take effect after the running round.",
            "请由不同的人分别担任提议人、审计人和各方批准人；规则变更须由两人签署，写明理由和截止时间，并在当前轮次结束之后生效。",
        ),
        "P32": _say(
            "The records used are not those that were admitted.",
            "实际使用的记录与获准使用的记录不一致。",
            "Reject the update and find out why at the member.",
            "请拒绝该更新，并在该成员处查明原因。",
        ),
    }
)
"""By rule."""
