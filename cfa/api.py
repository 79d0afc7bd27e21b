"""Three calls for scripts and notebooks; what they make appears in the dashboard like everything else."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from cfa import trust
from cfa.attacks import CLEAN
from cfa.config import AttackSettings, RunConfig
from cfa.data import Dataset, load_dataset
from cfa.errors import CfaError, ConfigError
from cfa.evaluation import (
    PLANS,
    EvaluationPlan,
    EvaluationRequest,
    Outcomes,
    attack_images,
    default_weights,
    load_model,
    save_outcomes,
    summarise,
)
from cfa.foreign.registration import register_model
from cfa.jobs.devices import check_device
from cfa.jobs.fetching import fetch_missing
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_training
from cfa.jobs.worker import run_job
from cfa.methods import configure
from cfa.models import weights_hash
from cfa.progress import Observer
from cfa.runs.evaluations import Evaluation
from cfa.runs.folder import RunFolder
from cfa.runs.logged import identity_of
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted, code_of


@overload
def train(
    config: RunConfig,
    *,
    name: str | None = None,
    device: str | None = None,
    test: bool = True,
    home: str | Path | None = None,
) -> RunFolder: ...


@overload
def train(
    method: str,
    dataset: str,
    /,
    *,
    model: str | None = None,
    preset: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    init: str | None = None,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    device: str | None = None,
    test: bool = True,
    home: str | Path | None = None,
) -> RunFolder: ...


def train(
    config: RunConfig | str,
    dataset: str | None = None,
    *,
    model: str | None = None,
    preset: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    init: str | None = None,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    device: str | None = None,
    test: bool = True,
    home: str | Path | None = None,
) -> RunFolder:
    """Train a run here and now, as ``cfa train`` does, and return its folder.

    Args:
        config: What the run is (:func:`cfa.methods.configure` builds it), or a method's name, with which goes
            what follows up to ``settings``: ``cfa.train("trades-cfa", "cifar10", epochs=30)``.
        dataset: The data set's name.
        model: The network's name; by default the data set's usual one.
        preset: The preset's name; by default the network's usual one.
        epochs: Short for ``settings={"train.epochs": N}``.
        seed: Seed of weights, order and noise; by default 0.
        init: A run or a weights file to start from.
        teacher: A run (``RUN``, ``RUN#last``, ``RUN#ema``) or a weights file to learn from.
        settings: Values, or texts as ``--set`` takes them, by dotted name.
        name: The run's name; one is found where there is none.
        device: Where to train; by default the first device that is free.
        test: End with the test evaluation of the best weights of every kind.
        home: Where runs live; by default ``CFA_HOME``.

    Raises:
        UnknownName: A name means nothing here.
        ConfigError: A setting cannot be what it is given, or stands beside a whole configuration.
        CfaError: Training failed or was stopped; the message says why.
    """
    _require("config", config, (RunConfig, str), "a method's name, or a configuration")
    texts = {"dataset": dataset, "model": model, "preset": preset, "init": init, "teacher": teacher}
    _require_texts(texts | {"name": name, "device": device})
    store = Store.open(home)
    queue = Queue(store.home)
    chosen = check_device(device, queued=False)
    if isinstance(config, str):
        config = _named(config, dataset, model, preset, epochs, seed, init, teacher, settings)
    else:
        beside = texts | {"epochs": epochs, "seed": seed, "settings": settings}
        _refuse(beside, "a configuration", "cfa.methods.configure")
    with trust.allowing(code_of(config)):  # whoever calls this from their code has named it there
        run, (job,) = submit_training(
            store, queue, config, name=name, device=chosen, test=test, foreground=True
        )
    if run_job(store.home, job.id) != 0:
        ended = queue.get(job.id)
        raise CfaError(ended.message or f"training {run.name} was {ended.state}")
    return run


@overload
def evaluate(
    model: nn.Module,
    data: Dataset | str,
    plan: EvaluationPlan,
    *,
    log_as: str | None = None,
    device: str | None = None,
    home: str | Path | None = None,
) -> Evaluation: ...


@overload
def evaluate(
    model: nn.Module,
    data: Dataset | str,
    plan: str | Sequence[str],
    *,
    norm: str | None = None,
    eps: str | float | None = None,
    limit: int | None = None,
    seed: int | None = None,
    log_as: str | None = None,
    device: str | None = None,
    home: str | Path | None = None,
) -> Evaluation: ...


def evaluate(
    model: nn.Module,
    data: Dataset | str,
    plan: EvaluationPlan | str | Sequence[str],
    *,
    norm: str | None = None,
    eps: str | float | None = None,
    limit: int | None = None,
    seed: int | None = None,
    log_as: str | None = None,
    device: str | None = None,
    home: str | Path | None = None,
) -> Evaluation:
    """Attack any model that maps images in [0, 1] to logits.

    Args:
        model: The model; its mode and parameters are left as they are.
        data: Whose test part is attacked: a name, fetched where it is missed, or what
            :func:`cfa.data.load_dataset` or your own code made.
        plan: Which attacks, how strong, on how many images; or an attack's name, several, or a plan's
            (``quick``, ``paper``, ``sanity``), with which goes what follows up to ``seed``:
            ``cfa.evaluate(model, "cifar10", "autoattack")``.
        norm: ``linf``, ``l2``, ``l1`` or ``l0``; by default ``linf``.
        eps: The budget, ``8/255`` as text or a number; by default 8/255.
        limit: The first ``limit``/classes test images of each class; by default the plan's, or all.
        seed: Seed of random starts; by default 0.
        log_as: Store the result under this name: a new one, or that of an earlier call.
        device: Where the model is; by default where its weights are.
        home: Where runs live; by default ``CFA_HOME``.

    Raises:
        UnknownName: A name means nothing here, or several runs are called ``log_as``: copied ones bring their
            names along.
        ConfigError: A number cannot be what it is given, or stands beside a whole plan.
        CfaError: The data or the model cannot be used; the message says why.
    """
    _require("data", data, (Dataset, str), "a data set's name, or a cfa.data.Dataset")
    _require_texts({"log_as": log_as, "device": device})
    chosen = torch.device(check_device(device or _device_of(model), queued=False) or "cpu")
    typed: tuple[str, ...] = ()  # what stands in a whole plan was typed elsewhere
    if isinstance(plan, EvaluationPlan):
        _refuse({"norm": norm, "eps": eps, "limit": limit, "seed": seed}, "a plan", "EvaluationPlan")
    else:
        _require("plan", plan, (str, Sequence), "an attack's or a plan's name, several, or an EvaluationPlan")
        typed = (plan,) if isinstance(plan, str) else tuple(plan)
        for name in typed:
            _require("plan", name, (str,), "names of attacks")
    with trust.allowing(typed):
        if not isinstance(plan, EvaluationPlan):
            plan = _asked_for(typed, norm, eps, limit, seed or 0)
        if isinstance(data, str):
            data = _loaded(data, home)
        outcomes = attack_images(model, data, plan, chosen, Observer())
        whose = weights_hash(model.state_dict())
        evaluation = summarise(outcomes, plan, data, weights="file", checkpoint="file", weights_hash=whose)
    if log_as is not None:
        return _logged(evaluation, outcomes, log_as, type(model).__name__, data, home)
    return evaluation


def load(
    run: str,
    weights: str = "auto",
    checkpoint: str = "best",
    *,
    device: str = "cpu",
    home: str | Path | None = None,
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
    for word, value in {"run": run, "weights": weights, "checkpoint": checkpoint, "device": device}.items():
        _require(word, value, (str,), "a text")
    chosen = check_device(device, queued=False) or "cpu"
    store = Store.open(home)
    folder = store.find(run)
    kind = default_weights(folder) if weights == "auto" else weights
    with Trusted.of(store).allowing(folder.id), trust.allowing(code_of(folder.config) if trust_code else ()):
        return load_model(folder, kind, "file" if kind == "file" else checkpoint, chosen)


def _named(
    method: str,
    dataset: str | None,
    model: str | None,
    preset: str | None,
    epochs: int | None,
    seed: int | None,
    init: str | None,
    teacher: str | None,
    settings: Mapping[str, Any] | None,
) -> RunConfig:
    if dataset is None:
        raise ConfigError(f"no data set is named to train {method!r} on; name one, such as 'cifar10'")
    overrides = dict(settings or {})
    if epochs is not None:
        if "train.epochs" in overrides:
            raise ConfigError(
                f"epochs={epochs} stands beside settings that give train.epochs; keep one of them"
            )
        overrides["train.epochs"] = epochs
    with trust.allowing([method]):
        return configure(
            method,
            dataset,
            model=model,
            preset=preset,
            seed=seed or 0,
            init=init,
            teacher=teacher,
            overrides=overrides,
        )


def _asked_for(
    names: tuple[str, ...], norm: str | None, eps: str | float | None, limit: int | None, seed: int
) -> EvaluationPlan:
    preset = names[0] if len(names) == 1 and names[0] in PLANS else None
    request = EvaluationRequest(
        preset=preset, attacks=() if preset else names, norm=norm, eps=eps, limit=limit, seed=seed
    )
    return request.plan(AttackSettings())


def _require(name: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    """Refuse what is of another kind, before anything is computed."""
    if not isinstance(value, kinds):
        raise ConfigError(f"{name} is of type {type(value).__name__}; give {wanted}")


def _require_texts(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        _require(name, value, (str, type(None)), "a text")


def _refuse(given: Mapping[str, object], whole: str, maker: str) -> None:
    """Refuse what is given beside something that says it already."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ConfigError(f"{', '.join(names)} cannot stand beside {whole}; give it to {maker}")


def _loaded(name: str, home: str | Path | None) -> Dataset:
    store = Store.open(home)
    with trust.allowing([name]):
        fetch_missing(store, Queue(store.home), name, lambda queue, job: run_job(queue.home, job.id))
        return load_dataset(name, store.data_folder)


def _device_of(model: nn.Module) -> str | None:
    """Say where the weights of a model are, if it has some; what is no model is refused later."""
    weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return None if weights is None else str(weights.device)


def _logged(
    evaluation: Evaluation, outcomes: Outcomes, name: str, model: str, data: Dataset, home: str | Path | None
) -> Evaluation:
    store = Store.open(home)
    run = store.named(name) or register_model(store, model, data, name)
    if not run.config.is_external:
        raise ConfigError(f"{name!r} is a training run; log the evaluation under another name")
    whose = identity_of(run, evaluation, outcomes.image, outcomes.predictions[CLEAN])
    evaluation = dataclasses.replace(evaluation, weights_hash=whose)
    save_outcomes(run, evaluation, outcomes)
    return evaluation
