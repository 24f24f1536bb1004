"""What a benchmark tells a process that it starts, in a file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class SettingFile:
    """The base of such settings; their fields are what JSON has."""

    def save(self, path: Path) -> None:
        """Writes the file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
