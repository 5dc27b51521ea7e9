"""The least memory that a tuning run takes, known before its model is loaded, without torch."""

from __future__ import annotations

from ctviz.errors import CtvizError
from ctviz.models.block_sizes import cut_graph
from ctviz.models.limits import available_memory
from ctviz.models.places import place_of
from ctviz.models.room import check_room, n_parameters
from ctviz.models.stored_config import graph_of, neurons_of, stored_config
from ctviz.runs.config import METHOD_NAMES, TuneConfig

__all__ = ["check_blocks", "check_tunable", "least_memory"]

FLOAT = 4  # bytes of a number; weights and what an optimizer remembers are float32
REMEMBERED = {"adamw": 2, "sgd": 1}  # numbers that an optimizer keeps of each that it moves
WORDS = {"adamw": "AdamW's moments", "sgd": "SGD's momentum"}


def least_memory(config: TuneConfig, n: int) -> dict[str, int]:
    """Bytes that a run on a model of ``n`` parameters takes at least, by what they hold.

    Of a circuit's, whose size is not known yet, the weights alone; activations come on top.
    """
    needed = {"the weights": n * FLOAT}
    if config.method == "full":
        needed["their gradients"] = n * FLOAT
        needed[WORDS[config.optimizer]] = n * FLOAT * REMEMBERED[config.optimizer]
    return needed


def check_tunable(config: TuneConfig, available: int) -> None:
    """Raise CtvizError, with the numbers, if a run cannot have the memory that it needs.

    ``available``: bytes on its device. What cannot be told yet, as of a model that is still to be
    fetched, is not judged.
    """
    try:
        n = n_parameters(place_of(config.model).weights)
    except CtvizError:
        return  # loading says what is wrong
    smaller = "Take a smaller model, or end what else uses memory."
    if config.method == "full":
        smaller = f"Tune a circuit or by LoRA, or take SGD. {smaller}"
    check_room(
        f"Tuning {config.model} by {METHOD_NAMES[config.method]}",
        least_memory(config, n),
        available,
        smaller,
    )


def check_blocks(config: TuneConfig) -> None:
    """Raise OutOfRange or CtvizError if MLPs cannot be cut as a run asks for.

    What cannot be told yet, as of a model that is still to be fetched, is not judged.
    """
    try:
        found = stored_config(config.model)
    except CtvizError:
        return  # loading says what is wrong
    graph, neurons = graph_of(found), neurons_of(found)
    if config.mlp_block and graph and neurons:
        cut_graph(graph, neurons, config.mlp_block, available_memory())
