"""Methods for long tails beside their authors' code, for `authors.py`."""

import math
import types
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from author_steps import CLASSES, SEED, Clone, Found, Ours, between, names, network
from torch import Tensor, nn
from torch.nn.parameter import Parameter

from cfa.methods import TRAINING, ClassStats, Tally, parts_of
from cfa.methods.catalogue.cgr import PREDICTED as TAKEN_FOR
from cfa.methods.catalogue.reat import weighed_cross_entropy
from cfa.methods.interface import Batch
from cfa.methods.knobs import Knobs

COUNTS = (100, 50, 20, 9)


def _text(clone: Clone, path: str, drawn: str = "") -> str:
    """Read a file; tensors that it makes, and a start that it draws, are in float64.

    Args:
        clone: Whose it is.
        path: Where it stands.
        drawn: The shape of the images of whose start it draws, and their eps: ``*x.shape, epsilon``.
    """
    text = clone.text(path).replace("torch.float32", "torch.float64").replace("np.float32", "np.float64")
    text = text.replace("torch.cuda.FloatTensor", "torch.DoubleTensor").replace("torch.uint8", "torch.bool")
    if drawn:
        shape, eps = drawn.split(", ")
        start = f"torch.FloatTensor({shape}).uniform_(-{eps}, {eps})"
        text = text.replace(start, f"((2 * torch.rand({shape}) - 1) * {eps})")
    return text


def _stepped(ours: Ours, theirs: nn.Module, loss: Callable[[torch.optim.SGD], Tensor]) -> Found:
    """Take a step of SGD on their loss, and compare what is trained."""
    optimizer = ours.optimizer(theirs)
    torch.manual_seed(SEED)
    value = loss(optimizer)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return {"weights after a step": _differ(ours.model, theirs)}


def _differ(ours: nn.Module, theirs: nn.Module) -> float:
    """Return the largest difference of any trained parameter; theirs may have others."""
    trained = [value for value in theirs.parameters() if value.requires_grad]
    pairs = zip(ours.parameters(), trained, strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs)


def _sets(ours: Ours) -> dict[str, Any]:
    """Give what functions of an attack are called with."""
    own = ours.config.attack
    return {"step_size": own.step_size.value, "epsilon": own.eps, "perturb_steps": own.steps}


def at_bsl(clone: Clone) -> Found:
    """Take one step of AT-BSL."""
    ours = Ours.of("at-bsl", COUNTS)
    ours.taken({})
    theirs, space = network(0), names()
    exec(between(clone.text("at_bsl_loss.py"), "def BSL", "return loss"), space)
    exec(between(clone.text("at_bsl_loss.py"), "def pgd_loss", "return loss"), space)
    return _stepped(
        ours,
        theirs,
        lambda optimizer: space["pgd_loss"](theirs, ours.x, ours.y, COUNTS, optimizer, **_sets(ours)),
    )


class _WithFeatures(nn.Module):
    """A network that also gives what its last layer is given, as theirs do."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, features: bool = False) -> Any:
        """Return logits, or features and logits."""
        found = self.layers[:-1](x)
        logits = self.layers[-1](found)
        return (found, logits) if features else logits


def reat(clone: Clone) -> Found:
    """Take one step of REAT, and raise the loss of its attack."""
    ours = Ours.of("reat", COUNTS)
    predicted = (70, 60, 25, 8)
    knobs = _after_predicting(ours, predicted)
    result = ours.taken({name: value for name, value in knobs.items() if name != "eps"})
    layers = network(0)
    assert isinstance(layers, nn.Sequential)
    theirs, space = _WithFeatures(layers), names() | {"np": np}
    text = _text(clone, "loss_functions.py", drawn="*x.shape, epsilon")
    for first, last in (
        ("def BSL", "return loss"),
        ("def RBL", "return loss"),
        ("def REAT", "return logits"),
    ):
        exec(between(text, first, last), space)
    own = ours.config.attack
    args = Namespace(eps=own.eps, ns=own.steps, ss=own.step_size.value)

    def loss(optimizer: torch.optim.SGD) -> Tensor:
        return space["REAT"](theirs, ours.x, ours.y, optimizer, list(COUNTS), list(predicted), args)[1]

    found = _stepped(ours, theirs, loss)
    logits = torch.randn(len(ours.y), CLASSES, generator=torch.Generator().manual_seed(SEED))
    batch = _batch(ours, knobs)
    mine = weighed_cross_entropy(batch, logits).sum() / batch.knobs["attack_weight"].sum()
    raised = space["RBL"](ours.y, logits, list(COUNTS), list(predicted))
    assert result.sums["predicted"].shape == (len(ours.y), CLASSES)
    return {**found, "what the attack raises": float((mine - raised).abs())}


def _after_predicting(ours: Ours, predicted: tuple[int, ...]) -> Knobs:
    """Return REAT's knobs after an epoch in which the classes were predicted so often."""
    counts = torch.tensor(COUNTS)
    sums = {"predicted": torch.diag(torch.tensor(predicted))}
    seen = {TRAINING: Tally(total=counts, correct=counts, sums=sums)}
    return parts_of(ours.config).rule({}, ClassStats(epoch=1, class_counts=counts, seen=seen))[1]


def _batch(ours: Ours, knobs: Knobs) -> Batch:
    return Batch(
        x=ours.x,
        y=ours.y,
        index=torch.arange(len(ours.y)),
        knobs=knobs.at(ours.y),
        knobs_of_class=knobs,
        class_counts=ours.counts,
        whole_y=ours.y,
    )


def taet(clone: Clone) -> Found:
    """Take one step of TAET's second stage, absent classes counted as theirs does."""
    ours = Ours.of("taet", **{"method.absent_as_zero": True})
    ours.taken({"evened_out": torch.ones(CLASSES)})
    theirs, space = network(0), names()
    exec(between(clone.text("code/HARL.py"), "def HARL", "return total_loss"), space)
    return _stepped(
        ours, theirs, lambda optimizer: space["HARL"](theirs, ours.x, ours.y, CLASSES, **_sets(ours))
    )


def robal(clone: Clone) -> Found:
    """Take one step of RoBal, whose attack here starts on both sides."""
    ours = Ours.of("robal", COUNTS)
    ours.taken({})
    space = names() | {
        "np": np,
        "math": math,
        "Parameter": Parameter,
        "optim": torch.optim,
        "DDP": nn.DataParallel,
    }
    head = _text(clone, "models/classifiers/basic_classifiers.py")
    exec(between(head, "class CosPlus_Classifier", "return x"), space)
    exec(between(_text(clone, "methods/losses_inclass.py"), "class MultiMarginLoss", "return loss"), space)
    modes = _text(clone, "methods/train_modes.py")
    modes = modes.replace("torch.rand(x_natural.shape)", "(2 * torch.rand(x_natural.shape) - 1)")
    exec(between(modes, "def add_reg_train", "return loss"), space)
    theirs = network(0)
    assert isinstance(theirs, nn.Sequential)
    linear = theirs[-1]
    theirs[-1] = space["CosPlus_Classifier"](CLASSES, linear.in_features, scale=1, gamma=1 / 32)
    theirs[-1].weight.data.copy_(linear.weight.data)
    margins = space["MultiMarginLoss"](np.array(COUNTS), m=0.1, s=10, tau_b=1.5, tau_m=0.3)
    plain = torch.nn.functional.cross_entropy
    theirs.__dict__.update(loss=margins, adv_loss=plain, nat_loss=plain, num_classes=CLASSES)
    weights = {"beta_adv": 1.0, "beta_nat": 0.0, "beta_reg": 6.0, "reg_opt": "trades"}
    return _stepped(
        ours,
        theirs,
        lambda optimizer: space["add_reg_train"](theirs, ours.x, ours.y, optimizer, **_sets(ours), **weights),
    )


def robust_lt(clone: Clone) -> Found:
    """Take a step of RobustLT around AT-BSL in epoch 41 of 100, and compare eps of classes."""
    ours = Ours.of("robust-lt", COUNTS)
    counts = torch.tensor(COUNTS)
    rule = parts_of(ours.config).rule
    _, knobs = rule(rule.initial(CLASSES)[0], ClassStats(epoch=40, class_counts=counts, seen={}))
    ours.taken(knobs)
    space = names() | {"np": np, "types": types}
    utils = _text(clone, "core/methods/utils.py", drawn="input.shape, self.epsilon")
    for text in (utils, _without_imports(clone, "atbsl"), _without_imports(clone, "robustlt")):
        exec(text, space)
    space["BASE_METHOD_DICT"] = {"atbsl": space["ATBSL"]}
    own = ours.config.attack
    method = space["robustlt"](
        "atbsl",
        robustlt_alpha=0.3,
        robustlt_beta=0.8,
        samples_per_class=counts,
        num_batches=1,
        num_epochs=100,
        **_sets(ours),
    )
    method.current_epoch = 41
    theirs = network(0).train()
    torch.manual_seed(SEED)
    method(model=theirs, wa_model=None, optimizer=ours.optimizer(theirs), input=ours.x, target=ours.y)
    assert own.steps == method.perturb_steps
    return {
        "weights after a step": _differ(ours.model, theirs),
        "eps of classes": float((method.classwise_epsilon - knobs["eps"]).abs().max()),
    }


def _without_imports(clone: Clone, name: str) -> str:
    lines = _text(clone, f"core/methods/{name}.py").splitlines()
    return "\n".join(line for line in lines if not line.startswith("from ."))


CONFUSION = torch.tensor([[60, 25, 10, 5], [20, 30, 40, 10], [10, 5, 80, 5], [30, 30, 10, 30]])
NEEDED = (
    *("def expand_per_sample", "def build_log_prior", "def adjusted_ce_each", "def weighted_mean"),
    *("def pgd_adversary", "def trades_adversary", "def build_class_betas", "def compute_cpb_eps"),
)


def _cgr(clone: Clone, method: str, base: str, hinge: float) -> Found:
    """Take one step after a look at validation images, and compare what the look changed."""
    ours = Ours.of(method, COUNTS)
    counts = torch.tensor(COUNTS)
    features = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(SEED))
    robust = CONFUSION.diag() / CONFUSION.sum(dim=1)
    rule = parts_of(ours.config).rule
    seen = Tally(
        total=CONFUSION.sum(dim=1),
        correct=CONFUSION.diag(),
        sums={TAKEN_FOR: CONFUSION, "features": features * CONFUSION.sum(dim=1, keepdim=True)},
    )
    state, _ = rule.initial(CLASSES)
    for epoch in (10, 20):
        stats = ClassStats(epoch=epoch, class_counts=counts, seen={"feedback": seen})
        state, knobs = rule(state, stats)
    ours.taken(knobs)

    space = _of_cgr(clone)
    args = Namespace(
        base_algorithm=base, use_balanced_ce=True, prior_tau=1.0, margin_lambda=hinge, margin_m=0.5,
        use_cgr_margin=True, use_feedback_weight=True, conf_lambda=0.5, feedback_momentum=0.8,
        weight_lambda=1.0, weight_max=3.0, head_gamma=0.5, graph_eps=1e-6, geometry_gamma=1.0, graph_topk=3,
        graph_momentum=0.8, use_classwise_beta=True, beta=4.0, beta_lambda=0.5, beta_min_scale=0.5,
        beta_max_scale=2.0, weight_natural=False, epsilon=ours.config.attack.eps,
        pgd_step_size=ours.config.attack.step_size.value, pgd_num_steps=10,
    )  # fmt: skip
    look = {"robust_acc_per_class": robust, "confusion": CONFUSION, "feature_centers": features}
    score, graph = torch.ones(CLASSES), torch.zeros(CLASSES, CLASSES)
    for _ in range(2):
        score, weights = space["update_feedback"](args, look, score, "cpu")
        graph = space["update_confusion_geometry_graph"](args, look, COUNTS, graph, "cpu")
    eps = space["compute_cpb_eps"](COUNTS, args.epsilon, 0.3, "cpu") * (20 / (0.8 * 110))
    betas = space["build_class_betas"](args, score)
    theirs = network(0)
    prior = space["build_log_prior"](COUNTS, "cpu")

    def loss(optimizer: torch.optim.SGD) -> Tensor:
        of_classes = (eps, weights, betas, graph, prior)
        return space["cgr_lt_loss"](theirs, ours.x, ours.y, optimizer, args, *of_classes)[0]

    found = dict(_stepped(ours, theirs, loss))
    pairs: Mapping[str, Tensor] = {"eps": eps, "weight": weights, "graph": graph, "beta": betas}
    for name, value in pairs.items():
        if name in knobs:
            found[f"{name} of classes"] = float((knobs[name] - value).abs().max())
    return found


def _of_cgr(clone: Clone) -> dict[str, Any]:
    text = _text(clone, "CGR_LT.py")
    space = names() | {"np": np, "is_robal": lambda args: False, "is_advanced_base": lambda args: False}
    for first in NEEDED:
        exec(_function(text, first), space)
    for first in ("def pairwise_margin_loss", "def cgr_lt_loss", "def update_feedback"):
        exec(_function(text, first), space)
    exec(_function(text, "def update_confusion_geometry_graph"), space)
    return space


def _function(text: str, first: str) -> str:
    """Cut a function from a script, up to the next one."""
    start = text.index(first)
    ends = [end for word in ("\ndef ", "\nclass ") if (end := text.find(word, start + 1)) > 0]
    return text[start : min(ends)]


COMPARISONS: Mapping[str, tuple[str, Callable[[Clone], Found]]] = {
    "at-bsl": ("NISPLab/AT-BSL", at_bsl),
    "cgr": ("Mengnan-Zhao-Happy/CGRm", lambda clone: _cgr(clone, "cgr", "at", 0.05)),
    "reat": ("GuanlinLee/REAT", reat),
    "robal": ("wutong16/Adversarial_Long-Tail", robal),
    "robust-lt": ("zhang-lilin/RobustLT", robust_lt),
    "taet": (
        "BuhuiOK/TAET-Two-Stage-Adversarial-Equalization-Training-on-Long-Tailed-Distributions",
        taet,
    ),
    "trades-cgr": ("Mengnan-Zhao-Happy/CGRm", lambda clone: _cgr(clone, "trades-cgr", "trades", 0.1)),
}
