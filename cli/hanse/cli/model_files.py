"""What a member's folder has of a model version."""

from hanse.client.home import MemberHome
from hanse.errors import ServingError
from hanse.policies import Agreement, read_unverified


def agreement_of(site: MemberHome, model: str) -> Agreement:
    """The agreement that a model was made under: the one whose digest its manifest names.

    Args:
        site: The member's folder.
        model: ``name@version``.

    Raises:
        ServingError: ``model.not-found``, ``model.invalid``.
    """
    # Imported here: most commands of a member need no models.
    from hanse.learning.artifact import MANIFEST_FILE, read_manifest  # noqa: PLC0415

    folder = site.models / model
    manifest = folder / MANIFEST_FILE
    if folder.parent != site.models or not manifest.is_file():
        known = ", ".join(sorted(path.name for path in site.models.glob("*@*"))) or "none"
        raise ServingError(
            "model.not-found", f"no model version {model} in {site.models}; there are: {known}"
        )
    file = site.agreements / f"{read_manifest(manifest.read_bytes()).agreement_digest}.agreement"
    if not file.is_file():
        raise ServingError("model.not-found", f"the agreement of {model} is not in {site.agreements}")
    return read_unverified(file.read_bytes())
