"""Memory that containers and shells leave to a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ctviz.models.limits import available_memory
from ctviz.models.memory import free_memory

MB = 2**20


def group(folder: Path, *, second: bool, most: str, taken: int, dropped: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        ("memory.max", "memory.current")
        if second
        else (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        )
    )
    for name, value in zip(names, (most, taken), strict=True):
        (folder / name).write_text(f"{value}\n")
    key = "inactive_file" if second else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 1\n{key} {dropped}\n")


@pytest.fixture
def member(tmp_path: Path) -> Path:
    return tmp_path / "member"


@pytest.mark.parametrize("second", [True, False], ids=["v2", "v1"])
def test_the_group_with_the_least_room_decides(tmp_path, member, second):
    root = tmp_path / ("groups" if second else "groups/memory")
    member.write_text("0::/a/b\n" if second else "5:cpu,memory:/a/b\n0::/\n")
    group(root / "a/b", second=second, most=str(300 * MB), taken=250 * MB, dropped=30 * MB)
    group(root / "a", second=second, most=str(900 * MB), taken=300 * MB, dropped=0)
    assert available_memory(cgroups=tmp_path / "groups", member=member) == 80 * MB
    group(root / "a", second=second, most=str(310 * MB), taken=300 * MB, dropped=0)
    assert available_memory(cgroups=tmp_path / "groups", member=member) == 10 * MB
    group(root / "a", second=second, most=str(200 * MB), taken=300 * MB, dropped=0)
    assert available_memory(cgroups=tmp_path / "groups", member=member) == 0


def test_a_container_sees_its_own_group_as_the_root(tmp_path, member):
    member.write_text("0::/docker/0123\n")
    group(tmp_path / "groups", second=True, most=str(64 * MB), taken=20 * MB, dropped=0)
    assert available_memory(cgroups=tmp_path / "groups", member=member) == 44 * MB


def test_without_limits_it_is_what_the_machine_has(tmp_path, member):
    member.write_text("0::/\n")
    group(tmp_path / "groups", second=True, most="max", taken=MB, dropped=0)
    found = available_memory(cgroups=tmp_path / "groups", member=member)
    assert found == pytest.approx(psutil.virtual_memory().available, rel=0.3)
    assert available_memory(cgroups=tmp_path / "none", member=tmp_path / "no") > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ulimit")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_ulimit_is_respected(limit):
    code = (
        "import resource, psutil\n"
        "from ctviz.models.limits import available_memory\n"
        "used = psutil.Process().memory_info()\n"
        f"taken = used.vms if '{limit}' == 'RLIMIT_AS' else used.data\n"
        f"resource.setrlimit(resource.{limit}, (taken + 50 * 2**20, resource.RLIM_INFINITY))\n"
        "print(available_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 20 * MB < int(done.stdout) <= 50 * MB


def test_it_is_what_the_engine_plans_with(monkeypatch):
    import torch

    monkeypatch.setattr("ctviz.models.memory.available_memory", lambda: 123)
    assert free_memory(torch.device("cpu")) == 123
