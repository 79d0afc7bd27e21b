"""Commands that list what names mean something here: methods, datasets, models, attacks."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfa.commands.printing import print_json, print_list, print_table, say
from cfa.commands.shared import AsJson, command, command_group, open_store

if TYPE_CHECKING:
    from cfa.methods import Method

group = command_group()


@command(group, "cfa methods trades-cfa", typed=("names",))
def methods(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD...]", help="These alone, with their settings; also module:name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the training methods, or say what one is and can be set to."""
    from cfa.methods import METHODS

    if names:
        _describe_methods({name: METHODS[name] for name in names}, as_json)
        return
    rows = [{"name": name, "title": m.title, "summary": m.summary} for name, m in METHODS.items()]
    print_list(rows, ("name", "summary"), as_json, "")


def _describe_methods(found: "Mapping[str, Method[Any]]", as_json: bool) -> None:
    documents = [_described(name, method) for name, method in found.items()]
    if as_json:
        print_json(documents)
        return
    for number, document in enumerate(documents):
        if number:
            say("")
        for word in ("name", "title", "summary", "source", "compared_with", "reported_with"):
            say(f"{word.replace('_', ' ')}: {document[word]}")
        rows = [
            (one["name"], "by preset" if one["needed"] else one["default"] or "none", one["meaning"])
            for one in document["settings"]
        ]
        print_table(rows, ("setting", "default", "meaning"), "no settings of its own")


def _described(name: str, method: "Method[Any]") -> dict[str, Any]:
    from cfa.methods import own_settings

    fields = method.settings.model_fields
    settings = [
        {
            "name": dotted,
            "needed": field.is_required(),
            "default": None if field.is_required() else field.default,
            "meaning": meaning,
        }
        for (dotted, meaning), field in zip(own_settings(method).items(), fields.values(), strict=True)
    ]
    return {
        "name": name,
        "title": method.reported_title or " + ".join((method.title, *method.adds)),
        "summary": method.summary,
        "source": method.source,
        "year": method.year,
        "compared_with": method.compared_with,
        "reported_with": method.reported_with,
        "settings": settings,
    }


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
