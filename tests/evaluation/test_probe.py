"""Robustness that is not there has a finding under every plan, and networks that are sound have none."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfa.attacks import ATTACKS
from cfa.data import Dataset, to_float
from cfa.evaluation import EvaluationPlan, Outcomes, attack_images, evaluate_weights, load_model
from cfa.methods import METHODS
from cfa.models import ModelSpec, SmallCNN, build_model
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import RunFolder
from tests.support.require import require
from tests.support.tiny import CPU, tiny_config, tiny_dataset, trained

DATA = tiny_dataset(spread=2)
EPS = 16 / 255


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("run"), tiny_config("pgd-at"), DATA)


@pytest.fixture(scope="module")
def model(run: RunFolder) -> nn.Module:
    return load_model(run, "online", "best")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten AutoAttack: what is asked here does not depend on how strong it is."""
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 10)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 5)


def attacked(model: nn.Module, *attacks: str, data: Dataset = DATA, **settings: object) -> Outcomes:
    plan = EvaluationPlan(**{"attacks": attacks, "eps": EPS, **settings})
    return attack_images(model, data, plan, CPU, Observer())


def titles(found: Outcomes) -> list[str]:
    return [finding.partition(":")[0] for finding in found.findings]


class Around(nn.Module):
    """Change what a network is given or what it answers."""

    def __init__(self, network: nn.Module, answer: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.network, x)


# One finding each, whatever the plan -------------------------------------------------------------------

ZERO, VANISHING, UNTRUE = "zero gradients", "vanishing gradients", "untrue gradients"
SQUEEZED, BOUNDED, INFINITE = "squeezed logits", "bounded logits", "infinite gradients"
BESIDE = "answers depend on the other images of the batch"


def step_functions(network: nn.Module, x: Tensor) -> Tensor:
    """Answer by steps of a tenth: flat nearly everywhere, with a gradient of the wrong function."""
    logits = network(x)
    return (10 * logits).round() / 10 + 0 * logits


def whole(x: Tensor) -> Tensor:
    """Say which images have pixels of whole 255ths, as test images have and attacked ones have not."""
    return ((255 * x - (255 * x).round()).abs() < 1e-3).flatten(1).all(dim=1)[:, None]


BENT: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], str]] = {
    "quantised images": (lambda n, x: n((x * 8).round() / 8), ZERO),
    "steps in whole numbers": (lambda n, x: n((x * 255).int() / 255.0 + 0 * x), ZERO),
    "steps in the answer": (step_functions, ZERO),
    "clipped logits": (lambda n, x: n(x).clamp(-2, 2), BOUNDED),
    "logits x 1e30": (lambda n, x: n(x) * 1e30, VANISHING),
    "logits x 1e3": (lambda n, x: n(x) * 1e3, VANISHING),
    "0/0 in the gradient": (lambda n, x: n(x) + 0 * (x - x).flatten(1).norm(dim=1)[:, None].sqrt(), INFINITE),
    "logits x 1e-6": (lambda n, x: n(x) * 1e-6, SQUEEZED),
    "a temperature of 1000": (lambda n, x: n(x) / 1000, SQUEEZED),
    "sigmoid": (lambda n, x: torch.sigmoid(2 * n(x)), BOUNDED),
    "tanh": (lambda n, x: torch.tanh(2 * n(x)), BOUNDED),
    "probabilities": (lambda n, x: n(x).softmax(1), "softmax outputs"),
    "a branch cut off": (lambda n, x: (n(x) + n(x).detach()) / 2, UNTRUE),
    "a branch cut off at a third of the images": (
        lambda n, x: torch.where(x.sum(dim=(1, 2, 3))[:, None] % 1 < 0.4, (n(x) + n(x).detach()) / 2, n(x)),
        UNTRUE,
    ),
    "flat but at whole pixels": (lambda n, x: torch.where(whole(x), n(x), n(x).detach() + 0 * n(x)), ZERO),
    "another gradient but at whole pixels": (
        lambda n, x: torch.where(whole(x), n(x), n(x).detach() - n(1 - x) + n(1 - x).detach()),
        UNTRUE,
    ),
    "another function where gradients are": (
        lambda n, x: n(x.flip(-1) if x.requires_grad else x),
        "other answers with gradients",
    ),
    "gradients of another network": (lambda n, x: n(x).detach() - n(1 - x) + n(1 - x).detach(), UNTRUE),
}


@pytest.mark.parametrize("name", BENT)
def test_what_misleads_gradient_attacks_has_one_finding_that_says_what_to_do(
    model: nn.Module, name: str
) -> None:
    answer, title = BENT[name]
    found = attacked(Around(model, answer), "cw-3").findings
    assert [sentence.partition(":")[0] for sentence in found] == [title]
    if title != "softmax outputs":
        assert "is no evidence of robustness" in found[0]
        assert "square" in found[0]


PLANS: dict[str, tuple[str, ...]] = {
    "pgd": ("pgd-3",),
    "pgd, judged at every iterate, with restarts": ("pgd-3-best-r2",),
    "one step": ("fgsm",),
    "margin": ("cw-3",),
    "divergence": ("kl-3",),
    "apgd-ce alone": ("apgd-ce",),
    "a list without a DLR attack": ("autoattack(apgd-ce,square)",),
    "AutoAttack": ("autoattack",),
    "for randomised models": ("autoattack-rand",),
    "smallest perturbation": ("fab-min",),
    "black box only": ("square",),
    "noise": ("noise",),
    "torchattacks": ("torchattacks:BIM",),
    "torchattacks, black box": ("torchattacks:Square",),
}


@pytest.mark.parametrize("name", ["quantised images", "logits x 1e30"])
@pytest.mark.parametrize("plan", PLANS)
def test_the_finding_stands_beside_every_plan(model: nn.Module, plan: str, name: str) -> None:
    if "torchattacks" in plan:
        require("torchattacks", importlib.util.find_spec("torchattacks"), "torchattacks is not installed")
    answer, title = BENT[name]
    assert title in titles(attacked(Around(model, answer), *PLANS[plan], limit=40))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_is_too_short_to_step_along_depends_on_the_norm(model: nn.Module, norm: str) -> None:
    """Attacks in l2 divide by 1e-12 at least: a gradient of 1e-14 is no step there, but one in linf."""
    tiny = Around(model, lambda n, x: n(x) * 1e-15)
    eps = EPS if norm == "linf" else 0.5
    assert (ZERO in titles(attacked(tiny, "pgd-3", norm=norm, eps=eps))) == (norm == "l2")


def test_the_finding_is_stored_and_remembered(run: RunFolder, tmp_path: Path) -> None:
    found = attack_images(
        Around(load_model(run, "online", "best"), BENT["quantised images"][0]),
        DATA,
        EvaluationPlan(attacks=("pgd-3",), eps=EPS),
        CPU,
        Observer(),
        tmp_path,
    )
    assert json.loads((tmp_path / "findings.json").read_text())["findings"][0] == found.findings[0]


# What answers depend on --------------------------------------------------------------------------------


class TrainingNorm(nn.Module):
    """Normalise by the batch in spite of eval()."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.norm = network, nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, None, None, self.norm.weight, self.norm.bias, training=True)
        return self.network(x / 4 + 0.5)


class Counting(nn.Module):
    """Remember how often it was asked, in a buffer or elsewhere, and let the answer depend on it or not."""

    def __init__(self, network: nn.Module, *, buffer: bool, drift: float) -> None:
        super().__init__()
        self.network, self.drift, self.calls = network, drift, 0
        self.register_buffer("count", torch.zeros(()))
        self.buffer = buffer

    def forward(self, x: Tensor) -> Tensor:
        if self.buffer:
            self.count += 1
        else:
            self.calls += 1
        return self.network(x) + self.drift * (self.calls + self.count) * torch.arange(4)


DEPENDING: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "BatchNorm that ignores eval": (TrainingNorm, BESIDE),
    "the mean of the batch": (lambda n: Around(n, lambda n, x: n(x) - 0.3 * n(x).mean(0)), BESIDE),
    "the place in the batch": (
        lambda n: Around(n, lambda n, x: n(x) + torch.linspace(0, 1, len(x))[:, None] * torch.arange(4)),
        BESIDE,
    ),
    "chance": (lambda n: Around(n, lambda n, x: n(x + 0.1 * torch.rand_like(x))), "randomised model"),
    "stochastic rounding": (
        lambda n: Around(n, lambda n, x: n(x + ((x * 8 + torch.rand_like(x)).floor() / 8 - x).detach())),
        "randomised model",
    ),
    "calls before": (lambda n: Counting(n, buffer=False, drift=0.01), "randomised model"),
    "a buffer that counts": (lambda n: Counting(n, buffer=True, drift=0.01), "model with a memory"),
    "a buffer that counts for itself": (lambda n: Counting(n, buffer=True, drift=0), "model with a memory"),
}


@pytest.mark.parametrize("attack", ["clean", "pgd-3", "square"])
@pytest.mark.parametrize("name", DEPENDING)
def test_answers_that_depend_on_more_than_the_image_have_a_finding(
    model: nn.Module, name: str, attack: str
) -> None:
    make, title = DEPENDING[name]
    assert title in titles(attacked(make(model), attack, limit=40))


class Late(nn.Module):
    """Answer otherwise once it was asked often enough: long after the probe."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.network(x if self.calls < 120 else 1 - x)


@pytest.mark.parametrize(
    ("make", "title"),
    [
        (Late, "model with a memory"),
        (lambda n: Around(n, lambda n, x: n(x if len(x) <= 64 else x / 2)), BESIDE),
        (lambda n: Around(n, lambda n, x: n(x) if len(x) <= 64 else n(x).flip(0)), BESIDE),
    ],
    ids=["a memory that shows late", "other answers in large batches", "another order in large batches"],
)
def test_what_shows_after_the_probe_has_a_finding(
    model: nn.Module, make: Callable[[nn.Module], nn.Module], title: str
) -> None:
    assert title in titles(attacked(make(model), "pgd-100"))


def test_images_that_a_model_changes_are_copies(model: nn.Module) -> None:
    """A first layer that works in place would change the images under attack."""

    class InPlace(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.network, self.how = model, how

        def forward(self, x: Tensor) -> Tensor:
            if self.how == "data":
                x.data.clamp_(0.2, 0.8)
            else:
                x.clamp_(0.2, 0.8)
            return self.network(x)

    expected = attacked(Around(model, lambda n, x: n(x.clamp(0.2, 0.8))), "pgd-3", "square")
    found = attacked(InPlace("in place"), "pgd-3", "square")
    for name, predicted in expected.predictions.items():
        np.testing.assert_array_equal(found.predictions[name], predicted)
    assert found.findings == expected.findings
    clean = attacked(InPlace("data"), "clean", "square").predictions["clean"]
    np.testing.assert_array_equal(clean, expected.predictions["clean"])


# More right than before --------------------------------------------------------------------------------


def towards_the_truth(norm: str) -> object:
    """Attack the wrong way round."""

    def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float, *, generator: object = None) -> Tensor:
        at = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(at), y), at)
        return (x - eps * gradient.sign()).clamp(0, 1)

    return attack


def test_an_attack_that_leaves_more_right_than_clean_has_a_finding(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ATTACKS._items, "backwards", towards_the_truth)
    found = attacked(model, "backwards", "pgd-3")
    names = ("clean", "backwards", "pgd-3")
    right = [int((found.predictions[name] == found.label).sum()) for name in names]
    assert right[1] > right[0] > right[2]
    assert found.findings == (
        f"more images are right under backwards than without an attack (by {right[1] - right[0]}): it lowers "
        "the loss that it should raise; what gradient attacks leave is no evidence of robustness; run "
        "square, or transfer from another run",
    )


# No false alarms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_networks_of_every_method_have_no_finding(tmp_path: Path, method: str) -> None:
    run = trained(tmp_path, tiny_config(method, train__epochs=3), DATA)
    plan = EvaluationPlan(attacks=("pgd-3", "noise"), eps=EPS)
    for kind, checkpoint in run.kept_weights():
        evaluation = evaluate_weights(run, kind, checkpoint, plan, DATA, CPU, Observer())
        assert evaluation.findings == (), (kind, checkpoint)
    assert len(read_evaluations(run)) >= 2


def fitted(network: nn.Module, data: Dataset, steps: int, rate: float = 0.05) -> nn.Module:
    """Train plainly."""
    x, y = to_float(data.train_images), data.train_labels
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network.train()(x), y))
        optimizer.step()
    return network.eval()


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_confident_networks_without_robustness_have_no_finding(norm: str) -> None:
    network = fitted(seeded(lambda: SmallCNN(1, 4, 8)), DATA, 60)
    with torch.no_grad():
        assert float(network(to_float(DATA.test_images)).softmax(1).amax(1).median()) > 0.999
    assert attacked(network, "pgd-3", norm=norm, eps=EPS if norm == "linf" else 0.5).findings == ()


def test_networks_with_small_gradients_have_no_finding(model: nn.Module) -> None:
    """Blurred images: the gradient of every pixel is a 16th of what it was, and logits are hardly apart."""
    blurred = seeded(lambda: nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, 4)))
    assert attacked(fitted(blurred, DATA, 200), "pgd-3").findings == ()


@pytest.mark.parametrize("name", ["preact-resnet18", "resnet18"])
def test_deep_networks_have_no_finding(name: str) -> None:
    network = build_model(name, ModelSpec(1, 4, 8, (0.5,), (0.25,)), 0)
    assert attacked(fitted(network, DATA, 4), "pgd-3", limit=40).findings == ()


@pytest.mark.parametrize("answer", ["log-probabilities", "bfloat16", "float64", "offset", "masked"])
def test_answers_that_hinder_no_attack_have_no_finding(model: nn.Module, answer: str) -> None:
    mask = torch.tensor([0.0, 0.0, 0.0, 0.0, -1e4])
    bend: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
        "log-probabilities": lambda n, x: n(x).log_softmax(1),
        "bfloat16": lambda n, x: n(x).bfloat16(),
        "float64": lambda n, x: n(x).double(),
        "offset": lambda n, x: n(x) + 1000,
        "masked": lambda n, x: F.pad(n(x), (0, 1)) + mask,
    }
    data = DATA
    if answer == "masked":
        more = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
        parts = [torch.cat([images, more]) for images in (DATA.train_images, DATA.test_images)]
        labels = [torch.cat([y, torch.tensor([4])]) for y in (DATA.train_labels, DATA.test_labels)]
        data = Dataset("five", (*DATA.class_names, "eel"), parts[0], labels[0], parts[1], labels[1])
    assert attacked(Around(model, bend[answer]), "pgd-3", data=data).findings == ()


def test_networks_for_two_classes_have_no_finding() -> None:
    data = tiny_dataset((40, 40), (30, 30), spread=2)
    network = fitted(seeded(lambda: SmallCNN(1, 2, 8)), data, 20)
    assert attacked(network, "pgd-3", "apgd-ce", data=data).findings == ()


def test_noise_may_help_a_few_images_by_chance() -> None:
    """Of images at the boundary half are moved to the right side: no finding."""

    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1)
            return torch.stack((0.5 - mean, mean - 0.5), 1) * 50

    images = torch.randint(126, 130, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    labels = torch.arange(60) % 2
    data = Dataset("edge", ("dark", "bright"), images, labels, images, labels)
    found = attacked(Bright(), "noise", data=data)
    right = [int((found.predictions[name] == found.label).sum()) for name in ("clean", "noise")]
    assert right[0] != right[1]
    assert found.findings == ()
