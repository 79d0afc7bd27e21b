"""Three calls for scripts and notebooks; what they make appears in the dashboard like everything else."""

from pathlib import Path

import torch
from torch import nn

from cfa import trust
from cfa.config import RunConfig
from cfa.data import Dataset
from cfa.errors import CfaError, ConfigError
from cfa.evaluation import (
    EvaluationPlan,
    attack_images,
    default_weights,
    load_model,
    save_outcomes,
    summarise,
)
from cfa.jobs.devices import check_device
from cfa.jobs.queue import Queue
from cfa.jobs.submit import register_model, submit_training
from cfa.jobs.worker import run_job
from cfa.models import weights_hash
from cfa.progress import Observer
from cfa.results.evaluations import Evaluation
from cfa.results.runs import RunFolder
from cfa.results.store import Store
from cfa.results.trusted import Trusted, code_of


def train(
    config: RunConfig,
    *,
    name: str | None = None,
    device: str | None = None,
    test: bool = True,
    home: Path | None = None,
) -> RunFolder:
    """Train a run here and now, as ``cfa train`` does, and return its folder.

    Args:
        config: What the run is; :func:`cfa.methods.configure` builds one.
        name: The run's name; one is found where there is none.
        device: Where to train; by default the first device that is free.
        test: End with the test evaluation of the best weights of every kind.
        home: Where runs live; by default ``CFA_HOME``.

    Raises:
        CfaError: Training failed or was stopped; the message says why.
    """
    store = Store.open(home)
    queue = Queue(store.home)
    chosen = check_device(device, queued=False)
    with trust.allowing(code_of(config)):  # whoever calls this from their code has named it there
        run, (job,) = submit_training(
            store, queue, config, name=name, device=chosen, test=test, foreground=True
        )
    if run_job(store.home, job.id) != 0:
        ended = queue.get(job.id)
        raise CfaError(ended.message or f"training {run.name} was {ended.state}")
    return run


def evaluate(
    model: nn.Module,
    data: Dataset,
    plan: EvaluationPlan,
    *,
    log_as: str | None = None,
    device: str = "cpu",
    home: Path | None = None,
) -> Evaluation:
    """Attack any model that maps images in [0, 1] to logits.

    Args:
        model: The model; its mode and parameters are left as they are.
        data: Whose test part is attacked (:func:`cfa.data.load_dataset`, or one of your own).
        plan: Which attacks, how strong, on how many images.
        log_as: Store the result under this name: a new one, or that of an earlier call.
        device: Where the model is.
        home: Where runs live; by default ``CFA_HOME``.
    """
    chosen = torch.device(check_device(device, queued=False) or "cpu")
    outcomes = attack_images(model, data, plan, chosen, Observer())
    whose = weights_hash(model.state_dict())
    evaluation = summarise(outcomes, plan, data, weights="file", checkpoint="file", weights_hash=whose)
    if log_as is not None:
        store = Store.open(home)
        known = {run.name: run for run in store.runs()}
        run = known.get(log_as) or register_model(store, type(model).__name__, data, log_as)
        if run.config.method != "external":
            raise ConfigError(f"{log_as!r} is a training run; log the evaluation under another name")
        save_outcomes(run, evaluation, outcomes)
    return evaluation


def load(
    run: str,
    weights: str = "auto",
    checkpoint: str = "best",
    *,
    device: str = "cpu",
    home: Path | None = None,
    trust_code: bool = False,
) -> nn.Module:
    """Load a run's weights as a model that maps images in [0, 1] to logits, in eval mode.

    Args:
        run: Name, id, or the start of an id.
        weights: online, ema, fawa, or auto (FAWA for `-cfa` methods if the gate opened, else online).
        checkpoint: best or last.
        device: Where to put it.
        home: Where runs live; by default ``CFA_HOME``.
        trust_code: Import the network that the run names as ``package.module:name``, also where the run was
            not made in this store.

    Raises:
        Untrusted: The run comes from elsewhere and names somebody's code.
    """
    chosen = check_device(device, queued=False) or "cpu"
    store = Store.open(home)
    folder = store.find(run)
    kind = default_weights(folder) if weights == "auto" else weights
    with Trusted.of(store).allowing(folder.id), trust.allowing(code_of(folder.config) if trust_code else ()):
        return load_model(folder, kind, "file" if kind == "file" else checkpoint, chosen)
