"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ctviz.errors import DamagedRun, DiskFull

__all__ = [
    "append_line",
    "numbered",
    "read_json",
    "read_tensors",
    "write_bytes",
    "write_json",
    "write_tensors",
    "written",
]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once: readers see the old content or the new, never a part.

    Raises DiskFull, naming the file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        scratch.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file; raises DiskFull."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> DiskFull:
    """The error to raise when a file could not be written; what to do depends on why."""
    advice = "Choose another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = (
            "Make room on the disk; what was written before stays readable, and the run can then "
            "be resumed"
        )
    return DiskFull(f"{path} could not be written: {error.strerror or error}. {advice}.")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file at once."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises DamagedRun with the file's name."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedRun(f"{path} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRun(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise DamagedRun(f"{path} holds a {type(value).__name__}, not a JSON object.")
    return value


def numbered(place: Path) -> dict[int, Path]:
    """Files of a folder that are named by a step, such as ``000010.safetensors``, in step order.

    Others, such as a copy that a file manager made, are none of the run's.
    """
    found = {
        int(file.stem): file
        for file in place.glob("*.safetensors")
        if re.fullmatch("[0-9]{6,}", file.stem)
    }
    return {step: found[step] for step in sorted(found) if found[step].stem == f"{step:06d}"}


def written(file: Path) -> tuple[int, int] | None:
    """When a file was last written, in ns, and its bytes: what is kept of a file is kept by them.

    None if it has gone, as a live run replaces its own.
    """
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return found.st_mtime_ns, found.st_size


def write_tensors(path: Path, tensors: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write a safetensors file at once; ``about`` goes into its header, each value as JSON.

    The same tensors and the same header are the same bytes.
    """
    told = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    whole = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    content = save(whole, metadata=told)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])  # its metadata are in no order
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    sorted_header = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    sorted_header += b" " * (-len(sorted_header) % 8)
    write_bytes(path, len(sorted_header).to_bytes(8, "little") + sorted_header + content[end:])


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and header of a safetensors file; raises DamagedRun with the file's name."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            about = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (OSError, ValueError, TypeError, RecursionError, SafetensorError) as error:
        raise DamagedRun(f"{path} cannot be read: {error}.") from error
    return tensors, about
