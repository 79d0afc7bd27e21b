"""Frames of the engine, shaped for the screen: series with names, seeds merged, differences. Pure.

A *group* is what one bar or point stands for: a run, or several runs that differ only in their seed.
A *series* is a group with one kind of weights; its name is what the legend says.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from app import wording

WEIGHTS = ("online", "ema", "fawa", "file")
CLASS_GROUPS = ("head", "medium", "tail")
CONDITION = ["dataset", "checkpoint", "attack", "norm", "eps"]


@dataclass(frozen=True)
class ComparedRun:
    """A run as a comparison sees it; ``experiment`` is equal for runs that differ only in their seed."""

    run_id: str
    run_name: str
    method: str
    seed: int
    experiment: str


@dataclass(frozen=True)
class Group:
    """Runs that are shown as one."""

    key: str
    method: str
    title: str
    members: tuple[ComparedRun, ...]
    name: str = ""  # the title without the number of seeds

    @property
    def seeds(self) -> int:
        """Count its seeds; runs that repeat one are one seed."""
        return len({member.seed for member in self.members})


@dataclass(frozen=True)
class Condition:
    """What was measured: data set, checkpoint, attack and budget."""

    dataset: str
    checkpoint: str
    attack: str
    norm: str
    eps: float

    @property
    def key(self) -> str:
        """Say it as addresses do."""
        return f"{self.attack} {self.norm} {self.eps:.6g} {self.checkpoint} {self.dataset}"

    @property
    def title(self) -> str:
        """Say it in a few words."""
        attacked = wording.condition(self.attack, self.norm, self.eps)
        return f"{attacked} · {self.checkpoint} checkpoint · {self.dataset}"

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows that were measured like this."""
        wanted = (self.dataset, self.checkpoint, self.attack, self.norm, self.eps)
        chosen = pd.Series(True, frame.index)
        for column, value in zip(CONDITION, wanted, strict=True):
            chosen &= frame[column] == value
        return frame[chosen]


def conditions(per_class: pd.DataFrame) -> list[Condition]:
    """List what was measured, the strongest attack on most runs first.

    Attacked before clean, budgets that most attacks have before others, AutoAttack before many steps.
    """
    found = per_class.groupby(CONDITION, sort=False)["run_id"].nunique().reset_index()
    found["clean"] = (found["attack"] == "clean") | (found["norm"] == "none")
    found["last"] = found["checkpoint"] == "last"
    found["alike"] = found.groupby([name for name in CONDITION if name != "attack"])["attack"].transform(
        "size"
    )
    found["steps"] = found["attack"].map(_strength)
    order = found.sort_values(
        ["run_id", "clean", "last", "alike", "steps"], ascending=[False, True, True, False, False]
    )
    return [Condition(*row) for row in order[CONDITION].itertuples(index=False, name=None)]


def _strength(attack: str) -> int:
    """Rank attacks: AutoAttack first, then by their steps."""
    if attack.startswith("autoattack"):
        return 10_000
    steps = re.search(r"-(\d+)", attack)
    return int(steps[1]) if steps else 0


def epoch_summary(history: pd.DataFrame) -> pd.DataFrame:
    """Reduce per-class scores to ``weights, epoch, mean, worst, worst_class``; online, EMA, FAWA."""
    columns = ["weights", "epoch", "mean", "worst", "worst_class"]
    if history.empty:
        return pd.DataFrame(columns=columns)
    grouped = history.groupby(["weights", "epoch"], sort=True)["accuracy"]
    worst = history.loc[grouped.idxmin()].set_index(["weights", "epoch"])["class_name"]
    summary = pd.DataFrame(
        {"mean": grouped.mean(), "worst": grouped.min(), "worst_class": worst}
    ).reset_index()
    return _weights_in_order(summary)[columns]


def group_history(history: pd.DataFrame, groups: Sequence[str], sizes: Sequence[int]) -> pd.DataFrame:
    """Average a history over head, medium and tail classes, shaped as if each group were a class.

    Args:
        history: Columns ``epoch, class_index, accuracy``.
        groups: The group of each class.
        sizes: Training images of each class.
    """
    of_class = pd.Series(groups)
    words = {}
    for index, name in enumerate(CLASS_GROUPS):
        members = [size for size, group in zip(sizes, groups, strict=True) if group == name]
        span = f"{min(members):,} to {max(members):,} images"
        words[name] = (index, f"{name} ({wording.count(len(members), 'class', 'classes')}, {span})")
    grouped = history.assign(part=history["class_index"].map(of_class))
    means = grouped.groupby(["epoch", "part"], sort=False)["accuracy"].mean().reset_index()
    means["class_index"] = means["part"].map(lambda name: words[name][0])
    means["class_name"] = means["part"].map(lambda name: words[name][1])
    return means.sort_values(["class_index", "epoch"]).reset_index(drop=True)


def robust_attack(history: pd.DataFrame) -> str | None:
    """Return the attack of a history's scores that is neither clean nor the running training accuracy."""
    names = [name for name in history["attack"].unique() if name not in ("clean", "training")]
    return names[0] if names else None


def make_groups(
    members: Sequence[ComparedRun], title: Callable[[Sequence[ComparedRun]], str], *, merge_seeds: bool
) -> list[Group]:
    """Group runs for a comparison.

    Args:
        members: The runs, in the order chosen.
        title: Names the method of runs with the weights that they are reported with.
        merge_seeds: Show runs that differ only in their seed as one.
    """
    keys = [member.experiment if merge_seeds else member.run_id for member in members]
    grouped = {key: tuple(m for m, k in zip(members, keys, strict=True) if k == key) for key in keys}
    methods = [group[0].method for group in grouped.values()]
    groups = []
    for key, group in grouped.items():
        first = group[0]
        name = title(group) if methods.count(first.method) == 1 else first.run_name
        found = Group(key, first.method, name, group)
        seeds = f" ({wording.count(found.seeds, 'seed')})" if found.seeds > 1 else ""
        groups.append(replace(found, title=name + seeds, name=name))
    return groups


def class_scores(
    per_class: pd.DataFrame, groups: Sequence[Group], name: Callable[[str, str], str]
) -> pd.DataFrame:
    """Shape the per-class rows of one condition for bars.

    Returns:
        Columns ``group, title, series, weights, class_index, class_name, accuracy, low, high, seeds, images``
        (of the class, of each seed). One run has its 95 % interval, several seeds mean ± standard deviation
        over seeds.
    """
    grouped = _with_groups(per_class, groups, name)
    if grouped.empty:
        rest = ["class_index", "class_name", "accuracy", "low", "high", "seeds", "images"]
        return pd.DataFrame(columns=[*_KEYS, *rest])
    scores = grouped.groupby([*_KEYS, "class_index", "class_name"], sort=False).agg(
        accuracy=("accuracy", "mean"),
        spread=("accuracy", "std"),
        low=("ci_low", "min"),
        high=("ci_high", "max"),
        seeds=("_seed", "nunique"),
        images=("total", "min"),
    )
    return _in_order(_spread_over_seeds(scores.reset_index(), "accuracy", "low", "high"), groups)


def model_summary(
    summary: pd.DataFrame, groups: Sequence[Group], name: Callable[[str, str], str]
) -> pd.DataFrame:
    """Shape the summary rows of one condition for points and tables.

    Returns:
        Columns ``group, title, series, weights, mean, mean_low, mean_high, worst, worst_low, worst_high,
        worst_class, images, seeds``; intervals as in :func:`class_scores`. Where the summary has means over
        ``head``, ``medium`` and ``tail`` classes, these as well.
    """
    grouped = _with_groups(summary, groups, name)
    columns = {
        "mean": ("mean_accuracy", "mean"),
        "mean_spread": ("mean_accuracy", "std"),
        "mean_low": ("mean_ci_low", "min"),
        "mean_high": ("mean_ci_high", "max"),
        "worst": ("worst_accuracy", "mean"),
        "worst_spread": ("worst_accuracy", "std"),
        "worst_low": ("worst_ci_low", "min"),
        "worst_high": ("worst_ci_high", "max"),
        "worst_class": ("worst_class", lambda names: ", ".join(dict.fromkeys(names))),
        "images": ("total", "min"),
        "seeds": ("_seed", "nunique"),
        **{part: (part, "mean") for part in CLASS_GROUPS if part in grouped},
    }
    if grouped.empty:
        return pd.DataFrame(columns=[*_KEYS, *columns])
    models = grouped.groupby(_KEYS, sort=False).agg(**columns).reset_index()
    for measure in ("mean", "worst"):
        models = models.rename(columns={f"{measure}_spread": "spread"})
        models = _spread_over_seeds(models, measure, f"{measure}_low", f"{measure}_high")
    return _in_order(models, groups)


def fairness(
    frame: pd.DataFrame, groups: Sequence[Group], name: Callable[[str, str], str], columns: Sequence[str]
) -> pd.DataFrame:
    """Shape the fairness metrics of one condition for a table, averaged over seeds.

    Returns:
        Columns ``group, title, series, weights`` and ``columns``.
    """
    grouped = _with_groups(frame, groups, name)
    if grouped.empty:
        return pd.DataFrame(columns=[*_KEYS, *columns])
    means = grouped.groupby(_KEYS, sort=False)[list(columns)].mean()
    means = means.mask(means.abs() < 5e-4, 0.0)  # what rounds to nothing has no sign
    return _in_order(means.reset_index(), groups)


def with_own_weights(frame: pd.DataFrame, own: Mapping[str, str]) -> pd.DataFrame:
    """Add each group's own weights (FAWA for CFA, else online) once more, as the kind ``own``."""
    chosen = frame[frame["weights"] == frame["group"].map(own)]
    return pd.concat([frame, chosen.assign(weights="own")], ignore_index=True)


def hardest_classes(scores: pd.DataFrame, baseline: str, limit: int) -> list[int]:
    """List the classes that are hardest for the baseline, at most ``limit``, in class order."""
    base = scores[scores["group"] == baseline]
    ranked = (base if len(base) else scores).groupby("class_index")["accuracy"].mean().sort_values()
    return sorted(int(index) for index in ranked.index[:limit])


def setting_differences(settings: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Tabulate the settings in which runs differ: one row a setting, one column a run, as text."""
    names = dict.fromkeys(name for values in settings.values() for name in values)
    rows = {}
    for name in names:
        texts = {run: _setting_text(name, values.get(name)) for run, values in settings.items()}
        if len(set(texts.values())) > 1:
            rows[name] = texts
    return (
        pd.DataFrame.from_dict(rows, orient="index", columns=list(settings))
        .rename_axis("setting")
        .reset_index()
    )


def _setting_text(name: str, value: object) -> str:
    if value is None:
        return "–"
    if name in ("attack.eps", "method.eps_min", "method.eps_max") and isinstance(value, int | float):
        return wording.eps_255(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


_KEYS = ["group", "title", "series", "weights"]


def _with_groups(
    frame: pd.DataFrame, groups: Sequence[Group], name: Callable[[str, str], str]
) -> pd.DataFrame:
    group_of = {member.run_id: group for group in groups for member in group.members}
    known = frame[frame["run_id"].isin(group_of)].copy()
    known["_seed"] = known["run_id"].map({m.run_id: m.seed for group in groups for m in group.members})
    methods = [group.method for group in groups]
    labels = [
        (group.key, group.title, _series_name(group, weights, name, methods))
        for group, weights in zip(known["run_id"].map(group_of), known["weights"], strict=True)
    ]
    known[["group", "title", "series"]] = pd.DataFrame(
        labels, index=known.index, columns=["group", "title", "series"]
    )
    return known


def _series_name(group: Group, weights: str, name: Callable[[str, str], str], methods: Sequence[str]) -> str:
    seeds = f" ({group.seeds} seeds)" if group.seeds > 1 else ""
    own = f" · {group.members[0].run_name}" if methods.count(group.method) > 1 else ""
    return name(group.method, weights) + own + seeds


def _spread_over_seeds(frame: pd.DataFrame, middle: str, low: str, high: str) -> pd.DataFrame:
    """Replace intervals by mean ± standard deviation where there are several seeds."""
    several = frame["seeds"] > 1
    frame.loc[several, low] = (frame[middle] - frame["spread"]).clip(lower=0)[several]
    frame.loc[several, high] = (frame[middle] + frame["spread"]).clip(upper=1)[several]
    return frame.drop(columns="spread")


def _in_order(frame: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """Sort by the groups' order, then online, EMA, FAWA."""
    position = {group.key: index for index, group in enumerate(groups)}
    ranked = frame.assign(_group=frame["group"].map(position), _weights=frame["weights"].map(WEIGHTS.index))
    columns = ["_group", "_weights", *(["class_index"] if "class_index" in frame else [])]
    return ranked.sort_values(columns).drop(columns=["_group", "_weights"]).reset_index(drop=True)


def _weights_in_order(frame: pd.DataFrame) -> pd.DataFrame:
    order = frame["weights"].map({kind: index for index, kind in enumerate(WEIGHTS)})
    return (
        frame.assign(_order=order)
        .sort_values(["_order", "epoch"])
        .drop(columns="_order")
        .reset_index(drop=True)
    )
