"""Commands that list what names mean something here: methods, datasets, models, attacks."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cfa.commands.printing import print_list
from cfa.commands.shared import AsJson, command, command_group, open_store

group = command_group()


@command(group, "cfa methods")
def methods(as_json: AsJson = False) -> None:
    """List the training methods."""
    from cfa.methods import METHODS

    rows = [{"name": name, "title": m.title, "summary": m.summary} for name, m in METHODS.items()]
    print_list(rows, ("name", "summary"), as_json, "")


@command(group, "cfa datasets folder:pets", typed=("names",))
def datasets(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DATASET...]", help="These alone, such as folder:PATH.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the data sets, whether they are here, and what is taken for what in a folder."""
    from cfa.data import DATASETS, dataset_info

    store, _ = open_store()
    rows = [asdict(dataset_info(name, store.data_folder)) for name in names or DATASETS]
    shown = ("name", "title", "classes", "train_images", "test_images", "available", "how_to_get")
    print_list(rows, shown, as_json, "")
    for row in rows if not as_json else ():
        for said in row["notes"]:
            print(f"{row['name']}: {said}")


@command(group, "cfa models")
def models(as_json: AsJson = False) -> None:
    """List the networks."""
    from cfa.models import MODELS

    print_list(_documented(MODELS), ("name", "summary"), as_json, "")


@command(group, "cfa attacks")
def attacks(as_json: AsJson = False) -> None:
    """List the attacks."""
    from cfa.attacks import ATTACKS, CLEAN

    rows = [{"name": CLEAN, "summary": "no attack"}, *_documented(ATTACKS)]
    print_list(rows, ("name", "summary"), as_json, "")


def _documented(registry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List a registry's names with the first line of what they are, where they say it."""
    return [
        {"name": name, "summary": (getattr(item, "__doc__", "") or "").strip().partition("\n")[0]}
        for name, item in registry.items()
    ]
