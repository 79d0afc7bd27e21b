"""Training and evaluation ask the GPU for numbers that come out the same every time, and get them."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from cfa.config import RunConfig
from cfa.evaluation import EvaluationPlan, attack_images
from cfa.models import ModelSpec, SmallCNN, build_model, for_training, repeatable
from cfa.progress import Observer
from cfa.training import fit
from tests.support.tiny import CPU, tiny_config, tiny_dataset, tiny_run

GPU = torch.device("cuda")


def asked() -> bool:
    return torch.backends.cudnn.deterministic


@pytest.mark.parametrize("before", [False, True])
def test_what_was_set_before_comes_back_after_errors_too(monkeypatch, before: bool) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", before)
    with suppress(KeyError), repeatable():
        assert asked()
        raise KeyError
    assert asked() is before


def test_training_and_evaluation_ask_for_it_and_leave_nothing_behind(tmp_path: Path) -> None:
    config: RunConfig = tiny_config("pgd-at", train__epochs=1)
    plan = EvaluationPlan(attacks=("clean", "fgsm"), eps=0.1, batch_size=32)
    seen: list[bool] = []

    def look(module: nn.Module, *_: object) -> None:
        if isinstance(module, SmallCNN):
            seen.append(asked())

    with register_module_forward_hook(look):
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())
        trained = len(seen)
        attack_images(SmallCNN(1, 4, 8), tiny_dataset(), plan, CPU, Observer(), tmp_path / "scratch")
    del seen[trained]  # an evaluation's first pass looks at nothing but the logits' shape
    assert all(seen)
    assert 0 < trained < len(seen)
    assert not asked()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["small-cnn", "preact-resnet18", "resnet18", "wrn-28-10"])
@pytest.mark.parametrize("autocast", [False, True])
def test_five_steps_on_a_gpu_give_the_same_weights_every_time(name: str, autocast: bool) -> None:
    spec = ModelSpec(3, 10, 32, (0.5,) * 3, (0.25,) * 3)
    noise = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 3, 32, 32, generator=noise).to(GPU), (torch.arange(64) % 10).to(GPU)

    def trained() -> dict[str, Tensor]:
        model: nn.Module = for_training(build_model(name, spec, 0), GPU).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(5):
            at = x.clone().requires_grad_()
            with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                loss = F.cross_entropy(model(at), y)
            (gradient,) = torch.autograd.grad(loss, at)
            with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                loss = F.cross_entropy(model(x + 0.03 * gradient.sign()), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        return model.state_dict()

    with repeatable():
        first, second = trained(), trained()
    assert all(bool(torch.isfinite(value).all()) for value in first.values())
    assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []


@pytest.mark.gpu
def test_attacks_on_a_gpu_give_the_same_images_every_time(tmp_path: Path) -> None:
    model = build_model("preact-resnet18", ModelSpec(1, 4, 8, (0.5,), (0.25,)), 0).to(GPU)
    plan = EvaluationPlan(attacks=("pgd-20", "apgd-ce"), eps=0.02, batch_size=32)
    one, other = (
        attack_images(model, tiny_dataset(), plan, GPU, Observer(), tmp_path / name) for name in "ab"
    )
    assert one.predictions.keys() == other.predictions.keys()
    assert all((one.predictions[name] == other.predictions[name]).all() for name in one.predictions)
    assert one.adversarial is not None
    assert other.adversarial is not None
    assert len(one.adversarial.images) > 0
    assert np.array_equal(one.adversarial.images, other.adversarial.images)
