"""Words of captions to numbers: a fixed vocabulary, split at blanks. Knows nothing of where the numbers stand in a sequence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

PADDING = 0


class UnknownWord(ValueError):
    """A caption holds a word that no training caption held, or too many words."""


class Vocabulary:
    """The words of a set of captions, numbered from 1; 0 pads. `length` is the longest caption's, in words."""

    def __init__(self, words: Sequence[str], length: int) -> None:
        self.words, self.length = list(words), length
        self._numbers = {word: number for number, word in enumerate(self.words, 1)}

    @staticmethod
    def of(captions: Iterable[str]) -> Vocabulary:
        split = [caption.lower().split() for caption in captions]
        return Vocabulary(sorted({word for words in split for word in words}), max(map(len, split), default=0))

    def __len__(self) -> int:
        """Numbers in use, padding included."""
        return len(self.words) + 1

    def encode(self, captions: Sequence[str]) -> Int[Tensor, "captions length"]:
        """Numbers of the words, padded on the left, so that the last word is next to what follows.

        Raises:
            UnknownWord: naming the word and the nearest known ones, or the caption that is too long.
        """
        encoded = torch.full((len(captions), self.length), PADDING)
        for row, caption in enumerate(captions):
            words = caption.lower().split()
            if len(words) > self.length:
                raise UnknownWord(
                    f"caption '{caption}' has {len(words)} words; the model was trained on up to {self.length}"
                )
            for column, word in enumerate(words, self.length - len(words)):
                encoded[row, column] = self._number(word, caption)
        return encoded

    def _number(self, word: str, caption: str) -> int:
        if word not in self._numbers:
            near = difflib.get_close_matches(word, self.words, 3, 0.5)
            known = ", ".join(near or self.words[:12]) + ("" if near or len(self.words) <= 12 else " ...")
            raise UnknownWord(
                f"caption '{caption}': the model never saw the word '{word}'; "
                f"{'did you mean' if near else 'it knows'} {known}{'?' if near else ''}"
            )
        return self._numbers[word]
