"""Examples that nobody admitted, because they are nobody's: public data sets, and data made up.

For the comparison of models in the demo, for benchmarks and for tests. The code of a member's node, of the
coordinator and of the scorer must not import this module; ``lint-imports`` checks that it does not.
"""

from hanse.enforcement.records import SEAL, AdmittedExamples, AdmittedRecords, Columns, Rows


def simulated_examples(features: Rows, labels: Rows) -> AdmittedExamples:
    """Examples of public or made-up data.

    Args:
        features: Transformed rows, shape ``(rows, features)``.
        labels: 0 or 1, shape ``(rows,)``.

    Returns:
        What a trainer takes.

    Raises:
        PolicyError: ``policy.denied`` (P32) if the lengths differ.
    """
    return AdmittedExamples(SEAL, features, labels)


def simulated_records(columns: Columns, labels: Rows) -> AdmittedRecords:
    """Records of public or made-up data; nothing is committed to.

    Args:
        columns: Values per column.
        labels: 0 or 1, shape ``(rows,)``.

    Returns:
        What a session takes.
    """
    return AdmittedRecords(SEAL, columns, labels, b"")
