"""The members of an ensemble tried on one fold of a sample, for a moment each.

Deterministic: the sizes of files are nearly; seconds are not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.learning.ensemble.learner import rows_of
from app.learning.ensemble.members import num_steps, sizes
from app.learning.ensemble.roster import ROSTER, Name, Network
from app.learning.ensemble.tasks import Rows, learn_fold
from app.learning.estimating.forecast import Interval
from app.learning.prepared import AT_RANDOM, Prepared
from app.learning.specs.ensemble import EnsembleParams

MEMBER_SECONDS = 0.4
# Early stopping ends networks after a share of their epochs, and trees after a few rounds.
SHARE_AT_LEAST = 0.2
ENDING_SECONDS = 5.0
FILE = "member.safetensors"


@dataclass(frozen=True, slots=True)
class TriedMembers:
    """What learning all folds of all members takes on the rows of the data set, one after the other."""

    seconds: Interval
    num_networks: int
    written_bytes: int


def try_members(
    prepared: Prepared, params: EnsembleParams, *, growth: float, num_rows: int, folder: Path
) -> TriedMembers:
    """Try every member on the first fold of a sample that the data set is `growth` times as large as."""
    rows = rows_of(prepared, params.folds)
    is_again = prepared.plan.split.method in AT_RANDOM and len(prepared.rows["test"]) and num_rows <= params.refit_rows
    times = len(rows.folds) * (2 if is_again else 1)
    seconds, written = Interval(0.0, 0.0), 0
    for name in params.members:
        found = _try(name, rows, growth, folder / FILE)
        seconds = seconds.plus(found.times(times))
        written += len(rows.folds) * (folder / FILE).stat().st_size
    return TriedMembers(seconds, times * len(params.members), written)


def _try(name: Name, rows: Rows, growth: float, file: Path) -> Interval:
    """Return what one fold of the whole takes."""
    recipe, asked = ROSTER[name], [time.monotonic()]

    def is_over() -> bool:
        asked.append(time.monotonic())
        # The first answers come after what is done once: two steps at least tell how long one takes.
        return len(asked) > 3 and asked[-1] - asked[1] > MEMBER_SECONDS

    learn_fold(rows, recipe, rows.folds[0], file, _ignore, is_over)
    num_learned = int((rows.fold_B != rows.folds[0]).sum())
    most, taken = num_steps(recipe, num_learned), max(1, len(asked) - 2)
    ended_itself = asked[-1] - asked[min(1, len(asked) - 1)] <= MEMBER_SECONDS
    all_of_sample = (asked[-1] - asked[0]) * (1.0 if ended_itself else max(1.0, most / taken))
    grown = growth
    if isinstance(recipe, Network):
        whole = max(1, round(num_learned * growth))
        grown = whole * sizes(whole)[0] / (num_learned * sizes(num_learned)[0])
    return Interval(SHARE_AT_LEAST, 1.0).times(all_of_sample * grown)


def seconds_within(tried: TriedMembers, params: EnsembleParams, *, processes: int, slower: float) -> Interval:
    """Return how long they take with so many at a time, within the budget and the time to end what is under way."""
    high = tried.seconds.high * slower / processes
    most = params.budget_seconds + ENDING_SECONDS
    return Interval(min(tried.seconds.low / processes, params.budget_seconds), min(high, most))


def _ignore(message: Mapping[str, Any]) -> None:
    """How far a member is with a sample is nobody's concern."""
