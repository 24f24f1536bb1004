"""How well a site's own rows can be recognised in a model that it helped to make: for the site alone.

At the end of a run the site has admitted its rows for the evaluation, and knows which of them were trained
on. It attacks the model with them and keeps a few numbers in a file. Nothing of it leaves.
"""

from pathlib import Path

from hanse.client.gate import Admitted
from hanse.crypto import write_atomic
from hanse.learning import Predicts, Transform
from hanse.learning.auditing import OwnMembership, recognise_own
from hanse.learning.statements import statement_from_json, statement_to_json


def keep_own_audit(
    folder: Path, run: str, predictor: Predicts, transform: Transform, admitted: Admitted
) -> None:
    """Attacks a model with the rows of its evaluation, and keeps the result.

    Args:
        folder: Where; made if it is not there.
        run: The run.
        predictor: The final model.
        transform: Rows to features.
        admitted: What was admitted for the evaluation.
    """
    parts = [records.examples(transform.apply) for records in (admitted.training, admitted.holdout)]
    inside, outside = parts
    found = recognise_own(
        run,
        (predictor.scores(inside.features), predictor.scores(outside.features)),
        (inside.labels, outside.labels),
    )
    if found is not None:
        folder.mkdir(exist_ok=True)
        write_atomic(folder / f"{run}.json", statement_to_json(found))


def read_own_audit(folder: Path, run: str) -> OwnMembership | None:
    """What :func:`keep_own_audit` kept of a run; None if it kept nothing here.

    Raises:
        ProtocolError: ``protocol.malformed`` if the file is another one.
    """
    path = folder / f"{run}.json"
    return statement_from_json(OwnMembership, path.read_bytes()) if path.is_file() else None
