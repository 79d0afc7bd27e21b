"""One batch of an evaluation: predicted as it is, or attacked and judged."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from cfa.attacks import (
    Attack,
    ImageNoise,
    Member,
    finds_minimum,
    one_gradient_a_pass,
    starts_per_image,
)
from cfa.data import Images, to_float
from cfa.evaluation import findings as said
from cfa.evaluation.judge import Judgement, judge, largest_length
from cfa.evaluation.keeper import Keeper
from cfa.evaluation.meter import Meter
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.scratch import Part
from cfa.models import require_finite
from cfa.models.replayed_network import ReplayedNetwork


class Batches:
    """Computes what becomes of single batches of the evaluated images; remembers nothing."""

    def __init__(
        self, model: nn.Module, meter: Meter, images: Images, positions: np.ndarray, plan: EvaluationPlan
    ) -> None:
        """Take what is attacked and how.

        Args:
            model: Maps images in [0, 1] to logits.
            meter: Counts the model's forward passes.
            images: What is attacked, on the model's device.
            positions: Where the images are in the test part.
            plan: What to do.
        """
        self._raw, self._meter, self._plan = model, meter, plan
        self._images, self._positions = images, positions

    @property
    def image_bytes(self) -> int:
        """Bytes of an image in float32."""
        return 4 * self._images.images[0].numel()

    def predict(self, members: np.ndarray) -> Part:
        """Predict images as they are.

        Args:
            members: Their positions among those evaluated, ascending.

        Raises:
            CheckpointError: The model does not answer with finite logits.
        """
        before = self._meter.done
        with torch.no_grad():
            logits = self._meter(to_float(self._of(members).images))
        require_finite(logits, self._raw)
        nothing = np.zeros(0, np.float32)
        predicted = logits.argmax(dim=1).cpu().numpy().astype(np.int16)
        return Part(predicted, nothing, nothing.astype(np.int32), nothing, self._meter.done - before)

    def attack(self, attack: Attack, eps: float, batch: int, members: np.ndarray, keeper: Keeper) -> Part:
        """Attack images, judge what comes back, and choose which of it to keep.

        Args:
            attack: What is run.
            eps: Budget.
            batch: The batch's number, which seeds what is random.
            members: Positions of its images among those evaluated, ascending.
            keeper: Chooses among the adversarial images.
        """
        images, before = self._of(members), self._meter.done
        heard, x = said.WarningListener(), to_float(images.images)
        x_adv = self._perturbed(attack, x, images.labels, eps, batch, members, heard)
        predicted, verdict, length = self._judged(attack, eps, x, x_adv, images.labels)
        label = images.labels.cpu().numpy()
        changed = (verdict.allowed & (verdict.length > 0)).cpu().numpy()
        if finds_minimum(attack):
            changed &= predicted != label
        kept = keeper.choose(label, predicted, changed, self.image_bytes)
        return Part(
            predicted,
            length,
            kept,
            x_adv[torch.from_numpy(kept).long().to(x.device)].clamp(0, 1).float().cpu().numpy(),
            self._meter.done - before,
            int((~verdict.allowed).sum()),
            heard.zero_gradients(),
        )

    def attack_again(
        self, attack: Attack, eps: float, batch: int, members: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Attack images as :meth:`attack` does; return the adversarial ones, float32, and their classes."""
        images = self._of(members)
        x = to_float(images.images)
        x_adv = self._perturbed(attack, x, images.labels, eps, batch, members, said.WarningListener())
        predicted, _, _ = self._judged(attack, eps, x, x_adv, images.labels)
        return x_adv.clamp(0, 1).float().cpu().numpy(), predicted

    def _of(self, members: np.ndarray) -> Images:
        return self._images.subset(torch.from_numpy(members))

    def _perturbed(
        self,
        attack: Attack,
        x: Tensor,
        y: Tensor,
        eps: float,
        batch: int,
        members: np.ndarray,
        heard: said.WarningListener,
    ) -> Tensor:
        """Attack one batch; an image's start depends on the plan's seed and on its place in the test part."""
        seed = self._plan.seed * 1_000_003
        noise = torch.Generator(device=x.device)
        with self._replaying(attack):
            if self._plan.starts == "image" and starts_per_image(attack):
                seeds = [seed + place for place in self._positions[members].tolist()]
                return attack(self._meter, x, y, eps, generator=ImageNoise.seeded(seeds))
            if isinstance(attack, Member):
                noise.manual_seed(self._plan.seed)  # pyautoattack seeds every batch alike
                return attack(self._meter, x, y, eps, generator=noise, logger=heard)
            noise.manual_seed(seed + batch)
            return attack(self._meter, x, y, eps, generator=noise)

    def _replaying(self, attack: Attack) -> AbstractContextManager[None]:
        """Let the model's passes be replayed where it can do that and the attack allows it."""
        model = self._meter.model
        if isinstance(model, ReplayedNetwork):
            return model.replaying(one_gradient_a_pass(attack))
        return nullcontext()

    def _judged(
        self, attack: Attack, eps: float, x: Tensor, x_adv: Tensor, y: Tensor
    ) -> tuple[np.ndarray, Judgement, np.ndarray]:
        """Return the classes that count, the whole judgement, and a minimum-norm attack's norms."""
        norm, minimum = self._plan.norm, finds_minimum(attack)
        verdict = judge(self._meter, x, x_adv, norm, np.inf if minimum else eps)
        predicted, length = verdict.predicted.cpu().numpy(), np.zeros(0)
        if minimum:
            label = y.cpu().numpy()
            length = np.where(predicted != label, verdict.length.cpu().numpy(), np.inf)
            # Only images that are right were attacked: where the budget does not suffice, they stay right.
            predicted = np.where(length <= largest_length(norm, eps), predicted, label)
        return predicted.astype(np.int16), verdict, length
