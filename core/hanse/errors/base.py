"""The error classes. See the package docstring for the tree."""

from hanse.errors.catalogue import CATALOGUE, ErrorSpec


class HanseError(Exception):
    """An error that Hanse raises deliberately.

    Args:
        code: A key of :data:`hanse.errors.CATALOGUE`.
        detail: What happened, for the operator of this site only. May name files, rows and parties.
        rule: Rule of the policy layer (``P01`` … ``P32``) that refused, if one did.
    """

    def __init__(self, code: str, detail: str, *, rule: str | None = None) -> None:
        super().__init__(f"{code}: {detail}" if rule is None else f"{code} [{rule}]: {detail}")
        self.code = code
        self.detail = detail
        self.rule = rule

    @property
    def spec(self) -> ErrorSpec:
        """Status, public message and retryability of this error's code."""
        return CATALOGUE[self.code]

    @property
    def public_message(self) -> str:
        """The only text about this error that may leave the process."""
        suffix = "" if self.rule is None else f", rule {self.rule}"
        return f"{self.spec.public_message} ({self.code}{suffix})"


class ConfigurationError(HanseError):
    """The operator of this site must change something."""


class ProtocolError(HanseError):
    """A peer sent bytes that do not parse, or a step that is not due."""


class IdentityError(HanseError):
    """A key, signature or certificate is wrong."""


class PolicyError(HanseError):
    """The agreement or the consent rules refuse."""


class PrivacyError(HanseError):
    """The privacy budget refuses, or its ledger cannot be trusted."""


class AuditError(HanseError):
    """The audit log cannot be written, or does not verify.

    Args:
        code: ``audit.unavailable`` or ``audit.integrity``.
        detail: What happened.
        entry: Index of the first entry that does not verify, where one is known.
    """

    def __init__(self, code: str, detail: str, *, entry: int | None = None) -> None:
        super().__init__(code, detail)
        self.entry = entry


class TrainingError(HanseError):
    """A run cannot go on."""


class ServingError(HanseError):
    """A model version or a scoring call is not acceptable."""
