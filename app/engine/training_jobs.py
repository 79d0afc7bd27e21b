"""What Train asks for: what trainings would cost, what they are too short for, and the jobs they become."""

from collections.abc import Sequence

import streamlit as st
import torch

from app import wording
from app.engine.outside import describe_now
from app.engine.snapshots import forget_snapshots
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.config import RunConfig
from cfa.jobs.submit import submit_training
from cfa.jobs.supervisor import served_devices
from cfa.methods import METHODS
from cfa.runs.folder import RunFolder
from cfa.runs.trusted import code_of
from cfa.training.estimate import Estimate, estimate_seconds
from cfa.trust import allowing


@acts
def start_training(configs: Sequence[RunConfig], name: str, device: str | None) -> list[RunFolder]:
    """Queue trainings, with the code that they name; several runs with a name get it with a number each."""
    seconds = {config.key(): measured.seconds for config in configs if (measured := known_estimate(config))}
    started = []
    with allowing(name for config in configs for name in code_of(config)):
        for config, chosen in zip(configs, store().names_for(name, len(configs)), strict=True):
            known = seconds.get(config.key())
            run, _ = submit_training(
                store(), queue(), config, name=chosen, device=device, estimate_seconds=known
            )
            started.append(run)
    forget_snapshots()
    return started


@acts
def estimate(config: RunConfig) -> Estimate:
    """Measure a few real steps (on this machine's first device) and say what the run will cost."""
    with allowing(code_of(config)):
        measured = estimate_seconds(config, describe_now(config.dataset), torch.device(served_devices()[0]))
    _estimates()[config.key(without_seed=True)] = measured
    return measured


@looks
def never_happens(config: RunConfig) -> list[str]:
    """Say which parts of a method a run is too short for."""
    epochs, start = config.train.epochs, config.averaging.start_epoch
    name = METHODS[config.method].warm_up if config.method in METHODS else ""
    warm_up = config.method_settings.get(name)
    said = []
    if isinstance(warm_up, int) and epochs <= warm_up:
        said.append(f"all epochs are warm-up (method.{name}={warm_up}): all classes will be treated alike")
    if epochs < start:
        said.append(f"averaging.start_epoch={start} is never reached: there will be no EMA or FAWA weights")
    return [f"With {wording.count(epochs, 'epoch')}, {text}." for text in said]


@looks
def known_estimate(config: RunConfig) -> Estimate | None:
    """Return what :func:`estimate` measured for this configuration (any seed), if it did."""
    return _estimates().get(config.key(without_seed=True))


@st.cache_resource(show_spinner=False)
def _estimates() -> dict[str, Estimate]:
    return {}
