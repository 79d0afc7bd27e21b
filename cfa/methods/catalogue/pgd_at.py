"""PGD-AT: cross-entropy on PGD examples."""

from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.interface import Attacked, Batch, Loss, Method, Model, NoSettings
from cfa.methods.rules import Uniform


def adversarial_cross_entropy(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv), y) (Madry et al. 2018, eq. 2.1)."""
    from torch.nn import functional as F

    logits_adv = model(attacked.x_adv)
    return Loss(per_sample=F.cross_entropy(logits_adv, batch.y, reduction="none"), logits_adv=logits_adv)


PGD_AT = Method(
    name="pgd-at",
    title="PGD-AT",
    summary="Cross-entropy on PGD examples (Madry et al. 2018)",
    source="Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018",
    year=2018,
    settings=NoSettings,
    objective=lambda settings, config: adversarial_cross_entropy,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    usual={"attack.start": "uniform", "attack.bn_mode": "train"},  # as PKU-ML/CFA attacks
    official_passes=("after-step",),
    official_arguments={"mode": "AT"},
)

OFFERED = (PGD_AT,)
