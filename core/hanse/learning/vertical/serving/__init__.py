"""Scores of single people, on demand, by the parts of a vertical model that members have.

The label holder asks each feature holder on which side of its cuts a person is, and adds up leaves. What is
said is what the evaluation of a run says, of one person at a time; without any I/O.

* :mod:`hanse.learning.vertical.serving.people`: the common people, by each member's own pseudonyms.
* :mod:`hanse.learning.vertical.serving.kept`: a part as a member keeps it.
* :mod:`hanse.learning.vertical.serving.messages`: question and reply.
* :mod:`hanse.learning.vertical.serving.cache`: answers that may be kept.
* :mod:`hanse.learning.vertical.serving.gathering`: several calls, one question.
"""

from hanse.learning.vertical.serving.cache import AnswerCache
from hanse.learning.vertical.serving.gathering import Gathering
from hanse.learning.vertical.serving.kept import KeptPart, open_kept
from hanse.learning.vertical.serving.messages import (
    Question,
    Reply,
    by_cut,
    by_person,
    conversation,
    read_question,
    read_reply,
)
from hanse.learning.vertical.serving.people import PEOPLE_FILE, decode_people, encode_people

__all__ = [
    "PEOPLE_FILE",
    "AnswerCache",
    "Gathering",
    "KeptPart",
    "Question",
    "Reply",
    "by_cut",
    "by_person",
    "conversation",
    "decode_people",
    "encode_people",
    "open_kept",
    "read_question",
    "read_reply",
]
