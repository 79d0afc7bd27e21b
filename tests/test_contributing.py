"""What CONTRIBUTING shows works: its code is run, and what it makes is used."""

import re
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

METHODS.register("mart", MART)
assert settings_of(["mart"])["method.beta"].startswith("MART")
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

class Given:
    x = torch.tensor([[2, 0, -1], [0.5, 1, 0]])
    y = torch.tensor([0, 1])


found = Attacked(x_adv=torch.tensor([[0.5, 1, 0], [0.2, 1.5, 0]]))
loss = boosted(5, lambda logits: logits, Given(), found).per_sample.mean()
assert abs(float(loss) - 1.562545) < 1e-5  # computed with the authors' formula, apart from this project

rule = HarderHeavier(eps=0.1)
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
