"""What to run: the settings of discovery and tuning, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ctviz.circuits.choices import ABLATIONS, METRICS, RANDOM_KINDS, Ablation, Metric, RandomKind
from ctviz.circuits.redundancy import check_tau
from ctviz.errors import CtvizError, OutOfRange, UnknownName
from ctviz.extras import need
from ctviz.models.known import located_model
from ctviz.runs.abilities import lm_eval_tasks, located_abilities
from ctviz.tasks import TASKS, Split, find_task, is_file, located_task
from ctviz.tasks.task import SPLITS

__all__ = [
    "CHOICES",
    "DISCOVERING",
    "FIRST",
    "METHODS",
    "METHOD_NAMES",
    "OTHER_TASKS",
    "QUICK_PAIRS",
    "UNTUNED",
    "Method",
    "PaperModel",
    "TuneConfig",
    "start_of",
]

Method = Literal[
    "circuit", "frozen-circuit", "circuit-and-random", "random", "full", "lora", "recorded"
]
METHODS: tuple[Method, ...] = get_args(Method)[:-1]  # those that tune
METHOD_NAMES: dict[Method, str] = {
    "circuit": "circuit-tuning",
    "frozen-circuit": "a frozen circuit",
    "circuit-and-random": "the circuit and random parts",
    "random": "random parts",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "recorded": "recorded weights",
}
UNTUNED, FIRST = "the untuned model", "the first model"
DISCOVERING: tuple[Method, ...] = ("circuit", "frozen-circuit", "circuit-and-random", "random")
Optimizer = Literal["adamw", "sgd"]
Choice = Literal["top", "threshold", "greedy", "nodes", "specific"]
Course = Literal["constant", "linear", "cosine"]
Objective = Literal["target", "text", "weighted"]
Explained = Literal["auto"] | Metric
Attributing = Literal["auto", "eap", "eap-ig"]
Evaluating = Literal["none", "kl", "quick", "full"]
PaperModel = Literal["", "gpt2", "llama"]
Precision = Literal["float32", "bfloat16"]

CHOICES: dict[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "select": get_args(Choice),
    "edges_course": get_args(Course),
    "ablation": ABLATIONS,
    "metric": ("auto", *METRICS),
    "objective": get_args(Objective),
    "rate_course": get_args(Course),
    "optimizer": get_args(Optimizer),
    "precision": get_args(Precision),
    "random": RANDOM_KINDS,
    "scored_on": SPLITS,
    "attribution": get_args(Attributing),
    "evaluate": get_args(Evaluating),
    "paper": get_args(PaperModel),
}
OTHER_TASKS = ("sva", "ioi", "pronoun", "greater-than", "capital-country", "induction")


def start_of(method: str) -> str:
    """What a run of a method begins with, and what its distances are from, in words."""
    return FIRST if method == "recorded" else UNTUNED


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """Settings of one tuning run.

    **What moves.** ``method``: ``circuit`` updates only what the circuit owns, which is discovered
    on the step's own batch again every ``rediscover`` steps; ``frozen-circuit`` discovers it once;
    ``circuit-and-random`` updates what the circuit owns, and beside it parts that are drawn at
    random once, ``random_share`` of the parameters that the first circuit does not own;
    ``random`` updates parts drawn at random, as many parameters as the first circuit owns, and
    draws again every ``rediscover`` steps; ``full`` updates every parameter; ``lora`` trains
    adapters of rank ``lora_rank`` on every linear layer of the blocks. ``recorded`` is the method
    of a run that tunes nothing: its steps are weights that were there (`ctviz.jobs.record`).

    **The circuit.** ``attribution`` scores the edges: ``auto`` is eap where it agrees with exact
    patching of the untuned model, else eap-ig (`ctviz.attribution.agreement`). ``select``: its
    ``edges`` of them by \\|score\\| (``top``), by that times the sums at both nodes (``nodes``), by
    that beside what the edge does for general text in the untuned model (``specific``) or
    grown back from the logits (``greedy``), or all above ``threshold``
    (`ctviz.circuits.selection`). ``metric``: what the scores explain; ``auto`` is the logit
    difference, or of a task without pairs log_probability. The number of edges goes from
    ``edges`` to ``edges_end`` (0: it stays) by ``edges_course``.
    ``mlp_block``: neurons in each of the nodes that an MLP is cut into; 0: it is one node.

    **The step.** ``batch_size`` examples, run ``micro_batch`` at a time (0: all at once; the result
    is the same up to rounding). ``objective``: cross-entropy of the ``target``, of the whole
    ``text``, or of the text with the target's tokens weighing ``target_weight`` times as much
    (``weighted``). To it comes ``debias`` times the mean of \\|logit(answer) - logit(foil)\\|, so
    that the two sides of a pair get equally likely. The learning rate rises over ``warmup`` steps
    and then goes to zero by ``rate_course``. ``precision`` bfloat16 runs the matrix products of
    training in it; weights and discovery stay in float32.

    ``examples``: as many pairs of ``scored_on`` score the edges of a snapshot, and as many dev
    examples judge the circuit and the model; ``graded_examples``: how many dev examples the task's
    grade is of in a snapshot, 0: as many. ``snapshot_every``: steps between snapshots, 0 for about
    20 a run. ``keep_weights``: how many snapshots keep their weights, spread evenly over the run,
    the last one always; -1: as many as fit into 200 MB by an upper bound; 0: none.

    **What is drawn and measured.** ``train_examples``: how many examples ``seed`` draws to train
    on, of which the first ``first_pairs`` pairs give a circuit that is discovered only once.
    ``examples_seed`` draws dev and test examples, the same for all seeds of a run;
    ``test_examples``: how many of them grade the model before and after. ``draws``: random circuits
    beside the circuit of a snapshot, of a kind (``random``, see
    `ctviz.circuits.random_circuits`). ``tau``: the share of a node's mass that it needs, see
    `ctviz.circuits.redundancy`. ``momentum`` is SGD's.

    **Evaluation.** ``evaluate`` says what a snapshot measures beside the scores, the metric and the
    task's grade: ``none`` nothing; ``kl`` the KL from the untuned model on all neutral prompts;
    ``quick`` the circuit's faithfulness on the first `QUICK_PAIRS`
    dev pairs and the KL from the untuned model on some neutral prompts, as many as a part of the
    steps between two snapshots costs; ``full`` faithfulness on all dev pairs, and
    perplexity and other tasks too. Before and after tuning all is measured in any case.

    **Retention** (see `ctviz.tuning.retention`): neutral prompts (``retention_prompts``), general
    English in windows of ``retention_window`` tokens, and ``other_tasks``. Snapshots measure it on
    ``retention_tokens`` tokens and ``retention_examples`` examples a task; before and after tuning
    it is all the text and ``retention_test_examples``.
    ``abilities``: ``lm-eval:TASK,...`` has lm-evaluation-harness measure these tasks of the untuned
    and of the tuned model, on ``ability_examples`` examples of each (0: all); "" for none.

    ``paper``: for which of its models the circuit-tuning paper has the settings that these began as
    (`ctviz.runs.paper`); "" for none. A run then says what is otherwise.

    Raises OutOfRange and UnknownName for values that no model could satisfy; the number of edges
    is checked again when the model is known.
    """

    model: str
    task: str
    method: Method = "circuit"
    steps: int = 60
    edges: int = 60
    select: Choice = "top"
    threshold: float = 0.0
    edges_end: int = 0
    edges_course: Course = "constant"
    mlp_block: int = 0
    rediscover: int = 1
    ablation: Ablation = "counterfactual"
    metric: Explained = "auto"
    random_share: float = 0.1
    lora_rank: int = 8
    batch_size: int = 16
    micro_batch: int = 0
    objective: Objective = "target"
    target_weight: float = 10.0
    debias: float = 0.0
    learning_rate: float = 3e-4
    warmup: int = 0
    rate_course: Course = "constant"
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.0
    max_norm: float = 1.0
    precision: Precision = "float32"
    examples: int = 32
    graded_examples: int = 0
    snapshot_every: int = 0
    keep_weights: int = -1
    train_examples: int = 512
    first_pairs: int = 64
    test_examples: int = 100
    examples_seed: int = 0
    draws: int = 5
    random: RandomKind = "connected"
    scored_on: Split = "train"
    attribution: Attributing = "auto"
    evaluate: Evaluating = "quick"
    tau: float = 0.9
    momentum: float = 0.9
    retention_prompts: int = 24
    retention_window: int = 128
    retention_tokens: int = 1024
    retention_examples: int = 24
    retention_test_examples: int = 64
    other_tasks: tuple[str, ...] = OTHER_TASKS
    abilities: str = ""
    ability_examples: int = 0
    seed: int = 0
    device: str = "auto"
    paper: PaperModel = ""

    def __post_init__(self) -> None:
        if not is_file(self.task):  # a stored run can be read without the file it was tuned on
            find_task(self.task)
        for name, known in CHOICES.items():
            asked = getattr(self, name)
            if asked not in known:
                raise UnknownName(name, asked, known)
        for other in self.other_tasks:
            if other not in TASKS:
                raise UnknownName("task", other, TASKS)
        for what, low, high in (
            ("steps", 1, 100_000 if self.method != "recorded" else 10**12),
            ("edges", 1, None),
            ("threshold", 0.0, None),
            ("edges_end", 0, None),
            ("mlp_block", 0, None),
            ("rediscover", 1, 100_000),
            ("lora_rank", 1, 1024),
            ("batch_size", 1, 4096),
            ("micro_batch", 0, self.batch_size),
            ("target_weight", 0.0, None),
            ("debias", 0.0, None),
            ("random_share", 0.0, 1.0),
            ("learning_rate", 0.0, 1.0),
            ("warmup", 0, self.steps),
            ("weight_decay", 0.0, 1.0),
            ("max_norm", 0.0, None),
            ("examples", 2, 4096),
            ("graded_examples", 0, 100_000),
            ("snapshot_every", 0, self.steps),
            ("keep_weights", -1, 100_000),
            ("train_examples", 1, 100_000),
            ("first_pairs", 1, 4096),
            ("test_examples", 1, 100_000),
            ("examples_seed", 0, 2**31 - 1),
            ("draws", 1, 100),
            ("momentum", 0.0, 1.0),
            ("retention_prompts", 1, 4096),
            ("retention_window", 2, 100_000),
            ("retention_tokens", 1, None),
            ("retention_examples", 1, 4096),
            ("retention_test_examples", 1, 4096),
            ("ability_examples", 0, None),
            ("seed", 0, 2**31 - 1),
        ):
            value = getattr(self, what)
            if not (low <= value < math.inf and (high is None or value <= high)):
                raise OutOfRange(what, value, low, high)
        check_tau(self.tau)
        try:
            lm_eval_tasks(self.abilities)
        except ValueError as error:
            raise CtvizError(str(error)) from None
        if (self.edges_course == "constant") != (self.edges_end == 0):
            raise CtvizError(
                f"edges_course is {self.edges_course} and edges_end is {self.edges_end}: a course "
                "needs an end, and an end a course (linear or cosine)."
            )

    @property
    def discovers(self) -> bool:
        """Whether the method needs a circuit, and so counterfactual pairs of the training data."""
        return self.method in DISCOVERING

    @property
    def compares_general(self) -> bool:
        """Whether scores are seen beside what edges do for general text."""
        return self.select == "specific" or self.evaluate != "none"

    @property
    def start(self) -> str:
        """What a run begins with, and what its distances are from, in words."""
        return start_of(self.method)

    def check_startable(self) -> None:
        """Raise CtvizError if a run would not be what was asked for: MissingExtra if the method
        needs packages that are not installed.
        """
        if self.method == "recorded":
            raise CtvizError(
                "method is recorded, which is that of runs made of weights that are there already: "
                f"`ctviz record` makes these. To tune, take one of {', '.join(METHODS)}."
            )
        if (self.select == "threshold") != (self.threshold > 0):
            raise CtvizError(
                f"select is {self.select} and threshold {self.threshold:g}: a threshold goes with "
                "select threshold and must be above 0, or else every edge is in the circuit. Give "
                "both or neither."
            )
        if self.metric == "kl" and self.attribution == "eap":
            raise CtvizError(
                "metric is kl and attribution eap, but to first order the KL from the clean run "
                "does not change, so every score would be 0. Take --attribution eap-ig or auto."
            )
        if self.method == "lora":
            need("lora", "LoRA")
        if self.abilities:
            need("lm-eval", "Measuring abilities")

    def edges_at(self, step: int) -> int:
        """Size of the circuit at a step, counted from 1."""
        if self.edges_course == "constant":
            return self.edges
        share = _course(self.edges_course, (step - 1) / max(1, self.steps - 1))
        return max(1, round(self.edges_end + (self.edges - self.edges_end) * share))

    def rate_at(self, step: int) -> float:
        """Learning rate at a step, counted from 1."""
        if step <= self.warmup:
            return self.learning_rate * step / self.warmup
        done = (step - 1 - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * _course(self.rate_course, done)

    @property
    def every(self) -> int:
        """Steps between snapshots."""
        return self.snapshot_every or max(1, round(self.steps / 20))

    def located(self) -> TuneConfig:
        """The same with a local model's folder and tasks' files from the root, as a run stores
        them: it can then be gone on with from any folder."""
        return replace(
            self,
            model=located_model(self.model),
            task=located_task(self.task),
            abilities=located_abilities(self.abilities),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TuneConfig:
        """The settings in a dict; raises UnknownName for a name that is not a setting."""
        known = {field.name: field.default for field in fields(cls)}
        for name in values:
            if name not in known:
                raise UnknownName("setting", name, known)
        lists = {name: tuple(v) for name, v in values.items() if isinstance(known[name], tuple)}
        return cls(**{**values, **lists})

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> TuneConfig:
        """The settings in a run's ``run.json``, which may be of before some of them were settings.

        Raises UnknownName for a name that is not a setting.
        """
        return cls.from_dict({**FORMER, **values})

    @classmethod
    def parse_setting(cls, text: str) -> tuple[str, Any]:
        """Name and value of a setting that is given as ``NAME=VALUE``; lists have commas between.

        Raises UnknownName for a name that is not a setting, and CtvizError for a value of another
        type; its range is checked when the settings are made.
        """
        known = {field.name: field.default for field in fields(cls)}
        name, equals, value = text.partition("=")
        if name not in known:
            raise UnknownName("setting", name, known)
        kind: type[Any] = str if known[name] is MISSING else type(known[name])
        if kind is tuple:
            return name, tuple(part for part in value.split(",") if part)
        try:
            return name, kind(value if equals else "")
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise CtvizError(f"{name} is {value!r}, but must be {what}: {name}=VALUE.") from None


FORMER: dict[str, Any] = {
    "draws": 1,
    "random": "uniform",
    "scored_on": "dev",
    "attribution": "eap",
    "evaluate": "full",
}
"""What runs were made with before these were settings, where that is not the default of today."""

QUICK_PAIRS = 8  # pairs on which a quick evaluation runs a circuit alone


def _course(course: Course, done: float) -> float:
    """What is left of 1, after a share ``done`` of the way."""
    if course == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2 if course == "cosine" else 1.0
