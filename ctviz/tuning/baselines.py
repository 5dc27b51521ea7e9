"""What was measured of an untuned model once, kept on disk for all runs and studies.

A value is found again by all that it depends on: the weights themselves, the model's settings and
tokenizer, device and precision, the versions of what computes, and the input. Its file holds all of
this too and is believed only if it is the same and whole. Without a place to write, everything is
measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import torch
import transformers

import ctviz
from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.files import read_json, write_json
from ctviz.models.loading import Loaded
from ctviz.models.untuned import Untuned

__all__ = ["SCHEMA", "Baselines", "key_of", "tokenizer_hash"]

SCHEMA = 1  # to be raised with every change after which the same key has another value
T = TypeVar("T")

log = logging.getLogger(__name__)


class _Unknown(Exception):
    """Something would have to be measured."""


class Baselines:
    """The values of one model, which has to be the untuned one when this is made.

    ``known``: whether any that was asked for has been on disk.
    """

    def __init__(self, loaded: Loaded, untuned: Untuned) -> None:
        self.known = False
        self._asking = False  # whether, instead of what
        self._folder = paths.baselines()
        config = loaded.model.config.to_dict()
        config.pop("_name_or_path", None)
        device = loaded.anatomy.device
        self._model: dict[str, Any] = {
            "schema": SCHEMA,
            "ctviz": ctviz.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "weights": untuned.fingerprint,
            "config": _hash(json.dumps(config, sort_keys=True, default=str)),
            "tokenizer": tokenizer_hash(loaded),
            "dtype": str(loaded.model.dtype),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        }

    def remembered(self, what: str, key: Mapping[str, Any], measure: Callable[[], T]) -> T:
        """A value in plain JSON, measured only if it is not known yet.

        ``what`` is measured, ``key``: all that it depends on beside the model, in plain JSON.
        """
        whole = {**self._model, "what": what, **key}
        file = self._folder / f"{_hash(json.dumps(whole, sort_keys=True))[:32]}.json"
        try:
            stored = read_json(file)
            if stored["key"] == whole and stored["check"] == _check(stored["value"]):
                self.known = True
                value: T = stored["value"]
                return value
        except (CtvizError, KeyError, TypeError):
            pass  # not there, damaged, or of something else
        if self._asking:
            raise _Unknown
        value = measure()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(file, {"key": whole, "value": value, "check": _check(value)})
        except (CtvizError, OSError) as error:
            log.info("not kept for later runs: %s", error)
        return value

    def knows(self, ask: Callable[[], Any]) -> bool:
        """Whether all that something asks for is known already. Nothing is measured."""
        self._asking = True
        try:
            ask()
        except _Unknown:
            return False
        finally:
            self._asking = False
        return True


def key_of(value: Any) -> str:
    """A hash of an input: plain values, and dataclasses and tensors of them."""
    return _hash(json.dumps(value, sort_keys=True, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else asdict(value)


def tokenizer_hash(loaded: Loaded) -> str:
    """A hash of all that decides how a text is cut into tokens."""
    backend = getattr(loaded.tokenizer, "backend_tokenizer", None)
    told = backend.to_str() if backend is not None else json.dumps(loaded.tokenizer.get_vocab())
    return _hash(type(loaded.tokenizer).__name__ + told)


def _check(value: Any) -> str:
    return _hash(json.dumps(value, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
