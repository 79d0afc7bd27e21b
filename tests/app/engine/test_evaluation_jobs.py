"""Evaluations are planned for what a run kept, with its own eps unless told otherwise."""

import pytest

from app.engine import evaluation_jobs
from tests.app.engine.example_runs import run_called


@pytest.mark.parametrize(
    ("weights", "checkpoint", "expected"),
    [
        (("auto",), "best", ["fawa"]),
        (("auto", "fawa"), "best", ["fawa"]),
        (("online", "ema"), "last", ["online", "ema"]),
        (("file",), "best", []),
    ],
)
def test_evaluations_are_planned_for_weights_that_were_kept(example_home, weights, checkpoint, expected):
    request = evaluation_jobs.EvaluationRequest(
        weights=weights, checkpoint=checkpoint, attacks=("clean", "pgd-20"), eps=None, limit=None, seed=0
    )
    planned = evaluation_jobs.planned_evaluations([run_called("trades-cfa")], request)
    assert [kind for _, kind in planned] == expected


def test_evaluations_take_each_runs_own_eps_unless_told_otherwise(own_home):
    run = run_called("trades-cfa")
    for eps, expected in ((None, run.folder.config.attack.eps), (0.01, 0.01)):
        request = evaluation_jobs.EvaluationRequest(
            weights=("auto",), checkpoint="best", attacks=("pgd-10",), eps=eps, limit=100, seed=0
        )
        (job,) = evaluation_jobs.start_evaluations([run], request, None)
        assert job.spec["plan"]["eps"] == pytest.approx(expected)
        assert job.spec["plan"]["limit"] == 100
