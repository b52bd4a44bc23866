"""What only the user can decide: a question with its answers, each of which is also an option."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psp.errors import PspError


@dataclass(frozen=True)
class Answer:
    """One answer: `text` for people, and `settings` of own data, by name, that say the same."""

    text: str
    settings: Mapping[str, Any]


class DoubtError(PspError):
    """Several readings fit. The message names the options that settle it, for scripts."""

    def __init__(self, message: str, question: str, answers: Sequence[Answer]) -> None:
        super().__init__(message)
        self.question = question
        self.answers = tuple(answers)
