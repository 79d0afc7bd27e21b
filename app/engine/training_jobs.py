"""What Train asks for: what jobs would refuse, what trainings are too short for, and the jobs they become."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import wording
from app.engine.outside import dataset_description, waits_for_a_look
from app.engine.snapshots import find_run, forget_snapshots
from app.engine.training_costs import known_estimate
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.evaluation import PLANS as PLANS
from cfa.evaluation import EvaluationRequest
from cfa.jobs.made_from import start_refusal, teacher_refusal
from cfa.jobs.submit import submit_evaluation, submit_training
from cfa.methods import METHODS, warm_up_of
from cfa.runs.folder import RunFolder
from cfa.runs.trusted import code_of
from cfa.training.refusals import refusals
from cfa.trust import allowing


@acts
def start_training(
    configs: Sequence[RunConfig],
    name: str,
    device: str | None,
    *,
    tags: Sequence[str] = (),
    notes: str = "",
    then: str = "",
) -> list[RunFolder]:
    """Queue trainings, with the code that they name; several runs with a name get it with a number each.

    Args:
        configs: What is trained.
        name: Of the run; where it is empty one is found.
        device: Where; ``None`` takes any.
        tags: Of every run.
        notes: Of every run.
        then: The plan by which each run's own weights are evaluated once it is trained; empty for none.
    """
    seconds = {
        config.key(): cost.seconds
        for config in configs
        if (cost := known_estimate(config, device)) is not None
    }
    plans = [EvaluationRequest(preset=then).plan(config.attack) if then else None for config in configs]
    started = []
    with allowing(name for config in configs for name in code_of(config)):
        names = store().names_for(name, len(configs))
        for config, chosen, plan in zip(configs, names, plans, strict=True):
            run, trained = submit_training(
                store(),
                queue(),
                config,
                name=chosen,
                tags=tuple(tags),
                notes=notes,
                device=device,
                estimate_seconds=seconds.get(config.key()),
            )
            started.append(run)
            if plan is not None:
                submit_evaluation(
                    store(),
                    queue(),
                    run,
                    weights="auto",
                    checkpoint="best",
                    plan=plan,
                    after=[job.id for job in trained],
                    device=device,
                )
    forget_snapshots()
    return started


@looks
def refused(config: RunConfig) -> dict[str, str]:
    """Say by setting what the job of a training would refuse; of what nobody has looked at that is not known.

    Raises:
        CfaError: There is no such data set.
    """
    if waits_for_a_look(config.dataset):
        return {}
    found = refusals(config, dataset_description(config.dataset))
    # Whatever else a teacher may be is a path, and is looked at when a person presses the button.
    known = config.teacher is None or find_run(config.teacher.partition("#")[0]) is not None
    why = teacher_refusal(store(), config) if known and "dataset" not in found else ""
    reasons = {"init": start_refusal(config), "teacher": why}
    return {**found, **{setting: reason for setting, reason in reasons.items() if reason}}


@looks
def refused_name(name: str, runs: int) -> str:
    """Say why new runs cannot be called so; empty where they can."""
    try:
        if runs == 1 and name:
            store().check_name(name)
        store().names_for(name, runs)
    except ConfigError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class NeverHappens:
    """A part of a method that a run is too short for, and what to set so that it is not.

    Attributes:
        says: A sentence.
        setting: Which setting helps.
        value: Its value, with which the part acts.
    """

    says: str
    setting: str
    value: int


@looks
def never_happens(config: RunConfig) -> list[NeverHappens]:
    """Say which parts of a method a run is too short for."""
    epochs, start = config.train.epochs, config.averaging.start_epoch
    warm_up, found = warm_up_of(config), list[NeverHappens]()
    begins = f"With {wording.count(epochs, 'epoch')}, "
    if 0 < epochs <= warm_up:
        name = f"method.{METHODS[config.method].warm_up}"
        says = f"{begins}all epochs are warm-up ({name}={warm_up}): all classes will be treated alike."
        fifth = (name, epochs // 5 or 1) if epochs > 1 else ("train.epochs", 2 * warm_up)
        found.append(NeverHappens(says, *fifth))
    if epochs < start:
        says = (
            f"{begins}averaging.start_epoch={start} is never reached: there will be no EMA or FAWA weights."
        )
        found.append(NeverHappens(says, "averaging.start_epoch", epochs // 2 or 1))
    return found
