"""The lines that the tests of this folder share: `service_lines.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "service_lines.yml").read_text())
