"""Fair-RSLAD: RSLAD in which classes that an attack breaks after few steps weigh more, in both terms.

The code (NISP-official/Fair-ARD, 910c8cd) adds nothing to the steps before it inverts them, so that a class
that is never right gives no number; ours adds 1e-5 as Fair-ARD does, which changes no weight by 1e-5 else.
"""

from dataclasses import replace

from cfa.methods.catalogue.fair_ard import (
    FAIR_ARD,
    WEIGHT_LABELS,
    WeighingSettings,
    WeighsShortLived,
    weighted,
)
from cfa.methods.catalogue.rslad import RSLAD, RsladSettings, soft_labels
from cfa.methods.interface import Attacked, Batch, Loss, Model


class FairRsladSettings(RsladSettings, WeighingSettings):
    """RSLAD's share, and how classes are weighed."""


def fair_soft_labels(robust_share: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return RSLAD's loss, both terms, times the weight of the class."""
    return weighted(soft_labels(robust_share, model, batch, attacked), batch)


FAIR_RSLAD = replace(
    RSLAD.taking(FairRsladSettings),
    name="fair-rslad",
    title="Fair-RSLAD",
    summary="RSLAD with weights of classes by the attack steps that they survive (Yue et al. 2023)",
    source=FAIR_ARD.source,
    year=FAIR_ARD.year,
    objective=lambda settings, config: lambda *of_step: fair_soft_labels(settings.robust_share, *of_step),
    rule=lambda settings, config: WeighsShortLived(config.attack.eps, settings),
    plain="rslad",
    knobs=WEIGHT_LABELS,
    presets={"authors": {**RSLAD.presets["authors"], "optimizer.nesterov": True}},
)

OFFERED = (FAIR_RSLAD,)
