"""Store the numbers that later versions are compared with: ``python -m tests.reference.make``.

To be run only where numbers are meant to change, and the change is to be explained in its commit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ctviz.models.known import KNOWN
from tests.reference.measured import (
    FAMILIES,
    SMOLLM2,
    measure_family,
    measure_smollm2,
    measure_tiny,
)

__all__ = ["STORED"]

STORED = Path(__file__).parent / "numbers.json"


def main() -> None:
    numbers = {"tiny": measure_tiny(), **{name: measure_family(name) for name in FAMILIES}}
    if not KNOWN[SMOLLM2].ready:
        sys.exit(f"{SMOLLM2} belongs to the numbers: run `ctviz models fetch {SMOLLM2}` first.")
    numbers[SMOLLM2] = measure_smollm2()
    rounded = json.loads(json.dumps(numbers), parse_float=lambda text: float(f"{float(text):.8g}"))
    STORED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
