"""Scores of single people, on demand, by the parts of a vertical model that members have.

The label holder asks each feature holder about a person, and makes the score. What is said is what the
evaluation of a run says, of one person at a time; without any I/O.

* :mod:`hanse.learning.vertical.serving.halves`: what serving needs of a part, whatever its kind.
* :mod:`hanse.learning.vertical.serving.trees`, :mod:`hanse.learning.vertical.serving.late_fusion`,
  :mod:`hanse.learning.vertical.serving.scorecard`, :mod:`hanse.learning.vertical.serving.split_network`: the
  kinds that are served.
* :mod:`hanse.learning.vertical.serving.own`: what the last three share.
* :mod:`hanse.learning.vertical.serving.forms`: what is said of a person, as bytes.
* :mod:`hanse.learning.vertical.serving.people`: the common people, by each member's own pseudonyms.
* :mod:`hanse.learning.vertical.serving.kept`: a part as a member keeps it.
* :mod:`hanse.learning.vertical.serving.messages`: question and reply.
* :mod:`hanse.learning.vertical.serving.cache`: answers that may be kept.
* :mod:`hanse.learning.vertical.serving.gathering`: several calls, one question.
"""

from hanse.learning.vertical.serving.cache import AnswerCache
from hanse.learning.vertical.serving.forms import Form, Rows, rows_of
from hanse.learning.vertical.serving.gathering import Gathering
from hanse.learning.vertical.serving.halves import FeatureHalf, LabelHalf
from hanse.learning.vertical.serving.kept import KeptPart, open_kept
from hanse.learning.vertical.serving.messages import (
    Question,
    Reply,
    conversation,
    read_question,
    read_reply,
)
from hanse.learning.vertical.serving.people import PEOPLE_FILE, decode_people, encode_people

__all__ = [
    "PEOPLE_FILE",
    "AnswerCache",
    "FeatureHalf",
    "Form",
    "Gathering",
    "KeptPart",
    "LabelHalf",
    "Question",
    "Reply",
    "Rows",
    "conversation",
    "decode_people",
    "encode_people",
    "open_kept",
    "read_question",
    "read_reply",
    "rows_of",
]
