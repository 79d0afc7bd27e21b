"""What keeps two runs from being compared, what is said beside a verdict, and what is the method itself."""

import dataclasses

import pytest

from cfa.methods import configure
from cfa.runs.cards import OriginCard
from cfa.runs.folder import Manifest
from cfa.tables.comparability import protocol_of, refusal, unlike, unlike_settings

MANIFEST = Manifest("", "code 1", {}, "cpu", 1, "data", ("a", "b"), (9, 9), (1, 1), {})


def made(method="trades", manifest=MANIFEST, model="small-cnn", init=None, teacher=None, **settings):
    overrides = {name.replace("__", "."): value for name, value in settings.items()}
    config = configure(
        method, "fashion-mnist-mini", model=model, init=init, teacher=teacher, overrides=overrides
    )
    return protocol_of(config, manifest)


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("network", {"model": "resnet18"}),
        ("augmentation", {"data__augment": True}),
        ("batch size", {"train__batch_size": 64}),
        ("batch size", {"train__batch_parts": 2}),
        ("validation images", {"data__split_seed": 5}),
        ("validation images", {"data__val_fraction": 0.3}),
        ("class imbalance", {"data__imbalance_ratio": 10}),
        ("training budget", {"train__epochs": 2}),
        ("training budget", {"attack__steps": 3}),
        ("initial weights", {"init": "r1234"}),
        ("learning rate", {"optimizer__lr": 0.03}),
        ("weight decay", {"optimizer__weight_decay": 0.01}),
        ("momentum", {"optimizer__nesterov": True}),
        ("training arithmetic", {"train__precision": "bf16"}),
        ("teacher", {"method": "ard", "teacher": "r1234"}),
        ("training budget", {"method": "ard", "teacher": "r1234"}),
        ("code", {"manifest": dataclasses.replace(MANIFEST, code_version="code 2")}),
    ],
)
def test_what_may_make_the_difference_is_said_with_both_values(what, changed):
    one, other = made(), made(**changed)
    found = [unlike_ for unlike_ in unlike([other], [one]) if unlike_.what == what]
    assert len(found) == 1
    assert found[0].run != found[0].baseline
    assert not refusal([other], [one])
    assert one != other  # such runs are never chosen together


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "trades-cfa"},
        {"method": "pgd-at"},
        {"attack__eps": 4 / 255},
        {"attack__start": "none"},
        {"averaging__threshold": 0.3},
        {"method__beta": 3},
    ],
)
def test_the_method_itself_is_not_said(changed):
    assert unlike([made(**changed)], [made()]) == []


@pytest.mark.parametrize("ours", ["val", "test"])
def test_a_checkpoint_chosen_on_test_images_is_not_compared_with_one_that_was_not(ours):
    theirs = "test" if ours == "val" else "val"
    sides = [[made(train__select_on=split)] for split in (ours, theirs)]
    assert refusal(*sides).startswith("Not comparable: its checkpoint was chosen on ")
    assert not refusal(sides[0], sides[0])
    assert not refusal(sides[1], sides[1])


def test_settings_that_a_method_shares_with_its_plain_version_are_said_where_they_differ():
    def settings(method, **overrides):
        names = {name.replace("__", "."): value for name, value in overrides.items()}
        return configure(method, "fashion-mnist-mini", overrides=names)

    assert unlike_settings(settings("trades-cfa"), settings("trades")) == []
    found = unlike_settings(settings("trades-cfa"), settings("trades", attack__eps=2 / 255, method__beta=1))
    assert [(one.what, one.baseline) for one in found] == [("attack.eps", "2/255"), ("method.beta", "1.0")]


def test_teachers_are_told_apart_by_what_they_are_and_not_by_their_seed():
    def taught(number: int, experiment: str):
        card = OriginCard(
            name=f"trades-s{number}",
            model="resnet18",
            weights_hash=f"hash{number}",
            method="trades",
            run_id=f"r{number}",
            weights="online",
            checkpoint="best",
            experiment=experiment,
            passes=220,
        )
        return made("ard", dataclasses.replace(MANIFEST, teacher=card), teacher=f"r{number}")

    seeds = [taught(0, "first-experiment"), taught(1, "first-experiment")]
    assert unlike(seeds, seeds) == []
    (found,) = unlike(seeds, [taught(2, "other")])
    assert found.in_words == (
        "teacher: trades, resnet18, best online (first-ex) against trades, resnet18, best online (other)"
    )
    budget = dict(seeds[0].conditions)["training budget"]
    assert budget == "20 epochs with 10 attack steps and 220 passes an image of its teacher"


def test_seeds_that_were_not_trained_alike_are_said_too():
    seeds = [made(), made(manifest=dataclasses.replace(MANIFEST, code_version="code 2"))]
    (found,) = unlike(seeds, [made()])
    assert (found.what, found.run, found.baseline) == ("code", "code 1 and code 2", "code 1")
