"""An ensemble: folds in interrupted, weights by rows held out, the same bits whatever interrupts it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from app.learning.ensemble.committee import Committee
from app.learning.ensemble.members import answers
from app.learning.ensemble.problem import Problem
from app.learning.ensemble.roster import ROSTER, Name, num_parameters
from app.learning.ensemble.tasks import NETWORK, Rows, make_folds
from app.learning.errors import LearningError
from app.learning.export import Answer, export
from app.learning.layout import Block, Layout
from app.learning.spec import Task
from app.learning.specs.ensemble import Member

LAYOUT = Layout(2, 1, (Block("index", 5), Block("levels", 12)))
TASKS: dict[Task, int] = {"binary": 1, "multiclass": 3, "regression": 1, "soft": 1}


def rows(task: Task, num_rows: int = 120, num_folds: int = 3) -> Rows:
    """Rows whose target follows from a number and a category."""
    generator = np.random.default_rng(0)
    numbers, slots = generator.normal(size=(num_rows, 2)), generator.integers(0, 6, num_rows)
    x = np.column_stack([numbers, numbers[:, 0] > 1, slots, generator.integers(0, 13, num_rows)]).astype(np.float32)
    score = numbers[:, 0] + (slots == 2)
    targets = {
        "binary": (score > 0).astype(float),
        "multiclass": (score > 0).astype(int) + (numbers[:, 1] > 0.5),
        "regression": score,
        "soft": 1 / (1 + np.exp(-score)),
    }
    y_B = torch.from_numpy(targets[task])
    y_B = y_B.long() if task == "multiclass" else y_B.float()
    fold_B = make_folds(num_rows, num_folds, classes=None, seed=0)
    return Rows(torch.from_numpy(x), y_B, fold_B, LAYOUT, Problem(task, TASKS[task]), seed=1)


def run(committee: Committee, *, stop_after: int | None = None, word: str = "paused") -> str | None:
    """Run a committee, to its end or until some tasks have ended."""
    return committee.run(
        lambda: word if stop_after is not None and len(committee.ended) >= stop_after else None,
        may_begin=lambda number: True,
        ended=lambda number: None,
    )


def bits(committee: Committee) -> dict[str, torch.Tensor]:
    return committee.agree().network.state_dict()


def test_the_names_of_the_parameters_are_those_of_the_roster() -> None:
    assert get_args(Member) == get_args(Name)
    assert set(ROSTER) == set(get_args(Name))


@pytest.mark.parametrize("num_rows", [10, 11])
def test_folds_divide_all_rows_evenly_and_every_class_alike(num_rows: int) -> None:
    classes = np.arange(num_rows) % 2
    fold_B = make_folds(num_rows, 5, classes=classes, seed=3)
    assert sorted(np.bincount(fold_B).tolist())[0] == 2
    assert len({tuple(sorted(classes[fold_B == fold].tolist())) for fold in range(4)}) <= 2
    assert (fold_B == make_folds(num_rows, 5, classes=classes, seed=3)).all()
    assert (fold_B != make_folds(num_rows, 5, classes=classes, seed=4)).any()


@pytest.mark.parametrize("name", ROSTER)
@pytest.mark.parametrize("task", TASKS)
def test_every_member_learns_every_task_and_its_graph_equals_it(name: Name, task: Task, tmp_path: Path) -> None:
    committee = Committee(rows(task), [name], tmp_path, processes=1)
    assert run(committee) is None
    agreed = committee.agree()
    assert len(agreed.network.networks) == 3
    assert agreed.held_out.tolist() == list(range(120))
    with torch.inference_mode():
        told = answers(torch.from_numpy(agreed.held_out_BK), task)
    constant = committee.rows.y_B.float().mean()
    if task in ("regression", "soft"):
        spread = (committee.rows.y_B - constant).square().mean()
        assert (told[:, 0] - committee.rows.y_B).square().mean() < 0.9 * spread
    assert export(Answer(agreed.network, task), committee.rows.x_BF)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in ROSTER if name != "trees"])
def test_the_parameters_of_a_network_are_counted_about_right(name: Name, tmp_path: Path) -> None:
    committee = Committee(rows("multiclass"), [name], tmp_path, processes=1)
    run(committee, stop_after=1, word="enough")
    learned = sum(
        tensor.numel()
        for key, tensor in next(iter(committee.finished.values())).items()
        if key.startswith(NETWORK) and key.endswith((".weight", ".bias", ".share", ".scale", ".frequency", ".phase"))
    )
    assert num_parameters(name, LAYOUT, 3, "multiclass") == pytest.approx(learned, rel=0.2)


MEMBERS: Sequence[Name] = ("linear", "trees", "bins")


def test_an_interruption_or_none_give_the_same_bits(tmp_path: Path) -> None:
    whole = Committee(rows("binary"), MEMBERS, tmp_path, processes=1)
    run(whole)
    interrupted = Committee(rows("binary"), MEMBERS, tmp_path, processes=1)
    assert run(interrupted, stop_after=3) == "paused"
    assert 0 < len(interrupted.ended) < 9
    resumed = Committee(rows("binary"), MEMBERS, tmp_path, processes=1)
    resumed.finished |= interrupted.finished
    assert run(resumed) is None
    first, again = bits(whole), bits(resumed)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_what_there_is_counts_when_it_has_to_end_early(tmp_path: Path) -> None:
    committee = Committee(rows("regression"), MEMBERS, tmp_path, processes=1)
    assert run(committee, stop_after=4, word="finish") == "finish"
    agreed = committee.agree()
    assert [entry["member"] for entry in agreed.leaderboard if entry["weight"] > 0]
    # All three have learned the first fold, so only its rows tell how much each counts.
    assert set(committee.rows.fold_B[agreed.held_out].tolist()) == {0}


def test_a_member_that_cannot_learn_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise LearningError("No.", code="hopeless")

    monkeypatch.setattr("app.learning.ensemble.members.learn_trees", fail)
    committee = Committee(rows("binary"), ("trees", "linear"), tmp_path, processes=1)
    assert run(committee) is None
    assert {failure["code"] for failure in committee.failures.values()} == {"hopeless"}
    assert [entry["member"] for entry in committee.agree().leaderboard] == ["linear"]
    alone = Committee(rows("binary"), ("trees",), tmp_path, processes=1)
    with pytest.raises(LearningError, match="No") as refused:
        run(alone)
    assert refused.value.code == "hopeless"


def test_weights_go_to_who_answers_unseen_rows_best(tmp_path: Path) -> None:
    committee = Committee(rows("binary", 600), ("linear", "bins"), tmp_path, processes=1)
    run(committee)
    leaderboard = committee.agree().leaderboard
    assert leaderboard[0]["loss"] <= leaderboard[1]["loss"]
    assert sum(entry["weight"] for entry in leaderboard) == pytest.approx(1.0)


def test_the_loss_of_a_committee_is_that_of_what_it_would_answer_now(tmp_path: Path) -> None:
    committee = Committee(rows("binary", 600), ("linear", "bins"), tmp_path, processes=1)
    assert committee.loss is None
    assert run(committee, stop_after=1, word="enough") == "enough"
    first = committee.loss
    assert first == pytest.approx(committee.agree().leaderboard[0]["loss"])
    assert run(committee) is None
    agreed = committee.agree()
    out_B = torch.from_numpy(agreed.held_out_BK[:, 0])
    whole = torch.nn.functional.binary_cross_entropy_with_logits(out_B, committee.rows.y_B.double()[agreed.held_out])
    assert committee.loss == pytest.approx(whole.item(), rel=1e-3)
    assert committee.loss != first
