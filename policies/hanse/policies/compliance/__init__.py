"""Documents that are generated from the configuration: records of processing and impact assessments.

Every statement in them follows from an agreement and its merged rule packs. What the software cannot know is
a question, marked until a person has answered it.
"""

from hanse.policies.compliance.answers import Answers, answers_template, require_questions
from hanse.policies.compliance.assessment import assess
from hanse.policies.compliance.compare import Difference, compare, compare_markdown
from hanse.policies.compliance.configuration import Configuration
from hanse.policies.compliance.dossier import Dossier, Question, Row, Section, Statement, Table
from hanse.policies.compliance.html import to_html
from hanse.policies.compliance.markdown import to_markdown
from hanse.policies.compliance.records import records

__all__ = [
    "Answers",
    "Configuration",
    "Difference",
    "Dossier",
    "Question",
    "Row",
    "Section",
    "Statement",
    "Table",
    "answers_template",
    "assess",
    "compare",
    "compare_markdown",
    "records",
    "require_questions",
    "to_html",
    "to_markdown",
]
