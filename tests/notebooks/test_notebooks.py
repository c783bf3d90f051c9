"""The notebooks as analysts run them: to their end, over real folders, holding nothing and reaching no key."""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows import audit
from flows.settings import Layout
from tests.controller.people import identity_code
from tests.flows.conftest import AS_OF, ROOT, clean_environment
from tests.test_imports import KEY_CODE, MODULES, imports_of, reached_from, within

FOLDER = ROOT / "notebooks"
NAMES = ("explore", "indicator", "release")
NOTEBOOKS = [FOLDER / f"{name}.py" for name in NAMES]
INDICATOR = "diabetes_hba1c_missing"


def run(name: str, **given: object) -> tuple[str, Mapping[str, Any]]:
    """Run a notebook in this process with other terms than the command line's; what it shows as text, and its names."""
    outputs, names = importlib.import_module(f"notebooks.{name}").app.run(defs={"given": given})
    return " ".join(str(getattr(output, "text", output)) for output in outputs), names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_well_formed_by_marimos_own_check(path: Path) -> None:
    command = [sys.executable, "-m", "marimo", "check", "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_code_alone_and_holds_no_output(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "data:" not in text.replace('"data:', "").replace("app_title", "")
    assert all(len(line) <= 120 for line in text.splitlines())
    statements = ast.parse(text).body
    kinds = {type(node) for node in statements}
    assert kinds <= {ast.Import, ast.Assign, ast.With, ast.FunctionDef, ast.If}
    cells = [node for node in statements if isinstance(node, ast.FunctionDef)]
    assert len(cells) >= 8
    assert all(cell.decorator_list for cell in cells)


def test_no_output_of_a_session_is_kept_in_the_project() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if (ROOT / ".git").exists():
        assert "notebooks/explore.py" in files
        assert not [name for name in files if "__marimo__" in name or name.endswith(".ipynb")]
    assert "__marimo__/" in (ROOT / ".gitignore").read_text().splitlines()


def test_an_editing_session_keeps_no_copy_of_its_outputs_and_offers_no_other_host() -> None:
    from marimo._config.manager import get_default_config_manager

    config = get_default_config_manager(current_path=str(NOTEBOOKS[0])).get_config()
    assert config["runtime"]["auto_instantiate"] is True  # otherwise marimo caches what was shown in __marimo__/session
    assert config["runtime"]["default_auto_download"] == []
    assert config["sharing"] == {"html": False, "wasm": False, "molab": False}
    assert config["completion"]["copilot"] is False
    assert config["ai"]["enabled"] is False


def reached(path: Path) -> set[str]:
    """Modules of ours that a notebook reaches, however indirectly."""
    found: set[str] = set()
    todo, seen = [path], set()
    while todo:
        one = todo.pop()
        seen.add(one)
        for name, _ in imports_of(one):
            for module in (name, name.rpartition(".")[0]):
                own = ROOT.joinpath(*module.split(".")).with_suffix(".py")
                if module.startswith("notebooks.") and own.exists() and own not in seen:
                    todo.append(own)
                found |= reached_from(module)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_reaches_no_key_and_no_source(path: Path) -> None:
    found = reached(path)
    assert "schemas.errors" in found
    bad = [module for module in found if any(within(module, part) for part in KEY_CODE)]
    assert not bad, f"{path.name} reaches {bad}"


def test_the_project_itself_imports_no_notebook() -> None:
    for module, path in MODULES.items():
        assert not any(within(name, "notebooks") for name, _ in imports_of(path)), module


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_as_a_script_to_its_end(name: str, data: Path) -> None:
    given = {"indicator": ["--persons", "300", "--years", "1"]}.get(name, ["--indicator", INDICATOR])
    done = subprocess.run(
        [sys.executable, f"notebooks/{name}.py", "--data", str(data), *given],
        cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert not (FOLDER / "__marimo__" / "session" / f"{name}.py.json").exists()


def looks(data: Path) -> list[dict[str, Any]]:
    return audit.entries(Layout(data).audit, "counts")


def test_counts_are_shown_for_a_reason_that_the_audit_log_holds(data: Path) -> None:
    before = len(looks(data))
    given = {"data": str(data), "source": "counts", "indicator": INDICATOR, "language": "en"}
    text, names = run("explore", **given, reason="planning outreach in spring")
    assert len(looks(data)) == before + 1
    assert looks(data)[-1]["reason"] == "planning outreach in spring"
    assert looks(data)[-1]["indicator"] == INDICATOR
    truth = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    truth = truth.filter(pl.col("indicator") == INDICATOR)
    city = names["found"].filter(pl.all_horizontal(pl.col("area_code", "sex", "age_band") == "*"))
    assert city["gap"].to_list() == [truth["open"].sum()]
    assert city["eligible"].to_list() == [truth["eligible"].sum()]
    assert "Not protected" in text


@pytest.mark.parametrize("reason", ["", "  ", identity_code(date(1952, 10, 13))])
def test_without_a_reason_counts_are_neither_read_nor_shown(data: Path, reason: str) -> None:
    before = len(looks(data))
    given = {"data": str(data), "source": "counts", "indicator": INDICATOR, "language": "en"}
    text, names = run("explore", **given, reason=reason)
    assert "reason" in text
    assert names["found"] is None
    assert "table" not in names
    assert len(looks(data)) == before


def test_a_release_is_explored_from_its_public_files_alone(data: Path, tmp_path: Path) -> None:
    published = tmp_path / "elsewhere"
    (data / "release" / "published").rename(published)
    terms = {"data": str(data), "published": str(published), "release": None, "indicator": INDICATOR, "language": "sv"}
    text, _ = run("release", **terms)
    assert "lacks 1 signature" in text  # away from its audit log nothing proves that a feed's data are nobody's
    manifest = published / f"{AS_OF}-1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"source": "feed"', '"source": "synthetic"'))
    text, names = run("release", **terms)
    assert "not signed" in text
    table = pl.read_csv(published / "latest" / "table.csv", infer_schema=False)
    hidden = table.filter((pl.col("status") == "suppressed") & (pl.col("measure") == "gap")).height
    twice = table.filter((pl.col("major") == "unknown") & (pl.col("district") == "*") & (pl.col("measure") == "gap"))
    hidden -= twice.filter(pl.col("status") == "suppressed").height
    assert 0 < hidden == names["found"]["gap"].null_count()
    assert names["found"].filter(pl.col("gap").is_null())["rate"].null_count() == hidden
    assert "Diabetes utan HbA1c-mätning" in names["titles"].values()


def test_a_release_with_a_changed_byte_is_not_read(data: Path) -> None:
    table = data / "release" / "published" / f"{AS_OF}-1" / "table.csv"
    table.write_text(table.read_text() + "\n")
    given = {"data": str(data), "published": str(table.parent.parent), "release": None}
    text, names = run("release", **given, indicator=INDICATOR, language="en")
    assert "Not verified. Do not use this release." in text
    assert "found" not in names


def test_a_folder_without_anything_says_what_to_do(tmp_path: Path) -> None:
    for name in ("explore", "release"):
        given = {"data": str(tmp_path), "published": str(tmp_path), "source": None, "release": None}
        text, _ = run(name, **given, indicator=None, reason="", language="en")
        assert "make run" in text


def test_the_pictures_offer_no_editor_on_another_host() -> None:
    from notebooks.parts import charts, figures
    from schemas.areas import load_areas

    areas = load_areas()
    empty = pl.DataFrame(schema=figures.FIGURE_SCHEMA)
    drawn = [make(empty, areas, "fi", "words") for make in (charts.tile_map, charts.bars, charts.funnel)]
    for chart in [*drawn, charts.trend(empty, "words")]:
        spec = json.loads(chart.to_json())
        assert spec["usermeta"] == {"embedOptions": {"actions": False}}
        assert spec["description"] == "words"
        assert "http" not in json.dumps({name: value for name, value in spec.items() if name != "$schema"})
