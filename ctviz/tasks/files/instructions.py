"""Instructions with an input and an output, as Alpaca has them (Taori et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctviz.tasks.files.parsing import text_in
from ctviz.tasks.files.rows import BadLine, Layout

__all__ = ["LAYOUT"]


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input, where there is one, belongs to the prompt."""
    instruction, given, output = (
        text_in(row, name) if row.get(name) is not None else ""
        for name in ("instruction", "input", "output")
    )
    for name, text in (("instruction", instruction), ("output", output)):
        if not text:
            raise BadLine(f"{name} is missing")
    asked = f"{instruction}\nInput: {given}" if given else instruction
    prompt = f"Instruction: {asked}\nOutput:"
    return {"prompt": prompt, "target": f" {output}\n", "accepted": [output], "verbatim": True}


LAYOUT = Layout(
    key="instructions",
    title="Instructions",
    kind="own",
    grade="span",
    metric="log p(output)",
    aim="give the output of each instruction",
    explanation=(
        "Rows with “instruction”, “input” and “output”, as Alpaca has them. The prompt is "
        "“Instruction: … Input: … Output:”, each on a line, without the second where the input is "
        "empty, and the output is taught. There are no counterfactual prompts."
    ),
    recognizes=lambda row: {"instruction", "input", "output"} <= set(row),
    columns=_columns,
)
