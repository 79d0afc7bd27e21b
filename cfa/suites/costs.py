"""What a suite will take on this machine: each kind of training and evaluation is measured once."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cfa.config import RunConfig
from cfa.suites.planned import PlannedEvaluation
from cfa.training.estimate import Estimate

if TYPE_CHECKING:
    import torch

    from cfa.data import DatasetInfo
    from cfa.evaluation import EvaluationPlan

PROBE_ON_CPU, PROBE_ON_GPU = 4, 256  # images; the cost of an image hardly depends on it there
BYTES_PER_OUTCOME = 4  # an image's row in the outcomes, per attack (Parquet, compressed)


@dataclass
class SuiteCosts:
    """Estimates by configuration; what does not change the cost does not lead to another measurement."""

    data_folder: Path
    device: "torch.device"
    _trainings: dict[str, Estimate] = field(default_factory=dict)
    _evaluations: dict[object, float] = field(default_factory=dict)

    def training(self, config: RunConfig, teacher: str = "") -> Estimate:
        """Estimate a training with its closing test.

        Args:
            config: What is trained.
            teacher: The network of its teacher; by default its own.

        Raises:
            DataError: The data set cannot be described, or has no training images.
        """
        from cfa.training import estimate_seconds

        alike = _alike(config)
        key = f"{alike.key()} {teacher}"
        if key not in self._trainings:
            found = estimate_seconds(alike, self._info(config), self.device, teacher)
            self._trainings[key] = found
        return self._trainings[key]

    def evaluation(self, wanted: PlannedEvaluation) -> tuple[float, int]:
        """Estimate seconds and bytes of an evaluation; at most so many, since broken images leave early.

        Raises:
            DataError: The data set cannot be described.
        """
        config, info, plan = wanted.run.config, self._info(wanted.run.config), wanted.plan
        images = min(plan.limit or info.test_images, info.test_images)
        key = (config.dataset, config.model, plan.attacks, plan.norm)
        if key not in self._evaluations:
            self._evaluations[key] = self._seconds_per_image(config, info, plan)
        rows = images * len(plan.attacks) * BYTES_PER_OUTCOME
        size_of_image = info.channels * info.image_size**2
        pictures = min(plan.keep_megabytes * 1e6, images * len(plan.attacks) * size_of_image * 4)
        return images * self._evaluations[key], rows + int(pictures)

    def _info(self, config: RunConfig) -> "DatasetInfo":
        from cfa.data import dataset_info

        return dataset_info(config.dataset, self.data_folder)

    def _seconds_per_image(self, config: RunConfig, info: "DatasetInfo", plan: "EvaluationPlan") -> float:
        from cfa.evaluation import estimate_evaluation_seconds
        from cfa.methods import METHODS
        from cfa.models import ModelSpec, build_model

        mean, std = (0.5,) * info.channels, (0.25,) * info.channels
        head = METHODS[config.method].head
        spec = ModelSpec(info.channels, info.classes, info.image_size, mean, std, head)
        model = build_model(config.model, spec, seed=0).to(self.device)
        images = PROBE_ON_CPU if self.device.type == "cpu" else PROBE_ON_GPU
        shape = (info.channels, info.image_size, info.image_size)
        probe = dataclasses.replace(plan, batch_size=images)
        return estimate_evaluation_seconds(model, shape, images, info.classes, probe, self.device) / images


def _alike(config: RunConfig) -> RunConfig:
    """Return a configuration that costs the same: without seed and start, the plain one of as many passes."""
    from cfa.methods import METHODS

    alike = config.model_copy(update={"seed": 0, "init": None, "teacher": None})
    if config.method not in METHODS:
        return alike
    plain = METHODS[config.method].compared_with
    if METHODS[plain].forward != METHODS[config.method].forward:
        return alike
    own = METHODS[plain].settings.model_fields
    settings = {name: value for name, value in config.method_settings.items() if name in own}
    attack = config.attack.model_copy(update={"eps": 8 / 255})
    return alike.model_copy(update={"method": plain, "method_settings": settings, "attack": attack})
