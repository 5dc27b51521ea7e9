"""Commands that find circuits and put questions to them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ctviz.circuits.choices import ATTRIBUTIONS, Attribution
from ctviz.circuits.selection import SELECTIONS
from ctviz.cli.estimate import add_dry_run, say_estimate
from ctviz.cli.folders import NOTHING_OVERWRITTEN, add_out, out_folder, result_folder
from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, give_or_take, quiet_libraries, signed
from ctviz.cli.question import (
    METHOD_HELP,
    add_draws,
    add_edges,
    add_method,
    add_metric,
    add_mlp_block,
    add_model,
    add_random,
    add_task,
    add_tau,
    agreement_line,
    asked_method,
    asked_question,
    circuit_lines,
    few_line,
    in_sample_line,
    load_model,
    metric_line,
)
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError
from ctviz.extras import need
from ctviz.tasks import find_task
from ctviz.tasks.files.rows import counted
from ctviz.tasks.task import SPLITS

ESTIMATORS = (
    "needed edges: those in a circuit, or the fewest with --tau of the total |score| (mass)"
)


def add_commands(commands: Commands) -> None:
    discover = add_command(
        commands, "discover", discover_command, "Score every edge and find the circuit."
    )
    add_model(discover)
    add_task(discover)
    add_edges(discover)
    add_mlp_block(discover)
    add_metric(discover, examples=64)
    add_method(discover)
    discover.add_argument(
        "--select",
        default="top",
        choices=list(SELECTIONS),
        help="largest |score|, |score| above --threshold, grown back from the logits, |score| "
        "weighted by the sums of both nodes, or |score| beside the effect on general text (top)",
    )
    discover.add_argument("--threshold", type=float, help="for --select threshold")
    discover.add_argument("--prune", action="store_true", help="drop edges on no input-logits path")
    discover.add_argument(
        "--eap-json",
        action="store_true",
        help="also write circuit.json as EAP-IG and MIB read it; with --mlp-block only "
        "`ctviz evaluate` does",
    )
    add_random(discover)
    add_tau(discover)
    add_dry_run(discover)
    add_out(discover, NOTHING_OVERWRITTEN)

    evaluate = add_command(
        commands,
        "evaluate",
        evaluate_command,
        "Test a circuit that is in a file, ours or EAP-IG's.",
    )
    evaluate.add_argument(
        "circuit", metavar="CIRCUIT.json", help="made by `ctviz discover --eap-json`, or by EAP-IG"
    )
    add_model(evaluate)
    add_task(evaluate)
    add_metric(evaluate, examples=64)
    add_random(evaluate)
    evaluate.add_argument(
        "--split",
        choices=SPLITS,
        help="the examples to test on; discover scores edges on train pairs and judges the circuit "
        "on dev pairs (test, or dev for a file without test lines)",
    )
    evaluate.add_argument(
        "--minimality", action="store_true", help="what is lost without each edge; a run for each"
    )

    curve = add_command(
        commands, "curve", curve_command, "Draw faithfulness over circuit sizes, with CPR and CMD."
    )
    add_model(curve)
    curve.add_argument("--task", action="append", help="may be given several times (sva)")
    curve.add_argument(
        "--method",
        action="append",
        choices=ATTRIBUTIONS,
        help=METHOD_HELP + "; may be given several times (eap and eap-ig)",
    )
    curve.add_argument(
        "--each-head",
        action="store_true",
        help="give each head keys and values of its own, as MIB counts the edges of a model whose "
        "heads share them",
    )
    add_mlp_block(curve)
    add_metric(curve, examples=32)
    add_draws(curve)
    add_out(curve, NOTHING_OVERWRITTEN)

    audit = add_command(
        commands, "audit", audit_command, "Corrupt what nodes are said to do without, and look."
    )
    add_model(audit)
    add_task(audit)
    audit.add_argument("--node", help="such as a1.h3 or m2 (all nodes at once)")
    audit.add_argument("--estimator", default="mass", choices=("circuit", "mass"), help=ESTIMATORS)
    add_tau(audit)
    add_edges(audit)
    add_mlp_block(audit)
    add_metric(audit, examples=64)
    add_method(audit)
    add_draws(audit)


def discover_command(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    if (options.threshold is None) == (options.select == "threshold"):
        raise CtvizError("--select threshold and --threshold SIZE go together: give both or none.")
    quiet_libraries()
    from ctviz.jobs.discovery import Search, discover

    search = Search(
        task=task.name,
        select=options.select,
        edges=options.edges,
        threshold=options.threshold or 0.0,
        prune=options.prune,
        **asked_method(options),
        tau=options.tau,
        random=options.random,
        **asked_question(options),
    )
    if options.dry_run:
        from ctviz.jobs.dry_run import dry_discover

        with underway():
            began = time.perf_counter()
            loaded = load_model(options)
            seconds = time.perf_counter() - began
            estimate = dry_discover(loaded, search, out_folder(options), seconds)
        return say_estimate(options, estimate)
    name = f"discover-{task.slug}-{Path(options.model).name.lower()}"
    with underway():
        loaded = load_model(options)
        with result_folder(options, name) as folder:
            result = discover(loaded, search, folder, eap_json=options.eap_json)
    dropped, split = result["examples_dropped"], result["scored_split"]
    if result["n_circuit_edges"] == 0:
        found = f"nothing: the largest |score| is {result['largest_score']:.3g}"
    else:
        found = "strongest edges: score ± standard error, in units of the metric"
    lines = [
        *circuit_lines(result),
        f"it owns {result['owned_fraction']:.1%} of the parameters",
        f"found on {counted(result['scored_examples'], f'{split} pair')}, by {result['method']}",
        *agreement_line(result),
        *([f"pairs left out: {dropped}; the first: {result['first_dropped']}"] if dropped else []),
        found,
        *(
            f"  {signed(row['score'])}{give_or_take(row['error'])}  {row['edge']}"
            for row in result["strongest"]
        ),
        f"written: {Path(result['scores']).parent}",
    ]
    return answer(options, result, "\n".join(lines))


def evaluate_command(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    quiet_libraries()
    from ctviz.jobs.evaluate import evaluate
    from ctviz.jobs.question import Question

    question = Question(
        task=task.name, split=options.split, random=options.random, **asked_question(options)
    )
    circuit = Path(options.circuit)
    with underway():
        result = evaluate(load_model(options), question, circuit, minimality=options.minimality)
    lines = [
        *circuit_lines(result),
        *_origin(result),
        f"completeness: all other edges carry {result['completeness']:z.3f}"
        f"{give_or_take(result['completeness_error'])} (0: nothing is left out)",
    ]
    if result["joined"]:
        lines.append(
            f"{counted(result['joined'], 'shared edge')} of heads that share keys or values: "
            "inside for some heads of the group only, and taken as inside"
        )
    if "minimality" in result:
        lines.append("minimality: what the circuit loses without one edge, least first")
        lines += [
            f"  {signed(row['lost'])}{give_or_take(row['error'])}  {row['edge']}"
            for row in result["minimality"]
        ]
    return answer(options, result, "\n".join(lines))


def _origin(result: dict[str, Any]) -> list[str]:
    """What a circuit was found on, as far as its file says so."""
    about = result["found_on"]
    if about is None:
        return ["found on: the file does not say, so these may be the very pairs"]
    n, split = about.get("scored_examples"), about.get("scored_split")
    pairs = f"{n} {split} pairs of {about.get('task')}" if n else f"{about.get('task')}"
    model = str(about.get("model"))
    if about.get("step"):
        model += f" tuned to step {about['step']} of run {about.get('run')}"
    by = f", by {about['method']}" if about.get("method") else ""
    lines = [f"found on {pairs}, {model}{by}"]
    if result["other_model"]:
        lines.append(
            f"  its weights were {about.get('revision')}, and these are {result['revision']}: "
            "another model, or a copy from elsewhere"
        )
    return lines


def curve_command(options: argparse.Namespace) -> int:
    tasks = [find_task(key).name for key in dict.fromkeys(options.task or ["sva"])]
    # eap finds nothing with kl: its gradient is zero
    usual: list[Attribution] = ["eap-ig"] if options.metric == "kl" else ["eap", "eap-ig"]
    need("pictures", "The figure of the curves")
    quiet_libraries()
    from ctviz.jobs.curve import curve
    from ctviz.jobs.question import Question

    questions = [Question(task=key, **asked_question(options)) for key in tasks]
    slugs = "-".join(find_task(key).slug for key in tasks)
    with underway():
        loaded = load_model(options)
        with result_folder(options, f"curve-{slugs}-{Path(options.model).name.lower()}") as folder:
            result = curve(
                loaded,
                questions,
                folder,
                methods=list(dict.fromkeys(options.method or usual)),
                each_head=options.each_head,
            )
    lines = [
        f"CPR, area under faithfulness (1: all of it), and CMD, area between it and 1 (0: none);"
        f" {result['metric_name']}, {result['ablation']} ablation",
    ]
    lines += [
        f"  {row['task']:10} {row['method']:8} CPR {signed(row['cpr'])}  CMD {row['cmd']:.3f}"
        f"  {row['examples']} {row['split']} pairs, scores from {row['found_on']} pairs"
        for row in result["areas"]
    ]
    lines += few_line(min(row["examples"] for row in result["areas"]))
    if any(row["in_sample"] for row in result["areas"]):
        lines.append("in sample: scores come from these very pairs, so others may say less")
    lines.append(
        f"random: mean of {counted(result['draws'], 'draw')} of any edges, pruned as all circuits "
        "are, so that most of the small ones lead nowhere"
    )
    if result["shared_slots"]:
        lines.append(
            f"heads share keys and values here: each of the {result['n_edges']:,} edges into a "
            "shared slot counts once; MIB's numbers are those of --each-head"
        )
    lines += [f"figure: {result['figure']}", f"table: {result['table']}"]
    return answer(options, result, "\n".join(lines))


def audit_command(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    quiet_libraries()
    from ctviz.jobs.audit import audit
    from ctviz.jobs.discovery import Search

    search = Search(
        task=task.name,
        edges=options.edges,
        **asked_method(options),
        tau=options.tau,
        **asked_question(options),
    )
    with underway():
        result = audit(load_model(options), search, estimator=options.estimator, node=options.node)
    split, scored = result["split"], result["scored_split"]
    lines = [
        f"{result['node'] or 'all nodes'}, {result['estimator']}: {result['redundant']:,} incoming "
        f"edges redundant, {result['needed']:,} needed",
        f"{metric_line(result)}, on {counted(result['examples'], split + ' pair')}",
        f"claimed on {counted(result['scored_examples'], scored + ' pair')}, by {result['method']}",
        *in_sample_line(result),
        *few_line(result["examples"]),
        *agreement_line(result),
        "share of the behaviour that is lost (0: none, 1: all of it) by corrupting",
    ]
    for row in result["rows"]:
        which = f"{'all' if row['whole'] else '':3} {row['edges']:,} {row['which']}"
        spread = give_or_take(row["spread"])
        over = f"{spread} over pairs" if spread else ""
        if row["draws"] > 1:
            low, high = signed(row["low"]), signed(row["high"])
            over = f"{spread} over {row['draws']} draws ({low} to {high})"
        lines.append(f"  {which:20} {signed(row['change'])}{over}")
    lines.append("± over pairs: the standard error; over draws: their standard deviation")
    return answer(options, result, "\n".join(lines))
