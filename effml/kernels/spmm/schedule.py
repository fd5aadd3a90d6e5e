"""How the CPU kernel's work is dealt to threads: tasks of about equal work, taken from one queue.

A task is a run of whole rows; a row too long for one task is cut into pieces that are summed apart and added up in
order, so that a hub does not hold up the others and the result does not depend on who came first. Rows keep their
order: sorted by degree their trip counts would be even, but each would be written to a place of its own, which costs
more here than it saves. Knows nothing of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Writing a row out costs about as much as adding two nonzeros to it.
ROW_COST = 2
TASKS_PER_THREAD = 16
SMALLEST_TASK, LARGEST_TASK = 2048, 32768


@dataclass(frozen=True)
class Schedule:
    """Tasks int64 `[n, 3]`: (first row, end row, -1), or (first nonzero, end nonzero, slot) for a piece of a long row.

    `long_rows` are the rows in pieces; slots `first_slot[i]` to `first_slot[i + 1]` hold the sums of `long_rows[i]`.
    """

    tasks: np.ndarray
    long_rows: np.ndarray
    first_slot: np.ndarray

    @property
    def slots(self) -> int:
        return int(self.first_slot[-1])


def even_schedule(indptr: np.ndarray, threads: int) -> Schedule:
    """Tasks of about equal work for `threads` threads."""
    rows = indptr.size - 1
    work = indptr + ROW_COST * np.arange(rows + 1)
    size = int(np.clip(work[-1] // (threads * TASKS_PER_THREAD), SMALLEST_TASK, LARGEST_TASK))
    degrees = np.diff(indptr)
    long_rows = np.flatnonzero(degrees > 2 * size)
    cuts = np.searchsorted(work, np.arange(size, work[-1], size))
    cuts = np.unique(np.concatenate([[0, rows], cuts, long_rows, long_rows + 1]))
    runs = np.stack([cuts[:-1], cuts[1:], np.full(cuts.size - 1, -1)], axis=1)
    runs = runs[~np.isin(runs[:, 0], long_rows)]

    pieces = -(-degrees[long_rows] // size)
    first_slot = np.concatenate([[0], np.cumsum(pieces)])
    position = np.arange(first_slot[-1]) - np.repeat(first_slot[:-1], pieces)
    start = np.repeat(indptr[long_rows], pieces) + position * size
    end = np.minimum(start + size, np.repeat(indptr[long_rows + 1], pieces))
    cut = np.stack([start, end, np.arange(start.size)], axis=1)
    # Pieces first: they are the largest tasks.
    return Schedule(np.ascontiguousarray(np.concatenate([cut, runs])), long_rows, first_slot)


def row_schedule(indptr: np.ndarray, threads: int) -> Schedule:
    """Equal numbers of rows for each thread, whatever is in them: what the even schedule is measured against."""
    cuts = np.linspace(0, indptr.size - 1, threads + 1).astype(np.int64)
    tasks = np.stack([cuts[:-1], cuts[1:], np.full(threads, -1)], axis=1)
    return Schedule(np.ascontiguousarray(tasks), np.empty(0, np.int64), np.zeros(1, np.int64))
