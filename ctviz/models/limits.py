"""The memory that this process may still take: free on the machine, and left by its limits."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

__all__ = ["available_memory", "surely_cpu"]

CGROUPS = Path("/sys/fs/cgroup")
MEMBER = Path("/proc/self/cgroup")
GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # what a driver puts there
UNLIMITED = 2**60  # what cgroups of the first kind say where there is no limit is near 2**63


def available_memory(*, cgroups: Path = CGROUPS, member: Path = MEMBER) -> int:
    """Bytes that this process can still take: the least of what is free on the machine, in its
    control groups (Linux containers) and under ``ulimit -v`` and ``ulimit -d``; 0 at least.
    """
    rooms = [int(psutil.virtual_memory().available), *_cgroup_rooms(cgroups, member)]
    if resource is not None:
        used = psutil.Process().memory_info()
        for limit, taken in (
            (resource.RLIMIT_AS, used.vms),
            (resource.RLIMIT_DATA, getattr(used, "data", used.rss)),
        ):
            soft = resource.getrlimit(limit)[0]
            if soft != resource.RLIM_INFINITY:
                rooms.append(soft - taken)
    return max(0, min(rooms))


def surely_cpu() -> bool:
    """Whether there is no other device that a model could run on, as far as one sees without torch;
    of a Mac or Windows that is not known."""
    return sys.platform == "linux" and not any(Path(place).exists() for place in GPUS)


def _cgroup_rooms(cgroups: Path, member: Path) -> list[int]:
    """What is left in each control group that the process is in, with those around it."""
    try:
        lines = member.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # no Linux
    rooms = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root, limit, usage = cgroups, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = (
                cgroups / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        # inside a container the group's own path may not be there: then it is the root
        inner = [root / part for part in (path.strip("/"), *_parents(path))]
        for folder in dict.fromkeys([*inner, root]):
            room = _room(folder / limit, folder / usage, folder / "memory.stat")
            if room is not None:
                rooms.append(room)
    return rooms


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    return ["/".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def _room(limit: Path, usage: Path, stat: Path) -> int | None:
    """Bytes up to a group's limit, file pages that the kernel would drop left aside."""
    try:
        most, taken = limit.read_text().strip(), int(usage.read_text())
        if most == "max" or int(most) >= UNLIMITED:
            return None
        lines = dict(line.split() for line in stat.read_text().splitlines())
        droppable = int(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
    return int(most) - taken + droppable
