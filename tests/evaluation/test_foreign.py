"""Models and images of others, from the command line to the counts."""

import importlib.util
import json
import os
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typer.testing import CliRunner

import cfa as package
from cfa.commands import app
from cfa.data import load_dataset
from cfa.runs.evaluations import read_evaluations
from cfa.runs.store import Store
from cfa.trust import allowing
from tests.support.require import require

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

ARCHIVE = "cifar10-jpeg.tar.xz"
EACH = 50  # images a class, as the figures of the issue have it


@pytest.fixture
def cfa(home: Path):
    """Call a command in this process; gives the JSON document, or the sentence on stderr where it fails."""

    def call(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*map(str, arguments), *(["--json"] if code == 0 else [])])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr + result.stdout
        return json.loads(result.stdout) if code == 0 else result.stderr

    return call


def counts(document: dict, attack: str) -> list[int]:
    return [row["correct"] for row in document["scores"] if row["attack"] == attack]


# A real foreign network ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the first test images of each class of the CIFAR-10 JPEG copies."""
    archive = Path(os.environ.get("CFA_SHARED_DATA", "")) / ARCHIVE
    if not os.environ.get("CFA_SHARED_DATA") or not archive.is_file():
        pytest.skip(f"needs the CIFAR-10 JPEG copies: set CFA_SHARED_DATA to the folder with {ARCHIVE}")
    folder = tmp_path_factory.mktemp("cifar")
    wanted = {f"{number:04}.jpg" for number in range(EACH)}
    with tarfile.open(archive) as opened:
        for member in opened:
            parts = Path(member.name).parts
            if parts[0] == "test" and parts[-1] in wanted:
                opened.extract(member, folder, filter="data")
    return folder


def examples() -> Path:
    spec = importlib.util.find_spec("pyautoattack")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("examples")


def their_code() -> ModuleType:
    spec = importlib.util.spec_from_file_location("their_resnet", examples() / "resnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    """The network in the code of its own authors."""
    network: torch.nn.Module = their_code().ResNet18()
    weights = torch.load(examples() / "model_test.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network.eval()


def first_images(folder: Path, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    files = [file for name in sorted((folder / "test").iterdir()) for file in sorted(name.iterdir())[:each]]
    images = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])
    return images.float() / 255, torch.arange(10).repeat_interleave(each)


def pgd(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, steps: int) -> torch.Tensor:
    """Madry's attack in a few lines, independent of ours but for the seed."""
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    adv = (x + (2 * start - 1) * eps).clamp(0, 1)
    for _ in range(steps):
        adv.requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(net(adv), y, reduction="sum"), adv)
        adv = (x + (adv.detach() + eps / 4 * grad.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return net(adv).argmax(1).detach()


def right(predicted: torch.Tensor, y: torch.Tensor) -> list[int]:
    return torch.bincount(y[predicted == y], minlength=10).tolist()


def model_test(cifar: Path, *more: str) -> list[str]:
    file = str(examples() / "model_test.pt")
    return ["evaluate", file, "--dataset", f"folder:{cifar}", "--model", "resnet18", "--device", "cpu", *more]


@pytest.mark.slow
def test_the_network_of_pyautoattack_gets_what_is_known(cfa, cifar: Path, theirs: torch.nn.Module) -> None:
    document = cfa(*model_test(cifar, "--attack", "clean", "--limit", str(10 * EACH)))
    x, y = first_images(cifar, EACH)
    with torch.no_grad():
        expected = right(torch.cat([theirs(part) for part in x.split(100)]).argmax(1), y)
    assert counts(document, "clean") == expected
    assert sum(expected) == 416  # 83.2 %
    assert {row["class_name"] for row in document["scores"]} == {
        name.name for name in (cifar / "test").iterdir()
    }
    assert {(row["weights"], row["checkpoint"], row["model"]) for row in document["scores"]} == {
        ("file", "file", "resnet18")
    }


@pytest.mark.slow
@pytest.mark.parametrize("eps", [8, 1])
def test_pgd_on_the_network_of_pyautoattack(cfa, cifar: Path, theirs: torch.nn.Module, eps: int) -> None:
    each, steps = 3, 5  # a minute less, on two cores, than 20 steps would take
    options = ("--attack", f"pgd-{steps}", "--eps", f"{eps}/255", "--limit", str(10 * each))
    document = cfa(*model_test(cifar, *options))
    x, y = first_images(cifar, each)
    with torch.no_grad():
        clean = right(theirs(x).argmax(1), y)
    expected = right(pgd(theirs, x, y, eps / 255, steps), y)
    assert counts(document, "clean") == clean
    assert counts(document, f"pgd-{steps}") == expected
    assert sum(clean) > 20
    assert (sum(expected) == 0) if eps == 8 else (0 < sum(expected) < sum(clean))


# A model that its owner builds -----------------------------------------------------------------------------

MODELS = """
import torch
from torch import nn

class Bright(nn.Module):
    "Answers with the row of the picture that is brightest: right on the tiny data set."
    def __init__(self, classes=3, bias=0.0, side=8):
        super().__init__()
        self.scale = nn.Parameter(torch.full((classes,), 10.0))
        self.register_buffer("bias", torch.tensor([bias] + [0.0] * (classes - 1)))
        self.side = side
    def forward(self, x):
        assert x.min() >= 0 and x.max() <= 1
        if x.shape[-1] != self.side:
            raise RuntimeError(f"expected images of {self.side} pixels")
        rows = x[:, 0].mean(2)[:, : len(self.scale)]
        return rows * self.scale + self.bias

def right(): return Bright()
def biased(): return Bright(bias=0.5)
def with_spec(spec): return Bright(spec.num_classes, side=spec.image_size)
def other_classes(): return Bright(4)
def other_size(): return Bright(side=16)
def not_a_number(): return Bright(bias=float("nan"))
def one_answer(): return nn.Sequential(Bright(), nn.Flatten(0))
def no_model(): return "a model"
"""


@pytest.fixture
def models(tiny: str, tmp_path: Path) -> Path:
    import sys

    sys.modules.pop("their_models", None)
    file = tmp_path / "their_models.py"
    file.write_text(MODELS)
    return file


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("factory", ["right", "biased", "with_spec"])
def test_a_factory_is_evaluated(cfa, home: Path, tiny: str, factory: str) -> None:
    reference = f"their_models:{factory}"
    document = cfa("evaluate", reference, "--dataset", tiny, "--attack", "clean", "--attack", "pgd-3")
    with allowing([tiny]):
        data = load_dataset(tiny, home / "data")
    rows = data.test_images.float().div(255)[:, 0].mean(2)[:, :3] * 10
    rows[:, 0] += 0.5 if factory == "biased" else 0
    expected = np.bincount(data.test_labels[rows.argmax(1) == data.test_labels], minlength=3).tolist()
    assert counts(document, "clean") == expected
    assert sum(counts(document, "pgd-3")) <= sum(expected)
    (run,) = Store.open(home).runs()
    assert (run.name, run.config.model, run.config.method) == (
        f"their_models.{factory}", reference, "external",
    )  # fmt: skip


def test_a_factorys_weights_are_kept_as_they_were(cfa, home: Path, tiny: str, models: Path) -> None:
    cfa("evaluate", "their_models:right", "--dataset", tiny, "--attack", "clean")
    cfa("evaluate", "their_models:right", "--dataset", tiny, "--attack", "clean")
    (run,) = Store.open(home).runs()
    assert len(read_evaluations(run)) == 2
    x = torch.rand(4, 1, 8, 8)
    before = package.load(run.id, home=home)(x)
    import their_models  # type: ignore[import-not-found]

    their_models.right = their_models.biased  # the owner goes on working
    assert torch.equal(package.load(run.id, home=home)(x), before)
    cfa("evaluate", "their_models:right", "--dataset", tiny, "--attack", "clean")
    assert len(Store.open(home).runs()) == 2


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("reference", "options", "code", "reason"),
    [
        ("their_models:right", ["--dataset", ""], 2, "unknown data set"),
        ("their_models:right", [], 2, "say which data set it is for"),
        ("their_models:right", ["--model", "resnet18"], 2, "makes a model already"),
        ("their_models:nothing", [], 2, "cannot import model 'their_models:nothing'"),
        ("no_such_module:f", [], 2, "cannot import model 'no_such_module:f'"),
        ("their_models:no_model", [], 2, "returned str; return an nn.Module"),
        ("their_models:other_classes", [], 1, "(images, 3) is expected"),
        ("their_models:other_size", [], 1, "expected images of 16 pixels"),
        ("their_models:not_a_number", [], 1, "logits are not finite"),
        ("their_models:one_answer", [], 1, "(images, 3) is expected"),
        ("nowhere.pt", [], 2, "there is no weights file nowhere.pt; check the path"),
        ("nowhere", [], 2, "unknown run 'nowhere'"),
    ],
)
def test_a_model_that_cannot_be_evaluated_is_explained(
    cfa, home: Path, tiny: str, reference: str, options: list[str], code: int, reason: str
) -> None:
    if "which data set" not in reason and "--dataset" not in options:
        options = [*options, "--dataset", tiny]
    assert reason in cfa("evaluate", reference, "--attack", "clean", *options, code=code)
    assert Store.open(home).runs() == [] or code == 1


# Image folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def stripes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Grey 8x8 pictures of two classes that a network learns in an epoch, train/ and test/."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 10)):
        for label, name in enumerate(("across", "down")):
            folder = tmp_path / "stripes" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = np.zeros((8, 8), np.uint8)
                picture[:: 2 + generator.integers(2)] = 200
                picture = picture.T if label else picture
                Image.fromarray(picture.copy()).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "stripes"


FAST = [
    *("--model", "small-cnn", "--preset", "demo", "--epochs", "1", "--set", "train.batch_size=8"),
    *("--set", "data.val_fraction=0.2", "--set", "averaging.gate=mean", "--set", "attack.steps=1"),
]


def test_a_folder_is_trained_on_and_evaluated_from_anywhere(
    cfa, home: Path, stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfa("train", "--method", "pgd-at", "--dataset", "folder:stripes", "--name", "s", "--no-test", *FAST)
    (run,) = Store.open(home).runs()
    assert run.config.dataset == f"folder:{stripes}"
    monkeypatch.chdir(home)
    document = cfa("evaluate", "s", "--attack", "clean")
    assert [row["class_name"] for row in document["scores"]] == ["across", "down"]
    assert {row["total"] for row in document["scores"]} == {10}
    assert {row["dataset"] for row in document["scores"]} == {f"folder:{stripes}"}


def test_what_was_taken_for_what_in_a_folder_is_said(cfa, home: Path, stripes: Path) -> None:
    (stripes / "test").rename(stripes / "Val")
    (stripes / "train" / "down" / "notes.txt").write_text("no image")
    notes = ["Val/ is the test part, for there is no other", "1 file of other types not read (.txt 1)"]
    (described,) = cfa("datasets", "folder:stripes")
    assert described["notes"] == notes
    assert (described["train_images"], described["test_images"]) == (80, 20)
    shown = CliRunner().invoke(app, ["datasets", "folder:stripes"]).stdout.splitlines()
    assert shown[-2:] == [f"folder:{stripes}: {note}" for note in notes]
    cfa("train", "--method", "pgd-at", "--dataset", "folder:stripes", "--name", "s", "--no-test", *FAST)
    log = Store.open(home).find("s").log_file.read_text()
    assert all(f"folder:{stripes}: {note}" in log for note in notes)


def test_a_folder_with_test_images_only(cfa, home: Path, stripes: Path) -> None:
    cfa("train", "--method", "pgd-at", "--dataset", "folder:stripes", "--name", "s", "--no-test", *FAST)
    (stripes / "train").rename(stripes.with_name("elsewhere"))
    assert counts(cfa("evaluate", "s", "--attack", "clean"), "clean")  # a new cache, and no training images
    weights = Store.open(home).find("s").weights_file("online", "best")
    options = ["--dataset", "folder:stripes", "--model", "small-cnn", "--attack", "clean"]
    assert counts(cfa("evaluate", weights, *options), "clean")
    assert "test part only" in cfa("evaluate", weights, *options, "--normalize", "dataset", code=1)
    train = ["train", "--method", "pgd-at", "--dataset", "folder:stripes", "--name", "t", *FAST]
    assert "add a train/ folder" in cfa(*train, code=1)


# Attacks of others -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("name", "norm", "eps"), [("MIFGSM", "linf", "75/255"), ("DeepFool", "l2", "1.2"), ("Pixle", "l0", "38")]
)
def test_an_attack_of_torchattacks_is_judged_like_any_other(
    cfa, home: Path, tiny: str, name: str, norm: str, eps: str
) -> None:
    require("torchattacks", importlib.util.find_spec("torchattacks"), "torchattacks is not installed")
    attack = f"torchattacks:{name}"
    options = ["--dataset", tiny, "--attack", attack, "--norm", norm, "--eps", eps, "--limit", "30"]
    document = cfa("evaluate", "their_models:right", *options)
    scores = [row for row in document["scores"] if row["attack"] == attack]
    assert {row["norm"] for row in scores} == {norm}
    assert 0 < sum(row["correct"] for row in scores) < sum(counts(document, "clean"))
    (run,) = Store.open(home).runs()
    (evaluation,) = read_evaluations(run)
    assert evaluation.settings[attack]["title"] == attack


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--attack", "torchattacks:CW"], "does not exist for linf"),
        (["--attack", "pgd-3", "--norm", "l2"], "--norm l2 needs a budget of its own"),
        (["--attack", "pgd-3", "--norm", "l3", "--eps", "1"], "unknown --norm 'l3'"),
        (["--attack", "pgd-3", "--norm", "l2", "--eps", "much"], "eps='much' is not a number"),
        (["--attack", "pgd-3", "--norm", "l2", "--eps", "-1"], "eps='-1' is not a positive number"),
        (["--attack", "pgd-3", "--norm", "l0", "--eps", "3"], "pgd-3 does not exist for l0"),
    ],
)
def test_a_threat_that_does_not_exist_leaves_nothing_behind(
    cfa, home: Path, tiny: str, options: list[str], reason: str
) -> None:
    assert reason in cfa("evaluate", "their_models:right", "--dataset", tiny, *options, code=2)
    assert Store.open(home).runs() == []
