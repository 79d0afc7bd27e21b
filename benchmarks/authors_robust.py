"""Baselines of robustness and FAT-var beside their authors' scripts, for `authors.py`."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from author_steps import CLASSES, SEED, Clone, Found, Ours, between, names, network
from torch import Tensor, nn

from cfa.methods import Knobs, parts_of
from cfa.training.step import Step, StepResult

IN_FLOAT64 = ("F.one_hot(target, NUM_CLASSES)", "F.one_hot(target, NUM_CLASSES).to(torch.float64)")


def _attack(ours: Ours) -> dict[str, Any]:
    """Give what functions of an attack are called with."""
    own = ours.config.attack
    return {"step_size": own.step_size.value, "epsilon": own.eps, "perturb_steps": own.steps}


def _loss_of(ours: Ours, theirs: nn.Module, loss: Callable[..., Any], **more: Any) -> Tensor:
    """Call a function of theirs that attacks and returns a loss, for a step."""
    torch.manual_seed(SEED)
    found = loss(theirs, ours.x, ours.y, torch.optim.SGD(theirs.parameters(), 1.0), **_attack(ours), **more)
    value: Tensor = found[0] if isinstance(found, tuple) else found
    return value


def _taken(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _of_all(value: float) -> Tensor:
    return torch.full((CLASSES,), value)


class _Meter:
    """Stand for a meter, and for the accuracy that it is given."""

    def update(self, value: float, count: int) -> None:
        """Keep nothing."""


def _accuracy(*logits: Any, **more: Any) -> tuple[Tensor, Tensor]:
    return torch.zeros(()), torch.zeros(())


@contextmanager
def _as_it_is(model: nn.Module) -> Iterator[None]:
    """Stand for a context that puts a network into eval mode: it is there already."""
    yield


def mart(clone: Clone) -> Found:
    """Take one step of MART; their logarithms are guarded by 1e-12, and 1 - p by 1e-7."""
    ours = Ours.of("mart")
    ours.taken({})
    theirs, space = network(0), names()
    exec(between(clone.text("mart.py"), "def mart_loss", "return loss"), space)
    _taken(ours.optimizer(theirs), _loss_of(ours, theirs, space["mart_loss"], beta=5.0))
    return {"weights after a step": ours.weights_differ(theirs)}


def hat(clone: Clone) -> Found:
    """Take one step of HAT with a helper."""
    ours = Ours.of("hat")
    ours.taken({})
    theirs, space = network(0), names()
    space |= {"ctx_noparamgrad_and_eval": _as_it_is, "accuracy": _accuracy}
    exec(between(clone.text("core/utils/hat.py"), "def hat_loss", "return loss, batch_metrics"), space)
    more = {"h": 2.0, "beta": 2.5, "gamma": 0.5, "hr_model": ours.teacher}
    _taken(ours.optimizer(theirs), _loss_of(ours, theirs, space["hat_loss"], **more))
    return {"weights after a step": ours.weights_differ(theirs)}


def lbgat(clone: Clone) -> Found:
    """Take one step of both networks of LBGAT."""
    ours, beside = Ours.of("lbgat"), network(1)
    _step_beside(ours, {"natural": beside})
    theirs, guide, space = network(0), network(1), names()
    exec(between(clone.text("lbgat.py"), "def lbgat_loss", "return loss"), space)
    torch.manual_seed(SEED)
    optimizer = ours.optimizer(nn.ModuleList([theirs, guide]))
    loss = space["lbgat_loss"](theirs, guide, ours.x, ours.y, optimizer, beta=6.0, **_attack(ours))
    _taken(optimizer, loss)
    pairs = zip(beside.parameters(), guide.parameters(), strict=True)
    return {
        "weights after a step": ours.weights_differ(theirs),
        "weights of the network beside": max(float((one - other).abs().max()) for one, other in pairs),
    }


def _step_beside(ours: Ours, companions: Mapping[str, nn.Module]) -> StepResult:
    """Take a step of a method that trains networks beside its model."""
    counts = torch.full((CLASSES,), 8)
    step = Step.of(parts_of(ours.config), ours.model, counts, companions=companions)
    optimizer = ours.optimizer(nn.ModuleList(step.networks))
    knobs, index = Knobs(eps=_of_all(ours.config.attack.eps)), torch.arange(len(ours.y))
    return step(optimizer, ours.x, ours.y, index, knobs, torch.Generator().manual_seed(SEED))


def trades_awp(clone: Clone) -> Found:
    """Take one step of TRADES with AWP, whose rate is ours over 7 and whose weight decay is ours times 7."""
    ours = Ours.of("trades-awp")
    ours.taken({"clean_weight": _of_all(1 / 7), "robust_weight": _of_all(6 / 7), "awp_gamma": _of_all(0.005)})
    theirs, text = network(0), clone.text("trades_AWP/train_trades_cifar.py")
    space = _as_awp(clone, "trades_AWP/utils_awp.py", "TradesAWP", theirs, 0.005)
    own = ours.config.attack
    space |= {
        "args": Namespace(num_steps=own.steps, norm="l_inf", awp_warmup=10, beta=6.0),
        "optimizer": torch.optim.SGD(theirs.parameters(), 0.1, 0.9, weight_decay=5e-4),
        "x_natural": ours.x,
        "target": ours.y,
        "step_size": own.step_size.value,
        "epsilon": own.eps,
    }
    exec(between(text, "def perturb_input", "return x_adv"), space)
    torch.manual_seed(SEED)
    exec(between(text, "x_adv = perturb_input(", "awp_adversary.restore(awp)"), space)
    return {"weights after a step": ours.weights_differ(theirs)}


def pgd_at_awp(clone: Clone) -> Found:
    """Take one step of PGD-AT with AWP."""
    ours = Ours.of("pgd-at-awp")
    ours.taken({"awp_gamma": _of_all(0.01)})
    theirs, text = network(0).train(), clone.text("AT_AWP/train_cifar10.py")
    space = _as_awp(clone, "AT_AWP/utils_awp.py", "AdvWeightPerturb", theirs, 0.01)
    own = ours.config.attack
    args = Namespace(attack_iters=own.steps, restarts=1, norm="l_inf", awp_warmup=0)
    space |= {
        "args": args,
        "model": theirs,
        "opt": ours.optimizer(theirs),
        "X": ours.x,
        "y": ours.y,
        "normalize": lambda images: images,
        "clamp": lambda images, low, high: torch.max(torch.min(images, high), low),
        "lower_limit": torch.zeros(()),
        "upper_limit": torch.ones(()),
    }
    exec(between(text, "def attack_pgd", "return max_delta"), space)
    torch.manual_seed(SEED)
    delta = space["attack_pgd"](
        theirs, ours.x, ours.y, own.eps, own.step_size.value, own.steps, 1, "l_inf"
    ).detach()
    awp, x_adv = space["awp_adversary"], (ours.x + delta).clamp(0, 1)
    moved = awp.calc_awp(inputs_adv=x_adv, targets=ours.y)
    awp.perturb(moved)
    _taken(space["opt"], space["F"].cross_entropy(theirs(x_adv), ours.y))
    awp.restore(moved)
    return {"weights after a step": ours.weights_differ(theirs)}


def _as_awp(clone: Clone, utils: str, kind: str, theirs: nn.Module, gamma: float) -> dict[str, Any]:
    """Give what their loops call the networks, the perturbation, and what measures."""
    space = names() | {"model": theirs, "device": "cpu", "epoch": 10}
    exec(clone.text(utils), space)
    proxy = network(2)
    proxy_optim = torch.optim.SGD(proxy.parameters(), lr=0.01)
    awp = space[kind](model=theirs, proxy=proxy, proxy_optim=proxy_optim, gamma=gamma)
    return space | {"awp_adversary": awp, "accuracy": _accuracy, "losses": _Meter(), "top1": _Meter()}


def ikl(clone: Clone) -> Found:
    """Take one step of IKL without AWP, and sum its predictions."""
    return _ikl(clone, "ikl", {}, awp_from=999)


def ikl_awp(clone: Clone) -> Found:
    """Take one step of IKL with AWP."""
    return _ikl(clone, "ikl-awp", {"awp_gamma": _of_all(0.005)}, awp_from=10)


def _ikl(clone: Clone, method: str, more: Mapping[str, Tensor], awp_from: int) -> Found:
    """Take the last epoch's step, whose eps is the nominal one."""
    noise = torch.Generator().manual_seed(SEED)
    prediction = torch.rand(CLASSES, CLASSES, generator=noise).softmax(dim=1)
    ours = Ours.of(method)
    result = ours.taken({"prediction": prediction, **more})
    folder = "DKLv2/Adv-training-dkl"
    theirs, text = network(0), clone.text(f"{folder}/train_dkl_cifar10.py").replace(*IN_FLOAT64)
    space = _as_awp(clone, f"{folder}/utils_awp.py", "TradesAWP", theirs, 0.005)
    settings = {"train_budget": "high", "alpha": 4.0, "beta": 20.0, "gamma": 1.0, "T": 4.0, "aug": "basic"}
    space |= {
        "args": Namespace(**settings, epochs=200, norm="l_inf", awp_warmup=awp_from),
        "optimizer": ours.optimizer(theirs),
        "x_natural": ours.x,
        "target": ours.y,
        "epsilon": ours.config.attack.eps,
        "epoch": 200,
        "epoch_scale": 1.0,
        "weight": prediction,
        "WEIGHT": torch.zeros(CLASSES, CLASSES),
        "NUM_CLASSES": CLASSES,
    }
    for first, last in (("def dkl_loss", "return beta"), ("def perturb_input", "return x_adv")):
        exec(between(text, first, last), space)
    torch.manual_seed(SEED)
    exec(between(text, "varepsilon = epsilon", "awp_adversary.restore(awp)"), space)
    summed = torch.zeros(CLASSES, CLASSES).index_add(0, ours.y, result.sums["prediction"])
    return {
        "weights after a step": ours.weights_differ(theirs),
        "sums of predictions": float((summed - space["WEIGHT"]).abs().max()),
    }


def fat_var(clone: Clone) -> Found:
    """Take one step of FAT-var as coded."""
    ours = Ours.of("fat-var", **{"method.as_coded": True})
    ours.taken({})
    theirs, text = network(0), clone.text("pgd_var.py")
    own = ours.config.attack

    def uniform(low: float, high: float, shape: torch.Size) -> Any:
        return ((2 * torch.rand(shape, generator=torch.Generator().manual_seed(SEED)) - 1) * high).numpy()

    space = names() | {"np": Namespace(random=Namespace(uniform=uniform))}
    exec(between(clone.text("attack_generator.py"), "def pgd(", "return x_adv"), space)
    sizes = {"epsilon": own.eps, "step_size": own.step_size.value, "num_steps": own.steps}
    space |= {
        "args": Namespace(**sizes, rand_init=True, no_regular=False, dataset="cifar10", alpha=0.1),
        "attack": Namespace(pgd=space["pgd"]),
        "model": theirs,
        "optimizer": ours.optimizer(theirs),
        "data": ours.x,
        "target": ours.y,
        "labels": list(range(CLASSES)),
        "var_sum": 0.0,
        "loss_sum": 0.0,
    }
    exec(between(text, "x_adv = attack.pgd(", "optimizer.step()"), space)
    return {"weights after a step": ours.weights_differ(theirs)}


COMPARISONS: Mapping[str, tuple[str, Callable[[Clone], Found]]] = {
    "fat-var": ("wzekai99/FAT", fat_var),
    "hat": ("imrahulr/hat", hat),
    "ikl": ("jiequancui/DKL", ikl),
    "ikl-awp": ("jiequancui/DKL", ikl_awp),
    "lbgat": ("dvlab-research/LBGAT", lbgat),
    "mart": ("YisenWang/MART", mart),
    "pgd-at-awp": ("csdongxian/AWP", pgd_at_awp),
    "trades-awp": ("csdongxian/AWP", trades_awp),
}
