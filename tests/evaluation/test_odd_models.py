"""Models as other people write them: they work, or get one sentence with the way out before a job starts."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import cfa as package
from cfa.data import Dataset
from cfa.errors import CfaError, CheckpointError, ConfigError
from cfa.evaluation import EvaluationPlan, Outcomes, attack_images
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations
from cfa.runs.store import Store
from tests.support.tiny import CPU, tiny_dataset

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

DATA = tiny_dataset(spread=2)
EPS = 0.25


class Net(nn.Module):
    """A network that is right on the tiny data set: it compares images with the mean image of each class."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        x, y = DATA.train_images.float() / 255, DATA.train_labels
        means = torch.stack([x[y == k].mean(0).flatten() for k in range(classes)])
        self.norm = nn.BatchNorm2d(1)
        self.linear = nn.Linear(64, classes)
        self.linear.weight.data = means
        self.linear.bias.data = -(means**2).sum(1) / 2

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(x).flatten(1))
        return logits


class Bent(nn.Module):
    """A network whose answers are bent."""

    def __init__(self, bend: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network, self.bend = Net(), bend

    def forward(self, x: Tensor) -> Any:
        return self.bend(self.network(x))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 10)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 3)


def attacked(model: object, *attacks: str, data: Dataset = DATA) -> Outcomes:
    plan = EvaluationPlan(attacks=attacks or ("pgd-3", "square"), eps=EPS, limit=40, batch_size=16)
    return attack_images(model, data, plan, CPU, Observer())  # type: ignore[arg-type]


# What works ------------------------------------------------------------------------------------------------

SOME = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def any_batch() -> dict[str, Any]:
    return {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=4096)},)}


def scripted(network: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        return torch.jit.script(network)


def frozen(network: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(network.eval()))


def traced(network: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network.eval(), SOME)


WRAPPED: dict[str, Callable[[], object]] = {
    "in train mode": lambda: Net().train(),
    "DataParallel": lambda: nn.DataParallel(Net()),
    "an average of weights": lambda: AveragedModel(Net()),
    "compiled": lambda: torch.compile(Net(), backend="eager"),
    "compiled and parallel": lambda: nn.DataParallel(torch.compile(Net(), backend="eager")),  # type: ignore[arg-type]
    "scripted": lambda: scripted(Net()),
    "traced": lambda: traced(Net()),
    "frozen": lambda: frozen(Net()),
    "exported": lambda: torch.export.export(Net().eval(), (SOME,), **any_batch()).module(),
    "a program": lambda: torch.export.export(Net().eval(), (SOME,), **any_batch()),
    "parameters without gradients": lambda: Net().requires_grad_(False),
}
TYPES = {"float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}


@pytest.fixture(scope="module")
def expected() -> Outcomes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfa.attacks.autoattack.QUERIES", 10)
        found = attacked(Net().eval())
    right = {name: int((predicted == found.label).sum()) for name, predicted in found.predictions.items()}
    assert right["clean"] > right["pgd-3"] > 0
    return found


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_wrapped_is_the_network_inside(expected: Outcomes, name: str) -> None:
    model = WRAPPED[name]()
    found = attacked(model)
    for column, predicted in expected.predictions.items():
        np.testing.assert_array_equal(found.predictions[column], predicted, column)
    assert found.findings == expected.findings == ()
    if isinstance(model, nn.Module) and name == "in train mode":
        assert all(module.training for module in model.modules())


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("how", ["plain", "scripted", "exported"])
def test_weights_of_another_type_are_evaluated_in_float32_and_it_is_said(kind: str, how: str) -> None:
    network = Net().to(TYPES[kind]).eval()
    exact = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model: Any = network
    if how == "scripted":
        model = scripted(network)
    if how == "exported":
        model = torch.export.export(network, (SOME.to(TYPES[kind]),), **any_batch()).module()
    found = attacked(model)
    assert found.findings == (
        f"weights in {kind}: evaluated in float32, so some predictions may differ from those in {kind}",
    )
    same = attacked(Net().to(TYPES[kind]).float())
    for column, predicted in same.predictions.items():
        np.testing.assert_array_equal(found.predictions[column], predicted, column)
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == exact[name].dtype
        assert torch.equal(tensor, exact[name]), name


class Casting(nn.Module):
    """Computes in another type by itself."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.network, self.kind = Net().to(kind), kind

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x.to(self.kind))
        return logits


@pytest.mark.parametrize("kind", TYPES)
def test_a_model_that_casts_what_it_is_given_is_left_to_it(kind: str) -> None:
    seen: list[torch.dtype] = []
    model = Casting(TYPES[kind])
    model.network.register_forward_hook(lambda module, inputs, logits: seen.append(logits.dtype))
    found = attacked(model)
    assert set(seen) == {TYPES[kind]}
    assert found.findings == (
        f"weights in {kind}: the model computes in {kind} by itself, and only its answers are float32",
    )


def test_a_model_without_a_gradient_is_attacked_without_gradients() -> None:
    model = Bent(lambda z: z.detach())
    found = attacked(model, "square", "noise")
    assert [sentence.partition(":")[0] for sentence in found.findings] == ["no gradient"]
    assert attacked(model, "clean").findings == ()


# What gets a sentence --------------------------------------------------------------------------------------


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor | None = None


class WithBatchStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network, self.norm = Net(), nn.BatchNorm1d(64)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()
        return self.network(self.norm(x.flatten(1)).view(-1, 1, 8, 8))


ODD: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "tuple": (
        lambda z: (z, z[:, :2]),
        r"a tuple of 2 \(Tensor \(2, 4\), Tensor \(2, 2\)\) where logits are expected",
    ),
    "list": (lambda z: [z], r"a list of 1 \(Tensor \(2, 4\)\).*forward returns the logits alone"),
    "dictionary": (
        lambda z: {"logits": z, "loss": None},
        r"a dict \('logits': Tensor \(2, 4\), 'loss': NoneType\)",
    ),
    "object with logits": (Output, r"type Output with Tensor \(2, 4\) as \.logits where logits"),
    "NumPy": (lambda z: z.detach().numpy(), r"a NumPy ndarray \(2, 4\), through which no gradient leads"),
    "nothing at all": (lambda z: None, "an object of type NoneType"),
    "one logit": (lambda z: z[:, 0], "one number an image tells two classes apart; choose a data set with"),
    "one logit in a column": (lambda z: z[:, :1], "one number an image tells two classes apart"),
    "class indices": (
        lambda z: z.argmax(1),
        r"the number of a class for every image \(int64, shape \(2,\)\)",
    ),
    "whole numbers": (lambda z: z.int(), r"whole numbers for every image \(int32"),
    "too few classes": (
        lambda z: z[:, :3],
        r"shape \(2, 3\) where \(images, 4\) is expected; choose the data set",
    ),
    "pixels": (lambda z: z[:, :, None, None].expand(-1, -1, 8, 8), r"shape \(2, 4, 8, 8\).*average over"),
    "not flattened": (lambda z: z[:, :, None, None], r"shape \(2, 4, 1, 1\).*logits.flatten\(1\)"),
    "a mean of the batch": (lambda z: z.mean(0, keepdim=True), r"shape \(1, 4\).*one row for every image"),
    "a loss": (lambda z: z.mean(), r"shape \(\).*one row for every image"),
    "masked": (
        lambda z: z.masked_fill(torch.tensor([False, True, False, True]), -torch.inf),
        "not finite: minus infinity for every image in class 1, 3, as a mask leaves it; fill masks with",
    ),
    "overflow": (
        lambda z: z * 1e39,
        r"not finite \(infinite for 2 of 2 images\) although its weights are; they overflow",
    ),
    "NaN": (
        lambda z: z * 0 / 0,
        r"not finite \(NaN for 2 of 2 images\) although its weights are; look for 0/0",
    ),
    "a fixed batch size": (
        lambda z: z.view(16, 4),
        r"takes 16 images at a time and not 2 \(RuntimeError: .*\), and attacks go",
    ),
    "an error": (
        lambda z: {}["weights"],
        r"does not take images of shape \(1, 8, 8\) \(KeyError: 'weights'\); choose the data set",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_model_of_logits_is_told_with_the_way_out(name: str) -> None:
    bend, sentence = ODD[name]
    with pytest.raises(CheckpointError, match=sentence) as caught:
        attacked(Bent(bend), "clean")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bend", "way_out"),
    [
        (lambda z: z[:, 0], "torch.stack((torch.zeros_like(z), z), dim=1)"),
        (lambda z: z[:, :1], "torch.cat((torch.zeros_like(z), z), dim=1)"),
    ],
    ids=["a number", "a column"],
)
def test_one_logit_for_two_classes_is_told_what_to_write_and_that_works(
    bend: Callable[[Tensor], Tensor], way_out: str
) -> None:
    data = tiny_dataset((20, 20), (20, 20))
    with pytest.raises(CheckpointError, match="return two logits for its one number z: ") as caught:
        attacked(Bent(bend), "clean", data=data)
    assert way_out in str(caught.value)
    found = attacked(Bent(lambda z: eval(way_out, {"torch": torch, "z": bend(z)})), "clean", data=data)
    assert found.findings == ()


def test_weights_that_diverged_are_told_from_logits_that_overflow() -> None:
    model = Net()
    model.linear.weight.data[0, 0] = torch.inf
    with pytest.raises(CheckpointError, match="not finite; its weights diverged, use an earlier checkpoint"):
        attacked(model, "clean")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: torch.export.export(Net().eval(), (SOME,)).module(), "takes 4 images at a time and not 2"),
        (
            WithBatchStatistics,
            r"fails on a single image \(ValueError: Expected more than 1 value per channel",
        ),
    ],
    ids=["exported for four images", "statistics of the batch"],
)
def test_sizes_of_batches_are_told(make: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        attacked(make(), "clean")


GRADIENT_ATTACKS = [
    "fgsm",
    "pgd-3-best",
    "cw-3",
    "kl-3",
    "pgd-3-r2",
    "apgd-ce",
    "fab-t",
    "fab-min",
    "autoattack",
]


@pytest.mark.parametrize("attack", GRADIENT_ATTACKS)
def test_gradient_attacks_on_a_model_without_a_gradient_are_refused(attack: str) -> None:
    with pytest.raises(
        CheckpointError, match=r"cut off from the images.*choose square, another black-box"
    ) as caught:
        attacked(Bent(lambda z: z.detach()), "square", attack)
    assert str(caught.value).startswith(f"{attack} cannot be carried out: the model has no gradient")


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda z: torch.eye(4)[z.argmax(1)], "cut off from the images"),
        (lambda z: torch.from_numpy(z.detach().numpy()), "cut off from the images"),
        (lambda z: z.detach().requires_grad_(), "do not depend on the images"),
    ],
    ids=["one-hot", "through NumPy", "a leaf of its own"],
)
def test_no_gradient_is_found_whatever_the_reason(bend: Callable[[Tensor], Tensor], reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        attacked(Bent(bend), "pgd-3")


def test_images_of_a_model_without_a_gradient_are_not_transferred() -> None:
    plan = EvaluationPlan(attacks=("transfer",), eps=EPS, transfer_from="another")
    with pytest.raises(CheckpointError, match=r"the other model has no gradient .*choose another"):
        attack_images(Net(), DATA, plan, CPU, Observer(), transfer=Bent(lambda z: z.detach()))


@pytest.mark.parametrize("model", [lambda x: x, "a path", Net], ids=["a function", "text", "a class"])
def test_what_is_no_module_is_refused(model: object) -> None:
    with pytest.raises(
        ConfigError, match=r"the model is of type .*; give an nn.Module, which has a mode and weights"
    ):
        attacked(model)


def test_cfa_evaluate_stores_nothing_of_what_it_refuses(home: Path) -> None:
    plan = EvaluationPlan(attacks=("pgd-3",), eps=EPS, limit=8)
    with pytest.raises(CfaError):
        package.evaluate(Bent(lambda z: (z,)), DATA, plan, log_as="odd", home=home)
    assert Store.open(home).runs() == []
    evaluation = package.evaluate(nn.DataParallel(Net().double()), DATA, plan, log_as="fine", home=home)
    assert evaluation.findings[0].startswith("weights in float64")


# Factories, before a job -----------------------------------------------------------------------------------

FACTORIES = """
import torch
from torch import nn
from tests.evaluation.test_odd_models import Bent, Net, SOME, any_batch

class Three(nn.Module):
    def __init__(self, bend=lambda z: z):
        super().__init__()
        self.linear, self.bend = nn.Linear(64, 3), bend
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(8)[:3].repeat_interleave(8, 1))
            self.linear.bias.zero_()
    def forward(self, x): return self.bend(self.linear(x.flatten(1)))

def right(): return Three()
def pair(): return Three(lambda z: (z, z))
def no_gradient(): return Three(lambda z: z.detach())
def masked(): return Three(lambda z: z.masked_fill(torch.arange(3) == 0, -torch.inf))
def double(): return Three().double()
def half(): return Three().half()
class Casting(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = Three().double()
    def forward(self, x): return self.network(x.double())
def parallel(): return nn.DataParallel(Three())
def compiled(): return torch.compile(Three(), backend="eager")
def scripted(): return torch.jit.trace(Three(), torch.rand(2, 1, 8, 8))
def frozen(): return torch.jit.freeze(torch.jit.trace(Three().eval(), torch.rand(2, 1, 8, 8)))
def program(): return torch.export.export(Three().eval(), (SOME,), **any_batch())
def exported(): return program().module()
def failing(): raise FileNotFoundError("weights.pt")
"""


@pytest.fixture
def factories(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    sys.modules.pop("odd_factories", None)
    (tmp_path / "odd_factories.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return "odd_factories"


def evaluated(cfa: Any, tiny: str, factory: str, *attacks: str, code: int = 0) -> Any:
    options = [option for attack in attacks for option in ("--attack", attack)]
    arguments = ("evaluate", f"odd_factories:{factory}", "--dataset", tiny, *options, "--eps", "0.1")
    return cfa(*arguments, *(["--json"] if code == 0 else []), code=code)


@pytest.mark.usefixtures("factories")
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("factory", "code", "sentence"),
    [
        ("pair", 1, "a tuple of 2 (Tensor (2, 3), Tensor (2, 3)) where logits are expected"),
        ("masked", 1, "minus infinity for every image in class 0"),
        ("no_gradient", 1, "pgd-3 cannot be carried out: the model has no gradient"),
        ("failing", 2, "the model factory 'odd_factories:failing' failed (FileNotFoundError: weights.pt)"),
        ("frozen", 2, "keeps its weights as constants (torch.jit.freeze), where they cannot be stored"),
    ],
)
def test_a_factorys_model_is_refused_before_there_is_a_job(
    cfa: Any, home: Path, tiny: str, factory: str, code: int, sentence: str
) -> None:
    assert sentence in evaluated(cfa, tiny, factory, "pgd-3", code=code).stderr
    assert cfa("jobs", "--json") == []


@pytest.mark.usefixtures("factories")
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    "factory", ["parallel", "compiled", "scripted", "program", "exported", "double", "half", "Casting"]
)
def test_a_factorys_model_works_as_the_network_that_it_is(
    cfa: Any, home: Path, tiny: str, factory: str
) -> None:
    plain, found = (evaluated(cfa, tiny, name, "pgd-3") for name in ("right", factory))
    counts = [[row["correct"] for row in document["scores"]] for document in (plain, found)]
    assert counts[0] == counts[1]
    kind = {"double": "float64", "half": "float16", "Casting": "float64"}.get(factory)
    said = [sentence.partition(": ")[2] for sentence in found["findings"]]
    assert [sentence.partition(":")[0] for sentence in said] == ([f"weights in {kind}"] if kind else [])
    (run,) = [run for run in Store.open(home).runs() if run.name.endswith(factory)]
    x = torch.rand(3, 1, 8, 8)
    assert package.load(run.id, home=home)(x).shape == (3, 3)


@pytest.mark.usefixtures("factories")
def test_a_factorys_model_without_a_gradient_is_attacked_by_square(cfa: Any, home: Path, tiny: str) -> None:
    document = evaluated(cfa, tiny, "no_gradient", "square")
    assert len(document["findings"]) == 1
    assert "no gradient: the model has none" in document["findings"][0]
    (run,) = Store.open(home).runs()
    stored = read_evaluations(run)[0]
    assert stored.findings
    right = np.flatnonzero([row["correct"] for row in document["scores"]])
    assert len(right)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("pair", "a tuple of 2 (Tensor (2, 3), Tensor (2, 3))"),
        ("no_gradient", "the model has no gradient (its answers are cut off"),
        ("exported", "the model has one mode (Calling train() is not supported yet.)"),
    ],
)
def test_what_cannot_be_trained_is_told_before_the_first_epoch(
    cfa: Any, home: Path, tiny: str, factory: str, sentence: str
) -> None:
    settings = [
        "train.epochs=1",
        "data.val_fraction=0.2",
        "averaging.gate=mean",
        "attack.steps=1",
        "train.batch_size=16",
    ]
    options = [option for setting in settings for option in ("--set", setting)]
    arguments = ["--method", "pgd-at", "--dataset", tiny, "--model", f"odd_factories:{factory}", *options]
    assert sentence in cfa("train", *arguments, "--no-test", code=1).stderr
