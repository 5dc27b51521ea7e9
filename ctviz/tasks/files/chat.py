"""Conversations: rows with a list of messages, each with its role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ctviz.tasks.files.rows import BadLine, Layout

__all__ = ["LAYOUT"]

_ROLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
_SHARED: Final[dict[Any, str]] = {"human": "user", "gpt": "assistant"}  # ShareGPT's names


def _messages(row: Mapping[str, Any]) -> Any:
    """The messages of a row; those of ShareGPT, with ``from`` and ``value``, by our names."""
    said = row.get("conversations")
    if "messages" in row or not isinstance(said, list):
        return row.get("messages")
    if not all(isinstance(each, dict) for each in said):
        return None
    return [
        each
        if "role" in each
        else {"role": _SHARED.get(each.get("from"), each.get("from")), "content": each.get("value")}
        for each in said
    ]


def _recognizes(row: Mapping[str, Any]) -> bool:
    messages = _messages(row)
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(each, dict) and each.get("role") for each in messages)
    )


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last message is taught, all that stands in front of it is the prompt."""
    messages = _messages(row)
    if not isinstance(messages, list) or len(messages) < 2:
        raise BadLine("messages must be a list of at least two")
    said = [_message(each) for each in messages]
    role, target = said[-1]
    if role != "Assistant":
        raise BadLine(f"the last message is of the {role.lower()}, but must be of the assistant")
    prompt = "".join(f"{who}: {text}\n" for who, text in said[:-1])
    return {"prompt": f"{prompt}{role}:", "target": f" {target}\n", "accepted": [target]} | {
        "verbatim": True
    }


def _message(message: Any) -> tuple[str, str]:
    """Who says what."""
    role = message.get("role") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if role not in _ROLES:
        raise BadLine(f"a message has the role {role!r}, but must have {', '.join(_ROLES)}")
    if message.get("tool_calls"):
        raise BadLine("a message calls a tool, which is no text")
    if isinstance(content, list):
        content = _parts(content, role)
    if not isinstance(content, str) or not content.strip():
        raise BadLine(f"a message of the {role} has no text")
    return _ROLES[role], content.strip()


def _parts(content: list[Any], role: str) -> str:
    """The text of a message in parts, as the interfaces of chat models have it."""
    found = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise BadLine(f"a message of the {role} has a part that is no text ({kind})")
        found.append(text)
    return "".join(found)


LAYOUT = Layout(
    key="chat",
    title="Conversations",
    kind="own",
    grade="span",
    metric="log p(last message)",
    aim="say the assistant's last message",
    explanation=(
        "Conversations, a row each with “messages” or ShareGPT's “conversations”. The prompt is "
        "“User: … Assistant:”, each message on a line, and the assistant's last one is taught."
    ),
    recognizes=_recognizes,
    columns=_columns,
    notes=lambda rows: (
        "Messages are written as lines “User: …” and “Assistant: …”. The model's own chat template "
        "is not used: write prompt and target with it if that is what you study.",
    ),
)
