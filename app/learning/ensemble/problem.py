"""What the members of an ensemble are given: the problem, and the rows of one fold."""

from __future__ import annotations

from dataclasses import dataclass

from app.learning.batches import Data
from app.learning.layout import Layout
from app.learning.spec import Task


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learned, whatever the rows."""

    task: Task
    num_outputs: int


@dataclass(frozen=True, slots=True)
class Fold:
    """The rows of one fold as a member sees them: those it learns from, and those that tell it when to stop."""

    problem: Problem
    layout: Layout
    learn: Data
    held_out: Data
    seed: int
