"""Class-wise methods beside their authors' scripts, for `authors.py`."""

import random
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from author_steps import CLASSES, SEED, Clone, Found, Ours, between, names, network
from torch import Tensor, nn

PIXELS = "(-1, 1, 6, 6)"


def _sets(ours: Ours) -> dict[str, Any]:
    """Give what functions of an attack are called with."""
    own = ours.config.attack
    return {"step_size": own.step_size.value, "epsilon": own.eps}


def _step(theirs: nn.Module, ours: Ours, loss: Callable[[], Tensor]) -> Found:
    """Take a step of SGD on their loss, and compare weights."""
    optimizer = ours.optimizer(theirs)
    torch.manual_seed(SEED)
    value = loss()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return {"weights after a step": ours.weights_differ(theirs)}


def wat(clone: Clone) -> Found:
    """Take one step of WAT, and weigh classes by two epochs of losses."""
    weights = torch.tensor([0.7, 1.2, 0.5, 0.9, 0.7])
    ours = Ours.of("wat")
    ours.taken({"weight": weights[:-1], "mean_weight": weights[-1].expand(CLASSES)})
    theirs, text = network(0), clone.text("worst_class_adversarial_train.py")
    args = Namespace(class_num=CLASSES, beta=6.0, alg="wat", eta=0.1, epochs=2)
    space = names() | {
        "args": args,
        "nat_class_weights": weights,
        "bndy_class_weights": weights,
        "data": ours.x,
        "target": ours.y,
    }
    exec(between(clone.text("attack_generator.py"), "def trades(", "return"), space)
    for first in ("def TRADES_loss", "def TRADES_classwise_loss"):
        exec(between(text, first, "return"), space)

    def loss() -> Tensor:
        attacked = space["trades"](
            theirs,
            ours.x,
            ours.y,
            num_steps=10,
            loss_fn="trades",
            category="trades",
            rand_init=True,
            **_sets(ours),
        )
        theirs.train()
        space.update(natural_logits=theirs(ours.x), adv_logits=theirs(attacked))
        exec(between(text, "iter_nat_loss, iter_bndy_loss", "loss += TRADES_loss"), space)
        value: Tensor = space["loss"]
        return value

    return _step(theirs, ours, loss) | {"weights of classes": _weights_by_losses_differ(text, args)}


def _weights_by_losses_differ(text: str, args: Namespace) -> float:
    """Weigh by the losses of two epochs of 128 validation images, a full batch of theirs."""
    from cfa.methods import ClassStats, Tally
    from cfa.methods.catalogue.wat import VALIDATION_KL, CumulatedLosses

    total = torch.full((CLASSES,), 128 // CLASSES)
    sums = torch.rand(2, CLASSES, generator=torch.Generator().manual_seed(SEED)) * 100
    costs = torch.zeros(2, CLASSES + 1)
    rule = CumulatedLosses(eps=0.031, eta=args.eta)
    state, knobs = rule.initial(CLASSES)
    space = names() | {"args": args, "wat_valid_nat_cost": costs, "wat_valid_bndy_cost": 0 * costs}
    space["wat_valid_cost"] = 0 * costs
    for epoch in range(2):
        of_all = torch.cat([sums[epoch], sums[epoch].sum()[None] / CLASSES])
        costs[epoch] = of_all / 128 * CLASSES
        space["epoch"] = epoch
        exec(between(text, "for i in range(args.class_num+1):", "bndy_class_weights"), space)
        seen = {VALIDATION_KL: Tally(total=total, correct=total, sums={"loss": sums[epoch]})}
        state, knobs = rule(state, ClassStats(epoch=epoch + 1, class_counts=total, seen=seen))
    ours = torch.cat([knobs["weight"], knobs["mean_weight"][:1]])
    return float((ours - space["nat_class_weights"]).abs().max())


def cfol(clone: Clone) -> Found:
    """Take one step of CFOL on images that were drawn, and move the chances of classes by three batches."""
    ours = Ours.of("cfol")
    ours.taken({})
    theirs = network(0)

    class Attack:
        """What their attack takes from torchattacks: an untargeted attack maximises."""

        _targeted, device = -1, "cpu"

        def __init__(self, name: str, model: nn.Module) -> None:
            self.model = model

        def _transform_label(self, images: Tensor, labels: Tensor) -> Tensor:
            return labels

    space = names() | {"Attack": Attack}
    exec(between(clone.text("cfol/pgd.py"), "class PGD", "return best_x"), space)
    own = ours.config.attack

    def loss() -> Tensor:
        attack = space["PGD"](
            theirs.eval(), eps=own.eps, alpha=own.step_size.value, steps=own.steps, random_start=True
        )
        attacked = attack.forward(ours.x, ours.y)
        return nn.functional.cross_entropy(theirs.train()(attacked), ours.y)

    return _step(theirs, ours, loss) | {"chances of classes": _chances_differ(clone)}


def _chances_differ(clone: Clone) -> float:
    from cfa.methods.catalogue.cfol import ClassesOftenWrong

    space = names() | {"InMemoryDataset": Namespace, "Iterable": list}
    text = clone.text("cfol/class_sampler.py").replace("(Sampler[int])", "")
    exec(between(text, "class ClassSampler", "self.w = self.w + loss_vec"), space)
    noise = torch.Generator().manual_seed(SEED)
    y = torch.randint(CLASSES, (3, 32), generator=noise)
    wrong = torch.rand(3, 32, generator=noise) < 0.5
    data = type("Data", (Namespace,), {"__len__": lambda self: 8 * CLASSES})
    indices = [list(range(8))] * CLASSES
    theirs = space["ClassSampler"](data(num_classes=CLASSES, class_indices=indices), gamma=0.5)
    ours = ClassesOftenWrong(gamma=0.5, eta=0.05)
    state = ours.initial(torch.arange(CLASSES).repeat(8))
    for labels, errors in zip(y, wrong, strict=True):
        theirs.batch_update(labels, 0.05 * errors)
        state = ours.after(state, labels, ~errors)
    return float((ours.chances(state) - theirs.p).abs().max())


def dafa(clone: Clone) -> Found:
    """Take one step of DAFA around TRADES."""
    weights = torch.tensor([0.7, 1.3, 0.9, 1.1])
    return _dafa(
        clone,
        Ours.of("dafa"),
        "trades_loss",
        weights,
        lambda eps: {
            "eps": eps * weights,
            "clean_weight": weights,
            "robust_weight": torch.full((CLASSES,), 6.0),
        },
    )


def pgd_at_dafa(clone: Clone) -> Found:
    """Take one step of DAFA around PGD-AT."""
    weights = torch.tensor([0.7, 1.3, 0.9, 1.1])
    return _dafa(clone, Ours.of("pgd-at-dafa"), "madry_loss", weights, lambda eps: {"weight": weights})


def _dafa(
    clone: Clone, ours: Ours, name: str, weights: Tensor, knobs: Callable[[float], Mapping[str, Tensor]]
) -> Found:
    result = ours.taken(knobs(ours.config.attack.eps))
    theirs = network(0)
    text = clone.text("losses.py")
    space = names() | {"np": np}
    exec(between(text, f"def {name}", "return loss, loss_dict"), space)
    own = ours.config.attack
    args = Namespace(
        pgd_step_size=own.step_size.value,
        pgd_num_steps=own.steps,
        epsilon=own.eps,
        beta=6.0,
        n_class=CLASSES,
    )
    images = len(ours.y)
    memory = {"probs": np.zeros((images, CLASSES)), "labels": np.zeros(images)}

    def loss() -> Tensor:
        optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
        value, _ = space[name](theirs, ours.x, ours.y, optimizer, args, weights, torch.arange(images), memory)
        return torch.as_tensor(value)

    found = _step(theirs, ours, loss)
    probabilities = torch.tensor(memory["probs"])
    found = {**found, "probabilities": float((result.sums["probabilities"] - probabilities).abs().max())}
    return found | {"weights of classes": _weights_by_similarity_differ(clone, memory)}


def _weights_by_similarity_differ(clone: Clone, memory: Mapping[str, Any]) -> float:
    from cfa.methods.catalogue.dafa import class_weights

    space = names() | {"np": np}
    exec(between(clone.text("utils.py"), "def calculate_class_weights", "return class_weights"), space)
    theirs = space["calculate_class_weights"](memory, lamb=1.5)
    probabilities, y = torch.tensor(memory["probs"]), torch.tensor(memory["labels"])
    similarity = torch.stack([probabilities[y == k].mean(dim=0) for k in range(CLASSES)])
    return float((class_weights(similarity, 1.5) - torch.tensor(theirs)).abs().max())


def bat(clone: Clone) -> Found:
    """Take one step of BAT; both of their attacks begin with the same noise, as ours do."""
    ours = Ours.of("bat")
    ours.taken({})
    theirs = network(0)
    space = names() | {"np": np, "random": random}
    for which in ("lastclean", "firstadv"):
        text = clone.text(f"train_mode/stop_to_{which}.py").replace("(-1, 3, 32, 32)", PIXELS)
        exec(text[text.index("def stop_to") :], space)
    exec(between(clone.text("train.py"), "def BAT_loss", "return"), space)

    def loss() -> Tensor:
        more = {"randominit_type": "normal_distribution_randominit", "loss_fn": "kl", "perturb_steps": 10}
        more = {**more, **_sets(ours)}
        torch.manual_seed(SEED)
        inner, y, _, _ = space["stop_to_lastclean"](theirs, ours.x, ours.y, print_flag=False, **more)
        torch.manual_seed(SEED)
        outer, _, clean, _ = space["stop_to_firstadv"](theirs, ours.x, ours.y, tau=1, **more)
        theirs.train()
        logits = theirs(inner), theirs(outer), theirs(clean)
        terms = space["BAT_loss"](logits[1], logits[0], y, 6.0, logits[2])
        return torch.stack(terms).sum()

    return _step(theirs, ours, loss)


def csr(clone: Clone) -> Found:
    """Take one step of CSR as coded, and weigh pairs by what is counted."""
    from cfa.methods.catalogue.csr import WEIGHT, spectral_weights

    errors = torch.tensor([[0.0, 30, 5, 2], [50, 0, 10, 8], [5, 20, 0, 1], [7, 3, 9, 0]])
    text = clone.text("CIFAR10_TRADES_fairness/train_fair.py")
    space = names() | {"cmt": errors}
    exec(between(text, "u, s, v = torch.svd(cmt)", "gm = 2*"), space)
    pairs = space["gm"]
    difference = float((spectral_weights(errors) - pairs).abs().max())

    ours = Ours.of("csr", **{"method.correct_too": True})
    ours.taken({WEIGHT: pairs.T.contiguous()})
    theirs = network(0)
    loss_text = clone.text("CIFAR10_TRADES_fairness/trades_fair.py").replace(".to('cuda')", "")
    exec(between(loss_text, "def trades_loss", "return loss"), space)

    def loss() -> Tensor:
        optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
        value = space["trades_loss"](
            theirs, ours.x, ours.y, pairs, optimizer, perturb_steps=10, beta=6.0, **_sets(ours)
        )
        return torch.as_tensor(value)

    return _step(theirs, ours, loss) | {"weights of pairs": difference}


def faal(clone: Clone) -> Found:
    """Take one step of FAAL; their weights of classes need cvxpy, and are left out without it."""
    return _faal(clone, "faal", "AT")


def faal_trades(clone: Clone) -> Found:
    """Take one step of FAAL around TRADES."""
    return _faal(clone, "faal-trades", "TRADES")


def _faal(clone: Clone, method: str, name: str) -> Found:
    ours = Ours.of(method)
    ours.taken({})
    theirs = network(0)
    text = clone.text("ft_prn.py")
    for ten, four in (
        ("(10)", f"({CLASSES})"),
        ("batch_size =10", f"batch_size ={CLASSES}"),
        ("(y, 10)", f"(y, {CLASSES})"),
        ("(-1, 9)", f"(-1, {CLASSES - 1})"),
        ("'cuda'", "'cpu'"),
    ):
        text = text.replace(ten, four)
    space = names() | {
        "args": Namespace(loss=name, distance="kl"),
        "scale": 0.5,
        "criterion": nn.CrossEntropyLoss(reduction="none"),
        "normalize": lambda x, mu, std: x,
        "mu": 0,
        "std": 1,
        "DAW": _solver(clone),
        "X": ours.x,
        "y": ours.y,
        "model": theirs,
        "opt": torch.optim.SGD(theirs.parameters(), 0.1),
    }
    exec(between(text, "def cw(", "return margin_w"), space)

    def loss() -> Tensor:
        space["X_adv"] = _moved_by_ours(ours)
        theirs.train()
        exec(between(text, "opt.zero_grad()", "loss = (loss_kl*weights"), space)
        value: Tensor = space["loss"]
        return value

    return _step(theirs, ours, loss)


def _moved_by_ours(ours: Ours) -> Tensor:
    """Attack with our PGD from the start that the step had: theirs is plain PGD."""
    from cfa.methods import Batch, Knobs, parts_of

    eps = torch.full((CLASSES,), ours.config.attack.eps)
    knobs = Knobs(eps=eps)
    batch = Batch(
        x=ours.x,
        y=ours.y,
        index=torch.arange(len(ours.y)),
        knobs=knobs.at(ours.y),
        knobs_of_class=knobs,
        class_counts=torch.full((CLASSES,), 8),
        whole_y=ours.y,
    )
    noise = torch.Generator().manual_seed(SEED)
    return parts_of(ours.config).attack(network(0).train(), batch, noise).x_adv


def _solver(clone: Clone) -> Any:
    """Give their solver, with cvxpy's of today in the place of one that it no longer has."""
    import cvxpy

    today = {**vars(cvxpy), "ECOS": cvxpy.CLARABEL}
    space = names() | {"np": np, "cp": Namespace(**today)}
    exec(between(clone.text("FAAL.py"), "class DAW", "return torch.ones"), space)
    return space["DAW"]


COMPARISONS: Mapping[str, tuple[str, Callable[[Clone], Found]]] = {
    "bat": ("silvercherry/Improving-Robust-Fairness-via-Balance-Adversarial-Training", bat),
    "cfol": ("LIONS-EPFL/class-focused-online-learning-code", cfol),
    "csr": ("Alexkael/CONFUSIONAL-SPECTRAL-REGULARIZATION", csr),
    "dafa": ("rucy74/DAFA", dafa),
    "faal": ("TrustAI/FAAL", faal),
    "faal-trades": ("TrustAI/FAAL", faal_trades),
    "pgd-at-dafa": ("rucy74/DAFA", pgd_at_dafa),
    "wat": ("boqili/WAT", wat),
}
