"""Every notebook runs through and draws its figures, its numbers hold, and what is stored of it is clean."""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.data import ROOT, data_file

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REAL = ("homes/fontana_hourly.parquet", "homes/fontana_solar_kw.json", "homes/bondi_halfhourly.parquet")
PNG = b"\x89PNG\r\n"
KEY_NUMBERS = """
json.dumps({
    "whose": WHOSE,
    "homes": int(year.homes),
    "half_hours": int(year.intervals),
    "without": without.tolist(),
    "by_day": by_day.tolist(),
    "year": plan.cost.tolist(),
    "adds_up": float(setpoints_kw.sum()),
    "paid": paid.tolist(),
    "worth_to_fleet": worth_to_fleet.tolist(),
    "bad_homes": sorted(partly.errors),
    "methods": [Method(int(method)).name for method in plans.method],
    "gap": plans.gap.tolist(),
})
"""
"""Asked of the finished notebook as one more cell."""

Cell = dict[str, Any]


def read(path: Path) -> nbformat.NotebookNode:
    return cast("nbformat.NotebookNode", nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[Cell]:
    """The executed cells of a notebook with `more` cells behind, run by this Python and nobody's settings."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = read(path)
    for source in more:
        notebook.cells.append(nbformat.v4.new_code_cell(source))  # type: ignore[no-untyped-call]
    own_python = KernelSpecManager(kernel_dirs=[])  # without any installed kernel, `python3` is this interpreter
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=own_python, transport="ipc")
    client = NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": str(path.parent)}})
    with tempfile.TemporaryDirectory() as short:  # a socket's path may have a hundred characters, no more
        kernel.connection_file = str(Path(short) / "k")
        client.execute(cleanup_kc=True)
    return cast("list[Cell]", notebook.cells)


def outputs(cells: list[Cell]) -> list[dict[str, Any]]:
    return [output for cell in cells for output in cell.get("outputs", [])]


def figures(cells: list[Cell]) -> list[bytes]:
    return [
        base64.b64decode(found["data"]["image/png"]) for found in outputs(cells) if "image/png" in found.get("data", {})
    ]


def printed(cells: list[Cell], stream: str) -> str:
    return "".join(found["text"] for found in outputs(cells) if found.get("name") == stream)


def key_numbers(cells: list[Cell]) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(cells[-1]["outputs"][0]["data"]["text/plain"].strip("'")))


def check_year(cells: list[Cell]) -> None:
    """What the text of `plan_a_year` says is what it shows."""
    assert printed(cells, "stderr") == ""
    assert len(figures(cells)) == 8
    assert all(picture.startswith(PNG) and len(picture) > 10_000 for picture in figures(cells))
    found, text = key_numbers(cells), printed(cells, "stdout")
    assert (found["homes"], found["half_hours"]) == (16, 17_472)
    for without, by_day, year in zip(found["without"], found["by_day"], found["year"], strict=True):
        assert year <= by_day + 1e-6
        assert by_day <= without + 1e-6
    assert sum(found["year"]) < 0.85 * sum(found["without"])
    bill = re.search(r"no battery A\$([\d,]+), day by day A\$([\d,]+), whole year A\$([\d,]+)", text)
    assert bill is not None
    without, by_day, year = (int(amount.replace(",", "")) for amount in bill.groups())
    assert year < by_day < without
    assert text.count("broken rules: []") == 2
    assert found["adds_up"] == pytest.approx(-20.0, abs=1e-9)
    assert all(0 <= paid <= worth + 1e-9 for paid, worth in zip(found["paid"], found["worth_to_fleet"], strict=True))
    assert sum(found["paid"]) > 1.0
    assert "regret is never below zero: True" in text
    assert "cost less payment is the cost alone: True" in text
    assert found["bad_homes"] == [3, 7]
    assert "without the others' faults: True" in text
    assert found["methods"] == ["MERGED", "ENVELOPE", "COUPLED", "MIXED_INTEGER"]
    assert max(found["gap"]) < 1e-4
    assert "sound: []" in text
    assert "tampered: cost" in text


def test_a_year_of_the_real_homes_is_planned_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {data_file(name).parent.parent for name in REAL}
    monkeypatch.setenv("POWERFLOCK_DATA", str(folders.pop().resolve()))
    cells = run(ROOT / "notebooks/plan_a_year.ipynb", tmp_path, monkeypatch, KEY_NUMBERS)
    check_year(cells)
    assert key_numbers(cells)["whose"] == "real homes"


def test_without_real_data_the_year_is_that_of_simulated_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path / "nowhere"))
    cells = run(ROOT / "notebooks/plan_a_year.ipynb", tmp_path, monkeypatch, KEY_NUMBERS)
    check_year(cells)
    assert key_numbers(cells)["whose"] == "SIMULATED homes"


def test_a_cell_that_fails_or_warns_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    cells = run(path, tmp_path, monkeypatch, "import sys, warnings\nwarnings.warn('odd')\nprint(sys.executable)")
    assert "odd" in printed(cells, "stderr")
    assert printed(cells, "stdout").strip() == sys.executable
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(path, tmp_path, monkeypatch, "1 / 0")


def untidy(notebook: nbformat.NotebookNode) -> list[str]:
    """What does not belong into a stored notebook: results, counts, traces of a machine."""
    found = [f"metadata.{name}" for name in notebook.metadata if name not in {"kernelspec", "language_info"}]
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("kernelspec is not python3")
    for cell in notebook.cells:
        found += [f"cell {cell.id}: {name}" for name in ("outputs", "execution_count", "metadata") if cell.get(name)]
        if re.search(r"""(?<![\w.:/)\]])(?:/[a-z]+){2}|[A-Za-z]:\\\\|~/""", cell.source):
            found.append(f"cell {cell.id}: an absolute path")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_notebooks_are_clean(path: Path) -> None:
    assert untidy(read(path)) == []


def test_every_notebook_is_executed_here() -> None:
    assert [path.name for path in NOTEBOOKS] == ["plan_a_year.ipynb"], "add a test that executes the new one"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outputs", [{"output_type": "stream", "name": "stdout", "text": "1"}]),
        ("execution_count", 3),
        ("metadata", {"collapsed": True}),
        ("source", 'open("/home/somebody/file.csv")'),
    ],
)
def test_what_does_not_belong_into_a_stored_notebook_is_noticed(name: str, value: object) -> None:
    notebook = read(NOTEBOOKS[0])
    next(cell for cell in notebook.cells if cell.cell_type == "code")[name] = value
    assert len(untidy(notebook)) == 1
