"""Messages say what was asked, what is true and what to do."""

from __future__ import annotations

import doctest

import ctviz.errors
from ctviz.errors import CtvizError, UnknownName


def test_examples_in_docstrings():
    result = doctest.testmod(ctviz.errors)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_error_is_in_the_tree_and_has_a_builtin_parent():
    for name in ctviz.errors.__all__:
        kind = getattr(ctviz.errors, name)
        assert name in ctviz.errors.__doc__
        assert issubclass(kind, CtvizError)
        if kind is not CtvizError:
            assert len(kind.__bases__) == 2


def test_long_lists_are_cut():
    message = str(UnknownName("node", "x", [f"n{i}" for i in range(50)]))
    assert "and 30 more" in message
