"""What a recording will take, measured on one member of the series; nothing is left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ctviz.jobs.dry_run import Meter, free_disk, time_tests
from ctviz.models.fetching import bring_configs
from ctviz.models.hub import Borrowed
from ctviz.models.known import resolve
from ctviz.models.loading import load
from ctviz.models.memory import free_memory
from ctviz.models.places import place_of
from ctviz.models.stored import at_revision, is_whole
from ctviz.models.weight_files import weight_files
from ctviz.progress import phase
from ctviz.runs import RunWriter
from ctviz.runs.abilities import lm_eval_tasks
from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import Estimate
from ctviz.runs.series import Member, Series
from ctviz.series.recording import Aim, Recording
from ctviz.tuning.abilities import Abilities
from ctviz.tuning.about import about_measured

__all__ = ["dry_record"]


def dry_record(series: Series, config: TuneConfig, folder: Path) -> Estimate:
    """What a recording of a series into a folder below ``folder`` will take.

    It is measured on the last member, or the last one that is still to be downloaded, which is let
    go again. Raises what the recording itself would raise of that member.
    """
    away = [member for member in series.members if _away(member)]
    member = away[-1] if away else series.members[-1]
    with tempfile.TemporaryDirectory() as scratch, phase("measuring"):
        borrowed = Borrowed(Path(scratch) / "borrowed.json")
        try:
            with borrowed.bringing(member.model):
                return _dry_record(series, config, member, len(away), folder, Path(scratch))
        finally:
            borrowed.let_all_go()


def _dry_record(
    series: Series, config: TuneConfig, member: Member, away: int, folder: Path, scratch: Path
) -> Estimate:
    """``away``: how many members are still to be downloaded."""
    meter, config, count = Meter(), series.settings(config), len(series.members)
    meter.time(lambda: bring_configs(resolve(member.model)))
    fetched = meter.seconds
    loaded = meter.time(
        lambda: load(
            member.model,
            tokenizer=series.tokenizer or None,
            device=config.device,
            mlp_block=config.mlp_block,
        )
    )
    loading, device = meter.seconds, loaded.anatomy.device
    available = free_memory(device) + meter.taken(device)
    aim = meter.time(lambda: Aim.of(loaded, config))
    begun = loading + meter.seconds
    recording = meter.time(lambda: Recording(loaded, config, aim))
    begun += meter.seconds
    snapshot = meter.time(lambda: recording.snapshot(loaded, member.step, first=False))
    each = loading + meter.seconds
    data, retention = recording.dataset, recording.retention
    meter.time(lambda: retention.others)
    begun += meter.seconds
    meter.time(retention.quick)
    able = Abilities(loaded, lm_eval_tasks(config.abilities), config.ability_examples)
    tested, _ = time_tests(loaded, config, data, retention, able, meter.seconds, meter)
    writer = RunWriter(scratch / "run", config, series=series.to_dict())
    writer.describe(
        loaded.anatomy.graph, **about_measured(loaded, config, data, retention, aim.attribution)
    )
    one = sum(file.stat().st_size for file in _files(writer.folder))
    writer.snapshot(snapshot)
    disk = one + count * (sum(file.stat().st_size for file in _files(writer.folder)) - one)
    weights = sum(file.stat().st_size for file in weight_files(place_of(member.model).weights))
    kept = away if series.keep_downloads else 0
    again = away and not series.keep_downloads  # the last one comes first, and in its turn
    seconds = {
        "fetch": fetched * (away + again),
        "load": loading,
        "first": begun + tested,
        "snapshots": count * each - loading,
        "last": tested,
    }
    return Estimate(
        seconds={name: value for name, value in seconds.items() if name != "fetch" or away},
        memory=meter.most(device) + weights,  # the first one stays in it
        available=available,
        disk=disk + kept * weights,
        disk_most=disk + (kept or min(2, away)) * weights,
        disk_free=free_disk(folder),
        device=str(device),
        whole=True,
    )


def _away(member: Member) -> bool:
    return bool(at_revision(member.model)[1]) and not is_whole(member.model)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
