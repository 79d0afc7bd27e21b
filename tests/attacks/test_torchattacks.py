import contextlib
import importlib.util
import io
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cfa.attacks import ATTACKS, named_attack, perturbation_norm, torchattacks_title
from cfa.attacks.torchattacks_plugin import INSTALL, KINDS, NO_ATTACKS, TorchAttack, torchattacks_builder
from cfa.errors import ConfigError, UnknownName
from cfa.evaluation import EvaluationPlan
from cfa.models import ModelSpec, build_model
from tests.support.networks import buffers_of, same_tensors
from tests.support.require import require

NORMS = ("linf", "l2", "l1", "l0")
EPS = {"linf": 0.1, "l2": 1.0, "l1": 10.0, "l0": 20.0}
SLOW = {"SPSA", "EADEN", "EADL1", "SparseFool", "JSMA", "Pixle", "OnePixel"}
SEED = int(torch.randint(2**31 - 1, (1,), generator=torch.Generator().manual_seed(0)))  # drawn, not 0
CASES = [(name, norm) for name, kind in KINDS.items() for norm in kind.norms]


@pytest.fixture
def package():
    found = importlib.util.find_spec("torchattacks")
    require("torchattacks", found, f"the package torchattacks is not installed ({INSTALL})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package is of 2023
        import torchattacks
    return torchattacks


def network(classes: int = 5, side: int = 15) -> torch.nn.Module:
    model = build_model("small-cnn", ModelSpec(3, classes, side, (0.5,) * 3, (0.25,) * 3), seed=0)
    with torch.no_grad():
        model.network.linear.weight.mul_(8)  # decisions apart from rounding
    model.eval()
    model.network.bn1.train()  # a mixture of modes that has to come back
    return model


def batch(model: torch.nn.Module, count: int = 4, side: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 1
    return x, predict(model, x)


def predict(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        classes = model(x).argmax(dim=1)
    for module, training in modes.items():
        module.training = training
    return classes


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.usefixtures("package")
def test_every_attack_is_listed_with_what_it_is() -> None:
    listed = {name for name in ATTACKS if name.startswith("torchattacks:")}
    assert listed == {f"torchattacks:{name}" for name in KINDS}
    assert "smallest perturbation" in ATTACKS["torchattacks:CW"].__doc__
    assert ATTACKS["torchattacks:AutoAttack"].__doc__.startswith("torchattacks AA, 10 steps, not comparable")
    assert torchattacks_title("torchattacks:AutoAttack") == "torchattacks AA, 10 steps, not comparable"
    assert [torchattacks_title(name) for name in ("torchattacks:CW", "autoattack", "clean")] == [
        "torchattacks:CW", "autoattack", "clean",
    ]  # fmt: skip


def test_the_list_is_the_packages(package) -> None:
    assert set(package.__all__) == set(KINDS) | set(NO_ATTACKS)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_an_attack_stays_in_its_ball_and_leaves_no_trace(name: str, norm: str, capfd) -> None:
    model = network()
    x, y = batch(model, 1 if name in SLOW else 4)
    attack = named_attack(f"torchattacks:{name}", norm)
    weights, modes = buffers_of(model), [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    x_before = x.clone()
    torch.manual_seed(11), random.seed(12), np.random.seed(13)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x_adv = attack(model, x, y, EPS[norm], generator=noise())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])
    assert same_tensors(buffers_of(model), weights)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(x, x_before)
    assert capfd.readouterr() == ("", "")
    assert x_adv.shape == x.shape
    assert x_adv.dtype == x.dtype
    assert not x_adv.requires_grad
    assert bool(torch.isfinite(x_adv).all())
    assert float(x_adv.min()) >= -1e-6
    assert float(x_adv.max()) <= 1 + 1e-6
    if not attack.minimum_norm:
        assert float(perturbation_norm(x, x_adv, norm).max()) <= EPS[norm] * (1 + 1e-5) + 1e-6


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "name", ["PGD", "FFGSM", "SPSA", "Square", "APGD", "FAB", "Pixle", "OnePixel", "PGDRS"]
)
def test_the_generator_decides_everything_random(name: str) -> None:
    model = network()
    x, y = batch(model, 1)
    norm = KINDS[name].norms[0]
    attack = named_attack(f"torchattacks:{name}", norm)
    found = []
    for seed, of_others in ((0, 1), (0, 2), (5, 1)):
        torch.manual_seed(of_others), random.seed(of_others), np.random.seed(of_others)
        found.append(attack(model, x, y, EPS[norm] / 4, generator=noise(seed)))
    assert torch.equal(found[0], found[1])
    if name not in ("FAB", "APGD"):  # one start of theirs, whatever the seed
        assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("MIFGSM", {"eps": 0.04, "alpha": 0.01}),
        ("BIM", {"eps": 0.04, "alpha": 0.01}),
        ("FGSM", {"eps": 0.04}),
        ("PIFGSM", {"max_epsilon": 0.04}),
        ("APGD", {"eps": 0.04, "norm": "Linf", "seed": SEED}),
        ("CW", {}),
        ("DeepFool", {}),
    ],
)
def test_it_is_the_packages_attack_at_our_budget(package, name: str, theirs: dict) -> None:
    model = network().eval()
    x, y = batch(model)
    norm = KINDS[name].norms[0]
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
        expected = getattr(package, name)(model, **theirs)(x, y).detach()
    for parameter in model.parameters():
        parameter.grad = None
    got = named_attack(f"torchattacks:{name}", norm)(model, x, y, 0.04, generator=noise())
    assert torch.equal(got, expected)
    assert not torch.equal(got, x)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("side", [8, 12, 13, 19, 20, 24, 28, 32])
def test_sides_that_the_package_cannot_attack_are_refused(side: int) -> None:
    model = network(side=side)
    x, y = batch(model, 1, side)
    attack = named_attack("torchattacks:Square", "l2")
    if side in (12, 19, 24):
        with pytest.raises(ConfigError, match=f"fails in l2 on images of {side} pixels"):
            attack(model, x, y, 1.0, generator=noise())
    else:
        assert attack(model, x, y, 100.0, generator=noise()).shape == x.shape


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("eps", [1 / 255, 8 / 255, 0.2])
@pytest.mark.parametrize("name", ["PGD", "TPGD", "MIFGSM", "FFGSM", "RFGSM"])
def test_steps_shrink_and_grow_with_the_budget(name: str, eps: float) -> None:
    model = network()
    x = 0.3 + 0.4 * batch(model, 2)[0]
    x_adv = named_attack(f"torchattacks:{name}", "linf")(model, x, predict(model, x), eps, generator=noise())
    assert 0.5 * eps < float((x_adv - x).abs().max()) <= eps * (1 + 1e-5)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("classes", [2, 3, 4, 9, 30])
@pytest.mark.parametrize("name", ["APGDT", "FAB", "JSMA", "Jitter", "DeepFool"])
def test_any_number_of_classes_works_or_is_refused(name: str, classes: int) -> None:
    model = network(classes)
    x, y = batch(model, 1)
    norm = KINDS[name].norms[0]
    attack = named_attack(f"torchattacks:{name}", norm)
    if classes < KINDS[name].least_classes:
        with pytest.raises(ConfigError, match=f"needs 4 classes and the model has {classes}"):
            attack(model, x, y, EPS[norm], generator=noise())
        return
    assert attack(model, x, y, EPS[norm] / 100, generator=noise()).shape == x.shape


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_their_autoattack_works_or_is_refused(classes: int) -> None:
    model = network(classes)
    x, y = batch(model, 1)
    attack = named_attack("torchattacks:AutoAttack", "linf")
    if classes < 4:
        with pytest.raises(
            ConfigError, match=f"needs 4 classes and the model has {classes}; use `autoattack`"
        ):
            attack(model, x, y, 0.5, generator=noise())
    else:
        assert predict(model, attack(model, x, y, 0.5, generator=noise())) != y


@pytest.mark.usefixtures("package")
def test_hundreds_of_classes_cost_nine_targets() -> None:
    passes = dict.fromkeys((10, 40), 0)
    for classes in passes:
        model = network(classes)
        x, y = batch(model, 1)
        model.register_forward_hook(lambda *_, classes=classes: passes.update({classes: passes[classes] + 1}))
        named_attack("torchattacks:APGDT", "linf")(model, x, y, 1e-6, generator=noise())
    assert passes[40] == passes[10]
    attack = TorchAttack("APGDT", "linf")
    assert attack.passes(100) == attack.passes(10) == 9 * attack.passes(2)


@pytest.mark.usefixtures("package")
def test_a_model_that_is_no_module_is_attacked_as_well() -> None:
    model = network().eval()
    x, y = batch(model)
    attack = named_attack("torchattacks:MIFGSM", "linf")
    one = attack(model, x, y, 0.04, generator=noise())
    other = attack(lambda images: model(images), x, y, torch.full((4,), 0.04), generator=noise())
    assert torch.allclose(one, other, rtol=0, atol=1e-8)


def test_what_the_package_prints_is_not_heard(package, monkeypatch, capsys) -> None:
    monkeypatch.setattr(package.FGSM, "forward", lambda self, x, y: print("robust accuracy: 0 %") or x)
    model = network()
    x, y = batch(model)
    assert torch.equal(named_attack("torchattacks:FGSM", "linf")(model, x, y, 0.1), x)
    assert capsys.readouterr().out == ""


class RobModel(torch.nn.Module):
    """The package takes mean and standard deviation from a class of this name, and normalises by itself."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.mean, self.std = torch.tensor([0.5] * 3), torch.tensor([0.2] * 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.usefixtures("package")
def test_the_packages_normalisation_stays_off() -> None:
    model = network().eval()
    x, y = batch(model)
    attack = named_attack("torchattacks:MIFGSM", "linf")
    plain = attack(model, x, y, 0.04, generator=noise())
    assert torch.equal(attack(RobModel(model), x, y, 0.04, generator=noise()), plain)


@pytest.mark.usefixtures("package")
def test_budgets_of_single_images_are_refused() -> None:
    model = network()
    x, y = batch(model)
    with pytest.raises(ConfigError, match="take one eps for all images"):
        named_attack("torchattacks:PGD", "linf")(model, x, y, torch.tensor([0.1, 0.1, 0.2, 0.1]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("package")
def test_an_attack_exists_for_its_norms_only(name: str, norm: str) -> None:
    if norm in KINDS[name].norms:
        assert named_attack(f"torchattacks:{name}", norm).norm == norm
    else:
        with pytest.raises(ConfigError, match=f"torchattacks:{name} does not exist for {norm}; its pert"):
            named_attack(f"torchattacks:{name}", norm)


@pytest.mark.parametrize("name", NO_ATTACKS)
def test_what_is_no_attack_says_why(name: str) -> None:
    with pytest.raises(ConfigError, match=f"torchattacks:{name} is no attack to evaluate with: "):
        named_attack(f"torchattacks:{name}", "linf")


@pytest.mark.parametrize(("name", "near"), [("MIFGSMM", "torchattacks:MIFGSM"), ("cw", "torchattacks:CW")])
def test_an_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownName, match=near):
        named_attack(f"torchattacks:{name}", "linf")


def test_without_the_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed; run `pip install --no-deps torchattacks`"):
        torchattacks_builder("MIFGSM")


@pytest.mark.usefixtures("package")
def test_a_result_states_the_settings() -> None:
    assert TorchAttack("MIFGSM", "linf").described() == {
        "title": "torchattacks:MIFGSM", "norm": "linf", "alpha": "0.25*eps", "steps": 10, "decay": 1.0,
    }  # fmt: skip
    assert TorchAttack("CW", "l2").described() == {
        "title": "torchattacks:CW", "norm": "l2", "c": 1, "kappa": 0, "steps": 50, "lr": 0.01,
    }  # fmt: skip
    assert TorchAttack("AutoAttack", "l2").described()["title"] == "torchattacks AA, 10 steps, not comparable"


# Grey images -------------------------------------------------------------------------------------------


def grey_network(classes: int = 5, side: int = 15) -> torch.nn.Module:
    model = build_model("small-cnn", ModelSpec(1, classes, side, (0.5,), (0.25,)), seed=0).eval()
    with torch.no_grad():
        model.network.linear.weight.mul_(8)
    return model


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_grey_images_are_attacked_or_refused_in_a_sentence(name: str, norm: str) -> None:
    model = grey_network()
    x = torch.rand(1 if name in SLOW else 3, 1, 15, 15, generator=torch.Generator().manual_seed(3))
    attack = named_attack(f"torchattacks:{name}", norm)
    if name == "PIFGSMPP":
        with pytest.raises(
            ConfigError, match=r"PIFGSMPP takes images of 3 channels and these have 1; choose"
        ):
            attack(model, x, predict(model, x), EPS[norm], generator=noise())
        with pytest.raises(ConfigError, match="these have 1"):
            EvaluationPlan(attacks=(f"torchattacks:{name}",), norm=norm).check_images(1, 15, 5)
        return
    x_adv = attack(model, x, predict(model, x), EPS[norm], generator=noise())
    assert x_adv.shape == x.shape
    assert bool(torch.isfinite(x_adv).all())
    assert 0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1
    if not attack.minimum_norm:
        assert float(perturbation_norm(x, x_adv, norm).max()) <= EPS[norm] * (1 + 1e-5) + 1e-6
    EvaluationPlan(attacks=(f"torchattacks:{name}",), norm=norm, eps=EPS[norm]).check_images(1, 15, 5)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["TIFGSM", "PIFGSM", "PIFGSMPP"])
def test_other_numbers_of_channels_are_refused_where_three_are_needed(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} takes images of 3 channels and these have 4"):
        named_attack(f"torchattacks:{name}", "linf").check_images(4, 15, 5)


def gaussian(length: int, sigmas: int) -> torch.Tensor:
    line = torch.exp(-(torch.linspace(-sigmas, sigmas, length) ** 2) / 2)
    return (torch.outer(line, line) / line.sum() ** 2)[None, None]


def gradient_of(model: torch.nn.Module, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    z = z.clone().requires_grad_(True)
    return torch.autograd.grad(F.cross_entropy(model(z), y), z)[0]


def grey_tifgsm(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float) -> torch.Tensor:
    """Write Dong et al. 2019 for one channel: the sign of a gradient smoothed by a Gaussian of 15 pixels."""
    z, kernel = x, gaussian(15, 3)
    for _ in range(10):
        smooth = F.conv2d(gradient_of(model, z, y), kernel, padding="same")
        z = (x + (z + eps / 4 * smooth.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return z


def grey_pifgsm(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float) -> torch.Tensor:
    """Write Gao et al. 2020 for one channel: amplified steps, what the ball cuts off goes to neighbours."""
    around = torch.full((1, 1, 3, 3), 1 / 8)
    around[..., 1, 1] = 0
    z, sums = x, torch.zeros_like(x)
    for _ in range(10):
        step = eps * gradient_of(model, z, y).sign()  # ten times a tenth
        sums = sums + step
        cut = (sums.abs() - eps).clamp_min(0) * sums.sign()
        spread = eps * F.conv2d(cut, around, padding=1).sign()
        sums = sums + spread
        z = (z + step + spread).clamp((x - eps).clamp(0, 1), (x + eps).clamp(0, 1))
    return z


@pytest.mark.parametrize(("name", "by_hand"), [("TIFGSM", grey_tifgsm), ("PIFGSM", grey_pifgsm)])
def test_a_grey_image_shown_in_three_channels_is_attacked_as_one(package, monkeypatch, name, by_hand) -> None:
    if name == "TIFGSM":  # its diversity is random and has its own parameter; none here
        monkeypatch.setattr(package.TIFGSM, "input_diversity", lambda self, x: x)
    model = grey_network()
    x = torch.rand(4, 1, 15, 15, generator=torch.Generator().manual_seed(3))
    y = predict(model, x)
    found = named_attack(f"torchattacks:{name}", "linf")(model, x, y, 0.04, generator=noise())
    torch.testing.assert_close(found, by_hand(model, x, y, 0.04), rtol=0, atol=1e-6)
    assert float((found - x).abs().max()) > 0.03
