"""Which updates were needed, in one sentence."""

from __future__ import annotations

from ctviz.runs.causes import Causes

__all__ = ["cause_sentence", "gain_words", "share"]


def share(value: float | None, digits: int = 0) -> str:
    """A share for people, with more digits where it is small.

    >>> share(0.0123), share(0.95), share(1.0), share(None)
    ('1.2 %', '95 %', '100 %', 'unknown')
    """
    if value is None:
        return "unknown"
    points = 100 * value
    if digits == 0 and 0 < abs(points) < 9.95:
        digits = 1 if abs(points) >= 0.1 else 2
    return f"{points:.{digits}f} %"


def cause_sentence(found: Causes) -> str:
    """What was found, in one sentence."""
    if not found.nodes:
        return "No parameter has moved: there is nothing to take back."
    moved = f"{share(found.updated_fraction)} of the parameters were updated"
    if not found.learned:
        return (
            f"{moved}; nothing was learned that can be told from noise (the metric moved by "
            f"{gain_words(found.gain, found.gain_error)} on {found.examples} {found.chosen_on} "
            f"and by {gain_words(found.test_gain, found.test_gain_error)} on {found.test_examples} "
            f"{found.checked_on} examples), so no update can be called needed."
        )
    carry = f"{share(found.needed_fraction)} carry {share(found.gain_carried)} of the gain"
    return f"{moved}; {carry}; {_idle(found)}."


def _idle(found: Causes) -> str:
    count = len(found.idle_nodes)
    if not count:
        return "no update can be taken back without a change"
    nodes = f"these {count} nodes" if count > 1 else "one node"
    if found.idle_does_nothing:
        return f"reverting {nodes} changes nothing"
    cost = -(found.idle_change or 0.0) / found.test_gain
    seemed = f"nothing on {found.chosen_on} examples, but"
    return f"reverting {nodes} changes {seemed} costs {share(cost)} of the gain on others"


def gain_words(value: float, error: float | None) -> str:
    """A gain with its standard error, if that is known."""
    return f"{value:+.3f}" if error is None else f"{value:+.3f} ± {error:.3f}"
