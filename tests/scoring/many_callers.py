"""A site with many callers: each may ask about a million people a day, and a long load asks about more."""

from pathlib import Path

from tests.scoring.conftest import NOW, Keys, MemberSite, make_agreement, make_site

from hanse.crypto import make_client_certificate

QUOTA = 1_000_000
"""What the rule packs allow."""


def caller_names(number: int) -> list[str]:
    return [f"campaign-{place}" for place in range(number)]


def site_with_callers(root: Path, number: int) -> MemberSite:
    """A site whose callers are named as :func:`caller_names` names them."""
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    names = caller_names(number)
    (listed,) = terms["callers"]
    site = make_site(
        root,
        scoring=terms | {"callers": [listed | {"name": name, "daily_quota": QUOTA} for name in names]},
    )
    for name in names:
        key, certificate = make_client_certificate(name, NOW, 30)
        (root / f"{name}.key").touch(mode=0o600)
        (root / f"{name}.key").write_bytes(key)
        (root / f"{name}.crt").write_bytes(certificate)
    callers = {name: root / f"{name}.crt" for name in names}
    site.settings = site.settings.model_copy(update={"callers": callers})
    return site
