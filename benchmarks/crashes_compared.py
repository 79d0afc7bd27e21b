"""What a home keeps, piece by piece, and what differs between two of them: for `benchmarks/crashes.py`.

Runs are matched by name, since ids are drawn. A piece is one tensor of one weights file, one row of a history
(knobs are rows), the outcomes of one image, one document; what only the clock or the draw of an id wrote is
left out by name.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open

from cfa.jobs.job_folder import JobFolder
from cfa.jobs.queue import Queue

CLOCK = ("seconds", "images_per_second", "created", "updated")
DRAWN = ("id", "run")
DOCUMENTS = ("config.json", "manifest.json", "split.json", "label.json", "status.json")
TEMPORARY = ".*.tmp"

Pieces = dict[str, str]


def kept(home: Path) -> Pieces:
    """Read all pieces of all runs under a home, the name of a piece to its content (or to a hash of that)."""
    pieces: Pieces = {}
    for config in sorted((home / "runs").glob("[!.]*/config.json")):
        run = config.parent
        name = json.loads((run / "label.json").read_text(encoding="utf-8"))["name"]
        for piece, content in _of_run(run):
            pieces[_free(f"run {name}: {piece}", pieces)] = content
    return pieces


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Name every piece that is lost, that is there besides, or that is another one."""
    lost = [f"{name} is lost" for name in expected if name not in found]
    more = [f"{name} is there besides" for name in found if name not in expected]
    changed = [f"{name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return lost + more + sorted(changed)


def unfinished_jobs(home: Path) -> list[str]:
    """Name every job that is not done, in the queue's table or in the copy of it beside the job."""
    wrong = []
    for job in Queue(home).jobs():
        copy = json.loads(JobFolder.of(home, job.id).state_file.read_text(encoding="utf-8"))["state"]
        wrong += [
            f"job {job.id} ({job.title}) says {state} {where}"
            for where, state in (("in the queue", job.state), ("in its folder", copy))
            if state != "done"
        ]
    return wrong


def half_written(home: Path) -> set[Path]:
    """Find what was being written when its writer died."""
    return set(home.rglob(TEMPORARY))


def _of_run(run: Path) -> Iterator[tuple[str, str]]:
    for name in DOCUMENTS:
        yield name, _document(run / name)
    for file in sorted((run / "weights").glob("*.safetensors")):
        yield from _tensors(file, f"weights {file.stem}")
    yield from _rows(run / "history.jsonl")
    evaluations = {}
    for folder in sorted((run / "evaluations").glob("[!.]*")):
        evaluations[folder.name], pieces = _evaluation(folder)
        yield from pieces
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        parts = [evaluations.get(part, part) for part in file.relative_to(run).parts]
        if not file.match(TEMPORARY):
            yield f"file {'/'.join(parts)}", "there"


def _document(file: Path) -> str:
    if not file.exists():
        return "not there"
    return _timeless(json.loads(file.read_text(encoding="utf-8")))


def _timeless(document: dict[str, Any]) -> str:
    fields = {name: value for name, value in document.items() if name not in (*CLOCK, *DRAWN)}
    return json.dumps(fields, sort_keys=True)


def _tensors(file: Path, title: str) -> Iterator[tuple[str, str]]:
    with safe_open(file, framework="numpy") as stored:
        yield f"{title}, what it says", _timeless(stored.metadata() or {})
        for name in sorted(stored.keys()):
            yield f"{title}, {name}", _hash(stored.get_tensor(name))


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Give each line by what it is about, so that one that is lost does not move the others."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    order = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = {"row": f"no JSON: {line[:40]}"}
        about = ("row", "epoch", "split", "weights", "attack", "norm", "eps")
        named = (row[name] for name in about if not isinstance(row.get(name, []), list))
        order.append(f"row {' '.join(map(str, named))}")
        yield order[-1], _timeless(row)
    yield "order of rows", json.dumps(order)


def _evaluation(folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """Return what an evaluation is of, in words, and its pieces."""
    if not (folder / "evaluation.json").exists():
        return f"unfinished evaluation {folder.name}", []
    document = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    attacks = "+".join(document["settings"])
    title = f"evaluation of {document['weights']} {document['checkpoint']} under {attacks}"
    pieces = [(f"{title}, what it says", _timeless(document))]
    for name in ("outcomes", "batches"):
        table = pq.read_table(folder / f"{name}.parquet").to_pydict()
        images = table.get("image", range(len(next(iter(table.values()), ()))))
        pieces.append((f"{title}, columns of {name}", json.dumps(list(table))))
        for row, image in enumerate(images):
            values = {column: content[row] for column, content in table.items()}
            pieces.append((f"{title}, {name} of image {image}", json.dumps(values)))
    if (images_file := folder / "adversarial.safetensors").exists():
        pieces += _tensors(images_file, f"{title}, adversarial images")
    return title, pieces


def _hash(array: np.ndarray[Any, Any]) -> str:
    content = f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(content).hexdigest()


def _free(name: str, taken: Mapping[str, str]) -> str:
    return next(
        n for n in (name, *(f"{name}, again {i}" for i in range(2, len(taken) + 3))) if n not in taken
    )


def counted(pieces: Mapping[str, str]) -> dict[str, int]:
    """Count the pieces by what they are, for the report."""
    kinds = Counter()
    for name in pieces:
        piece = name.partition(": ")[2]
        kind = "weights" if piece.startswith("weights") else "rows" if piece.startswith("row ") else ""
        kinds[kind or ("outcomes of images" if "outcomes of image" in piece else "others")] += 1
    return dict(kinds)
