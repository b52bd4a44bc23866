"""Expect an error by its subject and its remedy, never by its sentence."""

import contextlib

import pytest


@contextlib.contextmanager
def error_naming(kind, *texts):
    """Expect an error of that kind, on one line, with all the texts in its message."""
    with pytest.raises(kind) as error:
        yield error
    message = str(error.value)
    assert "\n" not in message
    missing = [text for text in texts if str(text) not in message]
    assert not missing, f"{missing} not in: {message}"
