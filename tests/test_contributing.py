"""What CONTRIBUTING shows works: its code is run, and what it makes is used."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

USED = """
import torch
from cfa.attacks import named_attack
from cfa.config import RunConfig
from cfa.data import load_dataset
from cfa.methods import parts_of, METHODS, TRAINING, ClassStats, Tally, configure, settings_of
from cfa.training.step import Step

METHODS.register("trades-harder", HARDER)
assert settings_of(["mart"])["method.beta"].startswith("MART")
assert configure("trades-harder", "my-set", preset="demo").method_settings == {"beta": 6, "calm_epochs": 4}
config = configure("mart", "my-set", model="small-cnn", preset="demo", overrides={"attack.steps": 2})
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).train()
step = Step.of(parts_of(config), model, torch.full((3,), 10))
_, knobs = step.parts.rule.initial(3)
x, y = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
noise = torch.Generator().manual_seed(0)
result = step(optimizer, x, y, torch.arange(12), knobs.on(torch.device("cpu")), noise)
assert torch.isfinite(result.loss)

logits = torch.tensor([[0.5, 1, 0], [0.2, 1.5, 0]], dtype=torch.float64)
found = boosted_cross_entropy(logits, torch.tensor([0, 1]))
assert torch.allclose(found, torch.tensor([1.886260, 0.603602], dtype=torch.float64), atol=1e-5)

rule = HarderHeavier(eps=0.1, beta=6, calm_epochs=1)
total = torch.full((3,), 10)
tally = Tally(total=total, correct=torch.tensor([10, 5, 0]))
_, knobs = rule({}, ClassStats(epoch=1, class_counts=total, seen={TRAINING: tally}))
assert knobs["weight"].tolist() == [0.0, 1.0, 2.0]

data = load_dataset("my-set", None)
assert data.class_names == ("cat", "dog")
x_adv = named_attack("corner", "linf")(model, x, y, 0.1)
assert 0 < float((x_adv - x).abs().max()) <= 0.1 + 1e-6

class Task:
    def dataset(self, name):
        return load_dataset(name, None)

    class observer:
        said = []
        log = said.append


work = CountImages.read({"dataset": "my-set"})
work.run(Task())
assert Task.observer.said == ["[20, 20] images"]
assert work.title(None, "") == "count the images of my-set"
print("used")
"""


def blocks() -> list[str]:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def files(folder: Path) -> list[Path]:
    """Write every block into a file of its own, in folders as the first line of each says."""
    found = []
    for block in blocks():
        match = re.match(r"# (\S+\.py)\n", block)
        assert match, f"the first line says which file it is: {block[:60]!r}"
        found.append(folder / match[1])
        found[-1].parent.mkdir(parents=True, exist_ok=True)
        found[-1].write_text(block)
    return found


def test_the_code_blocks_pass_what_a_contribution_has_to_pass(tmp_path: Path) -> None:
    settings = PROJECT / "pyproject.toml"
    for file in files(tmp_path / "shown"):
        for tool in (["check"], ["format", "--diff"]):
            with file.open() as text:
                name = str(file.relative_to(tmp_path / "shown"))
                words = [
                    sys.executable,
                    "-m",
                    "ruff",
                    *tool,
                    "--config",
                    settings,
                    "--stdin-filename",
                    name,
                    "-",
                ]
                done = subprocess.run(
                    words, stdin=text, capture_output=True, text=True, cwd=PROJECT, check=False
                )
            assert done.returncode == 0, done.stdout + done.stderr
    flat = [shutil.copy(file, tmp_path) for file in files(tmp_path / "shown")]
    words = [sys.executable, "-m", "mypy", "--config-file", settings, *flat]
    done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_blocks_run_and_what_they_make_is_used(tmp_path: Path) -> None:
    assert len(blocks()) >= 4
    program = "\n\n".join([*map(textwrap.dedent, blocks()), USED])
    script = tmp_path / "contributing.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, cwd=PROJECT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "used"


def test_a_method_that_is_shown_is_the_one_that_is_offered() -> None:
    shown = {re.match(r"# (\S+)\n", block)[1]: block.partition("\n")[2] for block in blocks()}
    files = {name: PROJECT / name for name in shown if (PROJECT / name).exists()}
    assert "cfa/methods/catalogue/mart.py" in files
    for name, file in files.items():
        assert shown[name] == file.read_text()
