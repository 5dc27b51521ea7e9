from pathlib import Path

import ctviz as ctviz  # before torch, which reads what it sets

ROOT = Path(__file__).parent.parent
