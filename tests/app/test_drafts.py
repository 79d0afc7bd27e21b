"""What the form on Train says, and the trainings it comes to."""

import shlex

import pytest
from typer.testing import CliRunner

from app import drafts
from app.drafts import Draft
from app.engine import training_settings
from cfa import commands
from cfa.errors import ConfigError, UnknownName
from cfa.runs.store import Store


def draft(**changes):
    usual = {
        "methods": ("trades-cfa",),
        "dataset": "fashion-mnist-mini",
        "model": "small-cnn",
        "preset": "demo",
    }
    return Draft(**{**usual, **changes})


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", (0,)), ("0, 1, 2", (0, 1, 2)), ("3-5", (3, 4, 5)), ("2 1", (2, 1)), ("0-1,7", (0, 1, 7))],
)
def test_seeds_are_read(text, seeds):
    assert drafts.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1.5", "0-1000", "0x1"])
def test_what_is_no_seed_is_an_error_that_says_so(text):
    with pytest.raises(ConfigError, match="seed"):
        drafts.parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [("0,0,0", "0"), ("2 1 2", "2"), ("0-3, 2, 3", "2, 3")],
    ids=["thrice", "twice", "in a range"],
)
def test_a_seed_that_is_named_twice_is_refused_by_its_number(text, named):
    with pytest.raises(ConfigError, match=f"^seeds '{text}' names seed {named} more than once"):
        drafts.parse_seeds(text)


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({}, 1),
        ({"seeds": (0, 1, 2)}, 3),
        ({"methods": ("pgd-at", "trades")}, 2),
        ({"settings": {"method.lambda_eps": "0.3,0.5", "attack.eps": "8/255, 15/255"}}, 4),
        # PGD-AT has no lambda: its grid is one run.
        ({"methods": ("pgd-at", "trades-cfa"), "settings": {"method.lambda_eps": "0.3,0.5"}}, 3),
        # Writing the preset's own value makes no second experiment.
        ({"settings": {"train.epochs": "20,20"}}, 1),
    ],
)
def test_every_combination_is_one_run(changes, runs):
    configs = draft(**changes).configurations()
    assert len(configs) == runs
    assert len({config.key() for config in configs}) == runs


def test_values_reach_the_configuration():
    (config,) = draft(
        settings={"attack.eps": "8/255", "averaging.gate": "mean", "train.epochs": "3"}
    ).configurations()
    assert config.attack.eps == pytest.approx(8 / 255)
    assert (config.averaging.gate, config.train.epochs) == ("mean", 3)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"settings": {"attack.eps": "9"}}, ConfigError, "attack.eps"),
        ({"settings": {"train.epochs": "many"}}, ConfigError, "train.epochs"),
        ({"methods": ("trades-cfaa",)}, UnknownName, "trades-cfa"),
        ({"preset": "papers"}, UnknownName, "paper"),
    ],
)
def test_bad_values_are_one_sentence(changes, error, words):
    with pytest.raises(error, match=words):
        draft(**changes).configurations()


def test_preset_values_name_the_methods_where_they_differ():
    both = draft(methods=("pgd-at-cfa", "trades-cfa"), preset="paper")
    values = both.preset_values()
    assert values["method.lambda_eps"] == "0.5 (pgd-at-cfa), 0.3 (trades-cfa)"
    assert values["method.beta"] == "6.0"  # only TRADES has one
    assert values["attack.eps"] == "8/255"
    assert "method.tau" not in values


def test_changes_stand_beside_the_preset():
    changes = draft(settings={"train.epochs": "3"}).changes()
    assert changes.to_dict("records") == [{"setting": "train.epochs", "preset": "20", "yours": "3"}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("attack.norm", ("linf", "l2")),
        ("train.compile", ("false", "true")),
        ("attack.eps", ()),
        ("method.beta", ()),
        ("optimizer.milestones", ()),
    ],
)
def test_settings_with_few_values_offer_them(name, expected):
    assert drafts.choices(name, ["pgd-at", "trades"]) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"attack.eps": "8/255", "attack.step_size": "eps/8", "optimizer.milestones": "0.3;0.6"},
        {"train.compile": "true", "averaging.gate": "tail", "method.eps_max": "20/255", "train.epochs": "3"},
    ],
)
def test_a_run_can_be_written_back_into_the_form(settings):
    """New run from this one: configuration to form and back is the same experiment."""
    (config,) = draft(settings=settings).configurations()
    differences = training_settings.config_differences(config)
    assert set(differences) == set(settings)
    again = {name: drafts.setting_text(name, own) for name, (_, own) in differences.items()}
    assert draft(settings=again).configurations() == [config]


def test_each_wrong_setting_is_named_and_none_that_is_right():
    typed = {
        "attack.eps": "9",
        "train.epochs": "3, many",
        "train.batch_size": "64",
        "train.batch_parts": "128",
        "optimizer.lr": "0.1, 0.2",
    }
    problems = draft(settings=typed).problems()
    assert set(problems) == {"attack.eps", "train.epochs", "train.batch_parts"}
    assert "did you mean 9/255?" in problems["attack.eps"]
    assert "'many'" in problems["train.epochs"]
    assert "more parts than it has images" in problems["train.batch_parts"]
    assert draft(settings={"train.epochs": "3"}).problems() == {}


def test_what_is_as_in_the_preset_is_no_change():
    assert draft(settings={"train.epochs": "20"}).changes().empty


COMMANDS = {
    "as it is": ({}, {}),
    "a grid": ({"seeds": (0, 3), "settings": {"method.lambda_eps": "0.3, 0.5", "attack.eps": "8/255"}}, {}),
    "methods": (
        {
            "methods": ("pgd-at", "trades-cfa"),
            "settings": {"method.lambda_eps": "0.4", "train.epochs": "2,3"},
        },
        {"tags": ("a b", "it's"), "notes": '$HOME `ls` "quoted" ; rm -rf /'},
    ),
    "labels": ({"settings": {"optimizer.milestones": "0.3;0.6"}}, {"name": "mine 1", "device": "cpu"}),
    "words": ({"settings": {"attack.start": "none", "method.eps_max": "none", "train.compile": "true"}}, {}),
    "the start": ({"init": "/some where/it's here.pt"}, {}),
    "the teacher": ({"teacher": "/some where/it's here.pt", "methods": ("trades", "ard")}, {}),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_the_commands_train_what_the_form_says(what, tmp_path, monkeypatch):
    changes, labels = COMMANDS[what]
    for name in {"init", "teacher"} & {*changes}:
        file = tmp_path / "some where" / "it's here.pt"
        file.parent.mkdir()
        file.touch()
        changes = {**changes, name: str(file)}
    monkeypatch.setenv("CFA_HOME", str(tmp_path / "home"))
    wanted = draft(**changes)
    for line in wanted.commands(**labels):
        words = shlex.split(line)
        assert words[0] == "cfa"
        done = CliRunner().invoke(commands.app, [*words[1:], "--queue"])
        assert done.exit_code == 0, done.output
    runs = Store.open(tmp_path / "home", shipped=None).runs()
    assert sorted(run.config.key() for run in runs) == sorted(c.key() for c in wanted.configurations())
    assert {run.label.tags for run in runs} == {labels.get("tags", ())}
    assert {run.label.notes for run in runs} == {labels.get("notes", "")}
    if "name" in labels:
        assert [run.name for run in runs] == ["mine 1"]
