"""Peak memory of one piece of work, measured in a process of its own.

On the CPU it is resident memory above that of the process just before the model is made, with all
libraries loaded and used once; on CUDA it is what torch allocated. The model's weights count.
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import torch
from transformers import GPT2Config

from ctviz.attribution.attribute import attribute
from ctviz.bench.workloads import gpt2, model_of, random_batch, run_of, stepper, training_step
from ctviz.circuits.choices import Attribution
from ctviz.errors import CtvizError
from ctviz.jobs import tune
from ctviz.models.loading import pick_device
from ctviz.runs.config import Method

__all__ = ["peak_memory", "peak_memory_of_run", "peak_memory_of_tuning"]

STEPS = 12  # of tuning
TIMES = 2  # that the work is done: what is left over from the first time may raise the second


def peak_memory(
    work: Attribution | None, shape: str, *, mlp_block: int, batch: int, tokens: int, device: str
) -> float | None:
    """Peak megabytes of an attribution method, or of a training step for None.

    None where it cannot be told (on MPS). Raises CtvizError if the process fails.
    """
    return _elsewhere("attribution", work or "", shape, mlp_block, batch, tokens, device)


def peak_memory_of_tuning(
    method: Method, model: str, *, mlp_block: int, device: str
) -> float | None:
    """Peak megabytes of twelve tuning steps (see `ctviz.bench.workloads.stepper`), as above."""
    return _elsewhere("tuning", method, model, mlp_block, 0, 0, device)


def peak_memory_of_run(method: Method, model: str, *, mlp_block: int, device: str) -> float | None:
    """Peak megabytes of a whole run of twelve steps, as above: from loading to the last grades."""
    return _elsewhere("run", method, model, mlp_block, 0, 0, device)


def _elsewhere(*asked: str | int) -> float | None:
    """Measure in a process of its own."""
    arguments = [str(each) for each in asked]
    done = subprocess.run(
        [sys.executable, "-m", "ctviz.bench.memory", *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CtvizError(f"Measuring the memory of {' '.join(arguments)} failed: {reason}")
    peak: float | None = json.loads(done.stdout.splitlines()[-1])
    return peak


def _measure_tuning(method: Method, model: str, mlp_block: int, device: str) -> float | None:
    place = pick_device(device)
    _use_once(str(place))
    if place.type == "mps":
        return None
    gc.collect()
    before = _now(place)
    step = stepper(model, method, 1, mlp_block=mlp_block, device=str(place))
    gc.collect()
    _forget_peak(place)
    for _ in range(STEPS):
        step()
    return round((_peak(place) - before) / 1e6, 1)


def _measure_run(method: Method, model: str, mlp_block: int, device: str) -> float | None:
    place = pick_device(device)
    _use_once(str(place))
    if place.type == "mps":
        return None
    gc.collect()
    before = _now(place)
    config = run_of(
        model,
        method,
        mlp_block=mlp_block,
        steps=STEPS,
        snapshot_every=STEPS,
        device=str(place),
    )
    _forget_peak(place)
    with tempfile.TemporaryDirectory() as scratch:
        tune.tune(config, Path(scratch) / "run")
    return round((_peak(place) - before) / 1e6, 1)


def _measure(
    method: Attribution | None,
    shape: str,
    mlp_block: int,
    device: str,
    *,
    batch: int,
    tokens: int,
) -> float | None:
    place = pick_device(device)
    _use_once(str(place))
    if place.type == "mps":
        return None
    gc.collect()
    before = _now(place)
    anatomy = model_of(shape, mlp_block=mlp_block, device=str(place))
    examples = random_batch(anatomy, batch=batch, tokens=tokens)
    gc.collect()
    _forget_peak(place)
    for _ in range(TIMES):
        if method is None:
            training_step(anatomy, examples)
        else:
            attribute(anatomy, examples, method=method)
    return round((_peak(place) - before) / 1e6, 1)


def _use_once(device: str) -> None:
    """Have libraries load what they load at first use: it belongs to no model."""
    small = gpt2(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32), device=device)
    examples = random_batch(small, batch=2, tokens=4)
    training_step(small, examples)
    attribute(small, examples)
    attribute(small, examples, method="eap-ig")


def _now(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def _forget_peak(device: torch.device) -> None:
    """Let the peak be that of what follows, not of loading, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to the present size, see proc(5)
    except OSError:
        return


def _peak(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():  # not ru_maxrss there: a child inherits that of its parent
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found
        return int(found[1]) * 1024
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts it in bytes


if __name__ == "__main__":
    what, name, shape, block, batch, tokens, device = sys.argv[1:]
    if what != "attribution":
        measure = _measure_run if what == "run" else _measure_tuning
        peak = measure(name, shape, int(block), device)  # type: ignore[arg-type]
    else:
        peak = _measure(
            name or None,  # type: ignore[arg-type]
            shape,
            int(block),
            device,
            batch=int(batch),
            tokens=int(tokens),
        )
    sys.stdout.write(f"\n{json.dumps(peak)}\n")
