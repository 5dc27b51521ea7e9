"""The command that measures this machine."""

from __future__ import annotations

import argparse
import json

from ctviz.cli.options import Commands, add_command, add_device
from ctviz.cli.output import answer, quiet_libraries, report


def add_commands(commands: Commands) -> None:
    bench = add_command(
        commands,
        "bench",
        bench_command,
        "Measure this machine; results are ratios where they can be.",
    )
    bench.add_argument(
        "what", choices=("attribution", "scaling", "tuning", "run", "tasks", "app", "player")
    )
    bench.add_argument(
        "--shape",
        help="tiny, smollm2-135m or gpt2-small (gpt2-small; tuning and run: smollm2-135m); player: "
        "30x9 or 16x32 (several)",
    )
    bench.add_argument("--batch", type=int, default=16, help="prompts (16)")
    bench.add_argument("--tokens", type=int, default=16, help="tokens a prompt (16)")
    bench.add_argument("--method", default="eap", choices=("eap", "eap-ig"), help="(eap)")
    bench.add_argument(
        "--mlp-block",
        type=int,
        default=0,
        help="neurons in each node that an MLP is cut into, for attribution and tuning (0: whole)",
    )
    add_device(bench)


def bench_command(options: argparse.Namespace) -> int:
    if options.what == "app":
        from ctviz.bench.app import bench_app

        result = bench_app()
    elif options.what == "player":
        from ctviz.bench.player import bench_player

        result = bench_player(case=options.shape, others=()) if options.shape else bench_player()
    elif options.what == "tasks":
        quiet_libraries()
        from ctviz.bench.abilities import bench_abilities

        result = bench_abilities(device=options.device, progress=report)
    else:
        quiet_libraries()
        from ctviz.bench.attribution import bench_attribution
        from ctviz.bench.run import bench_run
        from ctviz.bench.scaling import bench_scaling
        from ctviz.bench.tuning import bench_tuning

        shared = {"batch": options.batch, "tokens": options.tokens, "method": options.method}
        if options.what == "tuning":
            result = bench_tuning(
                options.shape or "smollm2-135m", mlp_block=options.mlp_block, device=options.device
            )
        elif options.what == "run":
            result = bench_run(options.shape or "smollm2-135m", device=options.device)
        elif options.what == "scaling":
            result = bench_scaling(**shared, device=options.device)
        else:
            result = bench_attribution(
                options.shape or "gpt2-small",
                **shared,
                mlp_block=options.mlp_block,
                device=options.device,
            )
    return answer(options, result, json.dumps(result, indent=2))
