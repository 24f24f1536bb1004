"""What the digest of a member's software is over."""

from pathlib import Path

import hanse
from hanse.client.software import PARTS


def test_it_is_over_every_part_but_the_coordinators_and_the_commands() -> None:
    folders = [folder for root in hanse.__path__ for folder in Path(root).iterdir()]
    installed = {folder.name for folder in folders if any(folder.rglob("*.py"))}
    assert set(PARTS) == installed - {"cli", "demo", "server"}
    assert list(PARTS) == sorted(PARTS)
