"""Arrays as text for the browser, and back: integers with scales, bits, shares, deflated bytes.

Everything is little-endian and base64; what is not defined has a code of its own. Numbers of 16
bits over snapshots change slowly, so they are sent as series: each snapshot as its difference from
the one before, low bytes in front of high ones, deflated.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np

__all__ = [
    "pack_attention",
    "pack_attribution",
    "pack_bits",
    "pack_errors",
    "pack_scores",
    "pack_shares",
    "short",
    "unpack_attention",
    "unpack_bits",
    "unpack_redundancy",
    "unpack_scores",
    "unpack_series",
]

UNDEFINED = 65535  # redundancy of a node that has none, such as ``input``
MISSING = -32768  # attribution that is not defined, such as that of ``logits``


def pack_scores(values: np.ndarray) -> dict[str, Any]:
    """float [T, E] as int16 and a scale a snapshot, so that score = integer x scale."""
    finite = np.nan_to_num(values.astype(np.float64))
    largest = np.abs(finite).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / 32767, 1.0)
    integers = np.rint(finite / scales[:, None]).astype("<i2")
    return {"scores": _series(integers), "scales": [short(scale, 7) for scale in scales]}


def unpack_scores(payload: dict[str, Any]) -> np.ndarray:
    """float [T, E] from a payload; the error is at most half a scale, 1/65534 of the largest."""
    shape = (len(payload["steps"]), len(payload["edges"]))
    integers = unpack_series(payload["scores"], shape[0]).view(np.int16).reshape(shape)
    values: np.ndarray = integers * np.array(payload["scales"])[:, None]
    return values


def pack_errors(errors: np.ndarray) -> dict[str, Any]:
    """Standard errors [T, E] as uint16: error = largest of its snapshot x code / 65534.

    65535 stands for one that is not known.
    """
    known = np.nan_to_num(errors.astype(np.float64))
    largest = known.max(axis=1, initial=0.0)
    shares = known / np.where(largest > 0, largest, 1.0)[:, None]
    codes = np.rint((UNDEFINED - 1) * shares).astype("<u2")
    codes[~np.isfinite(errors)] = UNDEFINED
    return {"codes": _series(codes), "largest": [short(float(value), 7) for value in largest]}


def pack_shares(values: np.ndarray) -> str:
    """Numbers from 0 to 1 as uint16, with a mark for NaN."""
    defined = np.isfinite(values)
    clipped = np.clip(np.where(defined, values, 0.0), 0, 1)
    shares = np.rint(clipped * (UNDEFINED - 1)).astype("<u2")
    shares[~defined] = UNDEFINED
    return _series(shares)


def unpack_redundancy(text: str, n_snapshots: int) -> np.ndarray:
    """float [T, node] from packed shares, NaN where undefined; the error is at most 1/131068."""
    shares = unpack_series(text, n_snapshots)
    return np.where(shares == UNDEFINED, np.nan, shares / (UNDEFINED - 1))


def pack_bits(mask: np.ndarray) -> str:
    """bool [T, width] as bits; each snapshot starts on a byte."""
    return _text(np.packbits(mask.astype(bool), axis=1, bitorder="little"))


def unpack_bits(text: str, n_snapshots: int, width: int) -> np.ndarray:
    """bool [T, width] from packed bits; each snapshot starts on a byte."""
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    packed = packed.reshape(n_snapshots, math.ceil(width / 8))
    bits: np.ndarray = np.unpackbits(packed, axis=1, count=width, bitorder="little")
    return bits.astype(bool)


def pack_attribution(values: np.ndarray) -> dict[str, Any]:
    """float [T, node] as int16 and one scale, with a code for what is not defined."""
    finite = np.where(np.isfinite(values), values, 0.0)
    scale = float(np.abs(finite).max(initial=0.0)) / 32767 or 1.0
    integers = np.rint(finite / scale).astype("<i2")
    integers[~np.isfinite(values)] = MISSING
    return {"attribution": _series(integers), "attribution_scale": short(scale, 7)}


def pack_attention(attention: np.ndarray) -> str:
    """One head's causal attention [T, n, n] as deflated bytes.

    Attention changes slowly over training, so each snapshot is stored as the difference from the
    one before, modulo 256, which is mostly zeros and deflates well.
    """
    n = attention.shape[-1]
    query, key = np.tril_indices(n)
    weights = np.rint(np.clip(np.nan_to_num(attention[:, query, key]), 0, 1) * 255).astype(np.uint8)
    change = weights.copy()
    change[1:] -= weights[:-1]  # uint8 wraps around, and so does the sum that undoes it
    return _text(np.frombuffer(zlib.compress(change.tobytes(), 6), dtype=np.uint8))


def unpack_attention(text: str, n_snapshots: int, n_tokens: int) -> np.ndarray:
    """float [T, query, key] from one packed head; the error is at most 1/510."""
    query, key = np.tril_indices(n_tokens)
    change = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    weights = np.cumsum(change.reshape(n_snapshots, -1), axis=0, dtype=np.uint8)
    full = np.zeros((n_snapshots, n_tokens, n_tokens))
    full[:, query, key] = weights / 255
    return full


def short(value: float, digits: int = 6) -> float | None:
    """A number with few digits, or None for NaN and infinity, which JSON cannot carry."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _series(values: np.ndarray) -> str:
    """16-bit integers [T, ...] as deflated differences over T, modulo 65536."""
    codes = values.reshape(len(values), math.prod(values.shape[1:])).view(np.uint16)
    change = codes.copy()
    change[1:] -= codes[:-1]
    planes = np.concatenate([(change & 255).ravel(), (change >> 8).ravel()]).astype(np.uint8)
    return _text(np.frombuffer(zlib.compress(planes.tobytes(), 6), dtype=np.uint8))


def unpack_series(text: str, n_snapshots: int) -> np.ndarray:
    """Codes uint16 [T, n] of a series."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    low, high = planes.astype(np.uint16).reshape(2, -1)
    change = (low + 256 * high).reshape(n_snapshots, low.size // max(1, n_snapshots))
    return np.cumsum(change, axis=0, dtype=np.uint16)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
