"""What goes wrong in the libraries below when a model is loaded, as a sentence of ours.

Each says what was asked, what is true, and what to do; the library's own exception stays its cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import transformers
from huggingface_hub.errors import EntryNotFoundError

from ctviz.errors import CtvizError, MissingModel, UnsupportedModel
from ctviz.models.hub import causes, refused
from ctviz.models.memory import is_out_of_memory
from ctviz.models.stored import is_folder

__all__ = ["explained", "said"]


@contextmanager
def said(what: str, where: str) -> Iterator[None]:
    """Raise whatever goes wrong inside as an error of ours; running out of memory stays as it is.

    ``what``: as a sentence begins, such as "The model 'gpt2'"; ``where``: its folder or hub id.
    """
    try:
        yield
    except CtvizError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, MemoryError):
            raise
        raise explained(error, what, where) from error


def explained(error: BaseException, what: str, where: str) -> MissingModel | UnsupportedModel:
    """An exception of transformers, huggingface_hub, safetensors or peft as an error of ours."""
    if not is_folder(where):
        if reason := refused(error, what, where):
            return reason
        if any(isinstance(each, EntryNotFoundError) for each in causes(error)):
            return MissingModel(f"{what} could not be loaded: {_first(error)}")
    if "trust_remote_code" in str(error):
        return UnsupportedModel(
            f"{what} needs code of its own, which ctviz does not run. Where transformers has the "
            "same under a name of its own, take auto_map out of the config and write that name "
            "there (tokenizer_class of a tokenizer with a tokenizer.json: PreTrainedTokenizerFast)."
        )
    if isinstance(error, OSError):
        return MissingModel(f"{what} could not be loaded: {_first(error)}")
    if isinstance(error, ImportError):
        return UnsupportedModel(
            f"{what} could not be loaded, since it needs what is not installed here: "
            f"{_first(error)}"
        )
    if isinstance(error, ValueError):
        return UnsupportedModel(f"{what} could not be loaded: {_first(error)}")
    return UnsupportedModel(
        f"{what} could not be loaded: {type(error).__name__}: {_first(error)} Most likely a value "
        "in its config.json is not one that transformers knows, or no config of such a model has "
        f"(this is transformers {transformers.__version__})."
    )


def _first(error: BaseException) -> str:
    """The first line of what a library says, and the next one where that announces it, as a
    sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].strip()
    if line.endswith(":") and len(lines) > 1:
        line = f"{line} {lines[1].strip()}"
    return line if line.endswith((".", "!", "?")) else f"{line.rstrip(':;,')}."
