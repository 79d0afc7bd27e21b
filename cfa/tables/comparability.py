"""Whether two runs may be compared, and what a reader must know of both besides their methods.

Three kinds of things differ between two runs. Those with which a difference of accuracies says nothing about
the methods: no verdict then. Those that may be what makes the difference: said with the verdict. And the
method itself (loss, rule, training eps and attack, their constants): that is compared, and is not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cfa.config import RunConfig
from cfa.notation import format_eps
from cfa.runs.folder import Manifest


@dataclass(frozen=True)
class Protocol:
    """How a run was trained, apart from its method.

    Attributes:
        chosen_on: The images that chose its checkpoint; a model of others says nothing.
        conditions: What else may make a difference, with its value in words: ``(("network", ...), ...)``.
    """

    chosen_on: str
    conditions: tuple[tuple[str, str], ...]


NOT_KNOWN = Protocol("not known", ())
"""Of a run that cannot be read."""


@dataclass(frozen=True)
class Unlike:
    """Something in which two sides differ, in words."""

    what: str
    run: str
    baseline: str

    @property
    def in_words(self) -> str:
        """Say it."""
        return f"{self.what}: {self.run} against {self.baseline}"


def protocol_of(config: RunConfig, manifest: Manifest | None) -> Protocol:
    """Read how a run was trained from its settings and its manifest."""
    code = manifest.code_version if manifest else "not known"
    if config.is_external:
        how = (("network", config.model), ("training", "of others, not known"))
        return Protocol("not known", how)
    data, train, optimizer = config.data, config.train, config.optimizer
    drops = ", ".join(f"{milestone:.0%}" for milestone in optimizer.milestones) or "nowhere"
    conditions = (
        ("training data", config.dataset),
        ("network", config.model),
        ("augmentation", "on" if data.augment else "off"),
        ("batch size", f"{train.batch_size}" + _parts(train.batch_parts)),
        ("validation images", f"{data.val_fraction:.2%} of each class, {data.split_order} {data.split_seed}"),
        ("class imbalance", f"{data.imbalance_ratio:g}"),
        ("training budget", _budget(config, manifest)),
        ("initial weights", "random" if config.init is None else "of a trained network"),
        ("teacher", "none" if config.teacher is None else _teacher(config.teacher, manifest)),
        ("learning rate", f"{optimizer.lr:g}, times {optimizer.gamma:g} at {drops}"),
        ("weight decay", f"{optimizer.weight_decay:g}"),
        ("momentum", f"{optimizer.momentum:g}" + (", Nesterov" if optimizer.nesterov else "")),
        ("training arithmetic", train.precision),
        ("code", code),
    )
    return Protocol({"val": "validation", "test": "test"}[train.select_on], conditions)


def refusal(run: Sequence[Protocol], baseline: Sequence[Protocol]) -> str:
    """Say why two sides are not compared at all, as a sentence; empty where they are."""
    sides = [sorted({protocol.chosen_on for protocol in side}) for side in (run, baseline)]
    if {"validation", "test"} <= {*sides[0], *sides[1]}:
        ours, theirs = (" and ".join(side) for side in sides)
        return (
            f"Not comparable: its checkpoint was chosen on {ours} images, the other's on {theirs} images. "
            "Who chose on the images that are reported is ahead for that alone."
        )
    return ""


def unlike(run: Sequence[Protocol], baseline: Sequence[Protocol]) -> list[Unlike]:
    """List what differs between two sides besides the method; of several runs a side has several values."""
    names = dict.fromkeys(name for side in (run, baseline) for p in side for name, _ in p.conditions)
    found = []
    for name in names:
        ours, theirs = (
            list(dict.fromkeys(dict(protocol.conditions).get(name, "not known") for protocol in side))
            for side in (run, baseline)
        )
        if set(ours) != set(theirs) or len(ours) > 1:
            found.append(Unlike(name, " and ".join(ours), " and ".join(theirs)))
    return found


def unlike_settings(run: RunConfig, baseline: RunConfig) -> list[Unlike]:
    """List the settings of the method that both have and that differ: eps, attack, beta, averaging.

    A method is its plain version with something added; what both have is meant to be equal.
    """
    ours, theirs = run.flat(), baseline.flat()
    return [
        Unlike(name, _written(name, ours[name]), _written(name, theirs[name]))
        for name in ours
        if name.partition(".")[0] in ("attack", "averaging", "method")
        and "." in name
        and name in theirs
        and ours[name] != theirs[name]
    ]


def _written(name: str, value: object) -> str:
    return format_eps(value) if name.endswith(".eps") and isinstance(value, float) else str(value)


def _parts(parts: int) -> str:
    return f" in {parts} parts" if parts > 1 else ""


def _budget(config: RunConfig, manifest: Manifest | None) -> str:
    """Say how long a training is, and the passes of start, teacher and helper where they are known.

    How many passes an image takes in an epoch besides the attack's steps is the method's own, as its loss is.
    """
    origins = manifest.origins if manifest else {}
    named = {"init": ("start", config.init), "teacher": ("teacher", config.teacher)}
    asked = {setting: role for setting, (role, value) in named.items() if value is not None}
    known = {
        role: origins[setting].passes
        for setting, role in asked.items()
        if setting in origins and origins[setting].passes
    }
    rest = [f"those of its {role}" for role in asked.values() if role not in known]
    known |= {"helper": manifest.helper_epochs} if manifest and manifest.helper_epochs else {}
    more = [*(f"{passes:,} passes an image of its {role}" for role, passes in known.items()), *rest]
    said = f"{config.train.epochs:,} epochs with {config.attack.steps} attack steps"
    return " and ".join([said, *more])


def _teacher(reference: str, manifest: Manifest | None) -> str:
    """Name a teacher by what teachers of other seeds share with it."""
    card = manifest.teacher if manifest else None
    if card is None:
        return reference
    kept = " ".join(filter(None, (card.checkpoint, card.weights)))
    made_as = card.experiment if card.run_id else card.weights_hash
    named = ", ".join(filter(None, (card.method, card.model, kept)))
    return f"{named} ({made_as[:8]})"
