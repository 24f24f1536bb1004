"""What ``hanse run`` says of a vertical model."""

from collections.abc import Sequence
from dataclasses import asdict

from hanse.cli.output import console, print_json, say
from hanse.client.remote import RunEvent
from hanse.client.vertical.fetching import FetchedVertical


def show_vertical(
    fetched: FetchedVertical, events: Sequence[RunEvent], *, as_json: bool, quiet: bool
) -> None:
    """Prints how good a model is, what crossed the wire, and what each party and known attacks learned.

    Args:
        fetched: The model.
        events: Of its run.
        as_json: One JSON document instead.
        quiet: Nothing: the events were printed.
    """
    # Imported here: a horizontal run needs none of it.
    from hanse.demo.vertical.facts import attacks_of, learned_of, sent_of  # noqa: PLC0415
    from hanse.demo.vertical.tables import attacks_table, learned_table, sent_table  # noqa: PLC0415

    manifest = fetched.manifest
    if as_json:
        print_json(
            {
                "model": str(fetched.folder),
                "part": None if fetched.part is None else str(fetched.part),
                "manifest_digest": fetched.digest,
                "manifest": manifest.model_dump(mode="json"),
                "events": [asdict(event) for event in events],
            }
        )
        return
    if quiet:
        return
    console().print(sent_table(sent_of(manifest)))
    console().print(learned_table(learned_of(manifest)))
    console().print(attacks_table(attacks_of(manifest), manifest.metrics.get("auc")))
    known = {name: value for name, value in manifest.metrics.items() if value is not None}
    area, error = known.get("auc"), known.get("auc_standard_error", 0.0)
    if area is not None:
        alone = known.get("auc_alone")
        beside = "" if alone is None else f"; the label holder's own columns alone: {alone:.3f}"
        say(f"AUC {area:.3f} ± {error:.3f} on held-out people among {manifest.aligned:,} in common{beside}")
    say(f"model {manifest.reference}: manifest in {fetched.folder}, this site's part in {fetched.part}")
