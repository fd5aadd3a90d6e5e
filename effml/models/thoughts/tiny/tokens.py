"""Text to tokens for the tiny model: a closed vocabulary of words, small numbers and characters. Knows no task.

Numbers of one or two digits are one token, longer ones a token per digit, so that small arithmetic is short and large
numbers remain writable. Decoding is concatenation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

END = "\n"
UNKNOWN = "\ufffd"
PIECE = re.compile(r"(?<!\d)\d{1,2}(?!\d)|\d| left |[a-z]+|.|\n", re.DOTALL)
CHARACTERS = " +-*/^=()[]<>|,;:.ABCFKRSV"


class Vocabulary:
    """Token 0 ends a text; unknown pieces become one token that is never generated from training data."""

    def __init__(self, words: Iterable[str]) -> None:
        numbers = [str(value) for value in range(100)]
        self.pieces = list(dict.fromkeys([END, UNKNOWN, " left ", *CHARACTERS, *numbers, *sorted(words)]))
        self.ids = {piece: index for index, piece in enumerate(self.pieces)}

    def __len__(self) -> int:
        return len(self.pieces)

    def values(self) -> dict[int, int]:
        """The tokens that are numbers, and their values."""
        return {index: int(piece) for index, piece in enumerate(self.pieces) if piece.isdigit()}

    def encode(self, text: str) -> list[int]:
        unknown = self.ids[UNKNOWN]
        return [self.ids.get(piece, unknown) for piece in PIECE.findall(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.pieces[token] for token in tokens)
