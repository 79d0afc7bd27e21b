"""Reported evaluations compute in IEEE float32, whatever torch was asked for before, and say so."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from app import elements
from cfa.evaluation import (
    EvaluationPlan,
    attack_images,
    estimate_evaluation_seconds,
    evaluate_weights,
)
from cfa.evaluation.judge import judge
from cfa.evaluation.reproduce import reproduce
from cfa.models import ModelSpec, SmallCNN, build_model, ieee_float32
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations
from cfa.training.arithmetic import arithmetic_of
from tests.support.tiny import CPU, tiny_config, tiny_dataset, trained

BACKENDS = torch.backends
EVERY = {
    "matrix products": BACKENDS.cuda.matmul,
    "convolutions": BACKENDS.cudnn.conv,
    "recurrent layers": BACKENDS.cudnn.rnn,
    "matrix products of CPUs": BACKENDS.mkldnn.matmul,
    "convolutions of CPUs": BACKENDS.mkldnn.conv,
    "recurrent layers of CPUs": BACKENDS.mkldnn.rnn,
}


def precisions() -> dict[str, str]:
    return {name: switch.fp32_precision for name, switch in EVERY.items()}


IEEE = dict.fromkeys(EVERY, "ieee")


def old_tf32(allowed: bool) -> None:
    BACKENDS.cudnn.allow_tf32 = allowed
    BACKENDS.cuda.matmul.allow_tf32 = allowed


def everywhere(precision: str) -> None:
    BACKENDS.fp32_precision = precision


def on_gpus(precision: str) -> None:
    BACKENDS.cudnn.fp32_precision = precision


ASKED_FOR: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "speed": lambda: torch.set_float32_matmul_precision("high"),
    "more speed": lambda: torch.set_float32_matmul_precision("medium"),
    "no TF32, the old way": lambda: old_tf32(False),
    "TF32, the old way": lambda: old_tf32(True),
    "TF32 everywhere": lambda: everywhere("tf32"),
    "IEEE everywhere": lambda: everywhere("ieee"),
    "TF32 on GPUs": lambda: on_gpus("tf32"),
}


@pytest.fixture(params=ASKED_FOR)
def asked_for(request: pytest.FixtureRequest) -> Iterator[str]:
    """Ask torch for some arithmetic, and give its defaults back afterwards."""
    ASKED_FOR[request.param]()
    yield request.param
    everywhere("none")
    on_gpus("none")
    torch.set_float32_matmul_precision("highest")
    old_tf32(False)
    BACKENDS.cudnn.allow_tf32 = True
    for switch in (BACKENDS.cuda.matmul, BACKENDS.mkldnn.matmul):
        switch.fp32_precision = "none"


def everything_readable() -> list[object]:
    """Read all switches, the older ones too: where the caller mixed both kinds, reading those is an error."""
    found: list[object] = [BACKENDS.fp32_precision, BACKENDS.cudnn.fp32_precision, precisions()]
    for read in (
        torch.get_float32_matmul_precision,
        lambda: BACKENDS.cudnn.allow_tf32,
        lambda: BACKENDS.cuda.matmul.allow_tf32,
    ):
        try:
            found.append(read())
        except RuntimeError:
            found.append("mixed")
    return found


def test_whatever_was_asked_for_it_is_ieee_inside_and_as_before_afterwards(asked_for: str) -> None:
    before = everything_readable()
    with suppress(KeyError), ieee_float32(CPU):
        assert precisions() == IEEE
        raise KeyError
    assert everything_readable() == before


@pytest.mark.parametrize(
    ("precision", "convolutions"), [("tf32", "tf32"), ("bf16", "tf32"), ("float32", "ieee")]
)
def test_a_training_computes_in_what_its_configuration_says(
    asked_for: str, precision: str, convolutions: str
) -> None:
    before = everything_readable()
    with arithmetic_of(tiny_config("trades", train__precision=precision), CPU):
        on_gpus = dict.fromkeys(("convolutions", "recurrent layers"), convolutions)
        assert precisions() == IEEE | on_gpus
    assert everything_readable() == before


def test_what_followed_the_general_switch_goes_on_following_it(asked_for: str) -> None:
    with ieee_float32(CPU):
        pass
    everywhere("ieee")
    assert BACKENDS.mkldnn.conv.fp32_precision == "ieee"


def test_autocast_around_an_evaluation_does_not_reach_it() -> None:
    linear = nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with ieee_float32(CPU):
            assert linear(torch.ones(1, 4)).dtype == torch.float32
        assert linear(torch.ones(1, 4)).dtype == torch.bfloat16


# What applies ----------------------------------------------------------------------------------------------

PLAN = EvaluationPlan(attacks=("pgd-3", "apgd-ce", "square", "noise"), eps=0.1, batch_size=32, limit=12)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Collect, for every forward pass of a small-cnn, whether it computes in IEEE float32."""
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 5)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 3)
    passes: list[bool] = []

    def look(module: nn.Module, _: object, logits: Tensor) -> None:
        if isinstance(module, SmallCNN):
            passes.append(precisions() == IEEE and logits.dtype == torch.float32)

    with register_module_forward_hook(look):
        yield passes


@pytest.mark.parametrize("asked_for", ["nothing", "more speed", "TF32 everywhere"], indirect=True)
def test_all_that_is_reported_is_ieee_and_training_is_as_it_was_set(
    tmp_path: Path, seen: list[bool], asked_for: str
) -> None:
    data = tiny_dataset()
    run = trained(tmp_path, tiny_config("pgd-at", train__epochs=1), data)
    assert seen
    assert not any(seen)  # validation inside of training included
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        evaluation = evaluate_weights(run, "online", "best", PLAN, data, CPU, Observer())
    assert len(seen) > 20
    assert all(seen)
    (stored,) = read_evaluations(run)
    assert stored.arithmetic == evaluation.arithmetic == "float32"
    seen.clear()
    images = np.arange(3)
    assert not reproduce(run, stored, "pgd-3", images, data, CPU, Observer()).differs.any()
    model = SmallCNN(1, 4, 8)
    estimate_evaluation_seconds(model, (1, 8, 8), 12, 4, PLAN, CPU)
    attack_images(model, data, PLAN, CPU, Observer())
    assert all(seen)


def test_batches_of_another_arithmetic_are_not_taken_up(tmp_path: Path) -> None:
    model, data = SmallCNN(1, 4, 8), tiny_dataset()
    attack_images(model, data, PLAN, CPU, Observer(), tmp_path)
    assert json.loads((tmp_path / "plan.json").read_text())["arithmetic"] == "float32"


def test_an_evaluation_is_shown_with_its_arithmetic(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config("pgd-at", train__epochs=1), tiny_dataset())
    plan = EvaluationPlan(attacks=("clean",), limit=4)
    evaluation = evaluate_weights(run, "online", "best", plan, tiny_dataset(), CPU, Observer())
    assert elements.evaluation_title(evaluation).endswith("Online weights, best · float32")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["small-cnn", "preact-resnet18", "wrn-28-10"])
def test_logits_on_a_gpu_are_those_of_float64_to_the_digits_of_float32(name: str) -> None:
    """TF32 rounds to 10 bits: without the switch the error is a thousand times larger."""
    device = torch.device("cuda")
    model = build_model(name, ModelSpec(3, 10, 32, (0.5,) * 3, (0.25,) * 3), 0).to(device).eval()
    x = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
    found: list[Tensor] = []
    hook = model.register_forward_hook(lambda module, _, logits: found.append(logits))
    with ieee_float32(device):
        verdict = judge(model, x, x, "linf", 0.1)
    hook.remove()
    with torch.no_grad():
        exact = model.double()(x.double())
    spread = exact.amax(dim=1) - exact.amin(dim=1)
    assert float(((found[0] - exact).abs().amax(dim=1) / spread).max()) < 2e-5
    assert torch.equal(verdict.predicted, exact.argmax(dim=1))
