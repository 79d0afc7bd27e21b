"""What Sweep starts: evaluations of several budgets, or of the smallest perturbation of every image."""

from collections.abc import Iterable, Sequence

from app.engine.evaluated import own_weights
from app.engine.snapshots import Run, forget_snapshots, usable_runs
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.jobs.queue import Job
from cfa.jobs.submit import submit_evaluation
from cfa.notation import format_eps
from cfa.trust import allowing

SMALLEST = "fab-min"
SHARES = (0.25, 0.5, 0.75, 1, 1.5, 2)


@looks
def runs_to_sweep() -> list[Run]:
    """List the runs whose own weights can be attacked at several budgets, newest first."""
    return [run for run in usable_runs() if _own(run) in run.kept]


@looks
def usual_budgets(chosen: Sequence[Run]) -> str:
    """Write budgets around those that runs were trained at, up to twice the largest."""
    attacks = [run.folder.config.attack for run in chosen]
    if len({one.norm for one in attacks}) != 1:
        return ""
    largest = max(one.eps for one in attacks)
    budgets = [share * largest for share in SHARES]
    if attacks[0].norm == "linf":
        return ", ".join(dict.fromkeys(format_eps(round(255 * eps) / 255) for eps in budgets if eps <= 1))
    return ", ".join(f"{eps:.4g}" for eps in budgets)


@acts
def start_sweeps(
    chosen: Sequence[Run],
    attack: str,
    sweep: str,
    limit: int | None,
    device: str | None,
    trusted: Iterable[str] = (),
) -> list[Job]:
    """Queue a sweep of each run's own weights.

    Args:
        chosen: The runs.
        attack: As it was typed; ``fab-min`` takes no budgets.
        sweep: Budgets as they were typed.
        limit: Images, the first of each class; ``None`` takes all.
        device: Where; ``None`` takes any.
        trusted: Code that these runs name and that a person said may run.

    Raises:
        CfaError: The plan cannot be carried out.
    """
    from cfa.evaluation import EvaluationRequest  # torch, which a page that only looks does without

    request = EvaluationRequest(
        attacks=(attack,), sweep=None if attack == SMALLEST else sweep, limit=limit, keep_megabytes=0
    )
    with allowing([attack, *trusted]):
        plans = [request.plan(run.folder.config.attack) for run in chosen]
        submitted = [
            submit_evaluation(
                store(),
                queue(),
                run.folder,
                weights=_own(run)[0],
                checkpoint=_own(run)[1],
                plan=plan,
                device=device,
            )
            for run, plan in zip(chosen, plans, strict=True)
        ]
    forget_snapshots()
    return submitted


def _own(run: Run) -> tuple[str, str]:
    weights = own_weights(run)
    return weights, "file" if weights == "file" else "best"
