"""FAT: PGD-AT whose training attack stops soon after an image is misclassified."""

from typing import Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, around_pgd
from cfa.methods.catalogue.pgd_at import PGD_AT, adversarial_cross_entropy
from cfa.methods.interface import Method, OfficialArgument
from cfa.methods.rules import Uniform


class FatSettings(Settings):
    """FAT's one constant."""

    tau: Annotated[
        int,
        Field(
            ge=0, description="FAT: steps that a sample still takes once it is misclassified.", examples=[3]
        ),
        OfficialArgument("tau"),
    ]


def friendly_attack(settings: FatSettings, config: RunConfig) -> WithinEps:
    """Build the attack that stops early, with the official code's loop where that is asked for."""
    from cfa.attacks import FriendlyPGD, OfficialFriendlyPGD

    kind = OfficialFriendlyPGD if config.train.official_passes else FriendlyPGD
    return WithinEps(around_pgd(kind, config, "cross-entropy", tau=settings.tau))


FAT = Method(
    name="fat",
    title="FAT",
    summary="PGD-AT that stops tau steps after a sample is misclassified (Zhang et al. 2020)",
    source="Zhang et al., Attacks Which Do Not Kill Training Make Adversarial Learning Stronger, ICML 2020",
    year=2020,
    settings=FatSettings,
    objective=lambda settings, config: adversarial_cross_entropy,
    attack=friendly_attack,
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    usual=PGD_AT.usual,
    presets={name: {"method.tau": 3} for name in ("paper", "official-code", "demo")},
    official_passes=("after-step",),
    official_arguments={"mode": "FAT"},
)

OFFERED = (FAT,)
