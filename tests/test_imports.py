"""Who may import whom: the walls of the house, read from the code."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("flows", "transforms", "expectations", "schemas")
MAY_IMPORT = {
    "schemas": {"schemas"},
    "transforms": {"transforms", "schemas"},
    "expectations": {"expectations", "schemas"},
    "flows": {"flows", "transforms", "expectations", "schemas"},
}
ZONES = ("transforms.controller", "transforms.analysis", "transforms.release")
KEY_CODE = ("transforms.controller", "transforms.sources")
CONTROLLER_FLOWS = {
    "flows.batches",
    "flows.controller",
    "flows.increment",
    "flows.keys",
    "flows.passphrase",
    "flows.plan",
    "flows.quarantine",
    "flows.server.controller_flows",
    "flows.server.source_text",
    "flows.sources",
    "flows.synth",
}


@cache
def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Names that a file imports, and whether it does so when it is itself imported."""
    tree = ast.parse(path.read_text("utf-8"))
    at_top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(f"{node.module}.{alias.name}", id(node) in at_top) for alias in node.names]
    return found


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_packages_import_only_what_lies_below_them(module: str) -> None:
    allowed = MAY_IMPORT[module.split(".")[0]]
    for name, _ in imports_of(MODULES[module]):
        if name.split(".")[0] in PACKAGES:
            assert name.split(".")[0] in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("zone", ZONES)
def test_zones_do_not_import_each_other(zone: str) -> None:
    for module, path in MODULES.items():
        if within(module, zone):
            for name, _ in imports_of(path):
                assert not any(within(name, other) for other in ZONES if other != zone), f"{module} imports {name}"


def test_only_flows_imports_prefect_and_only_run_imports_great_expectations() -> None:
    for module, path in MODULES.items():
        for name, _ in imports_of(path):
            assert not within(name, "prefect") or within(module, "flows"), f"{module} imports {name}"
            assert not within(name, "great_expectations") or module == "expectations.run", f"{module} imports {name}"


def reached_from(start: str) -> set[str]:
    """Modules of ours that importing `start` imports, however indirectly; lazy imports count."""
    seen, todo = set(), [start]
    while todo:
        module = todo.pop()
        if module in seen or module not in MODULES:
            continue
        seen.add(module)
        todo += [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
        for name, _ in imports_of(MODULES[module]):
            todo += [name, name.rpartition(".")[0]]
    return seen


@pytest.mark.parametrize("zone", ["flows.analysis", "flows.release", "flows.server.platform_flows"])
def test_platform_flows_reach_no_key_and_no_source(zone: str) -> None:
    for module in reached_from(zone):
        assert not any(within(module, part) for part in KEY_CODE), f"{zone} reaches {module}"
        assert module not in CONTROLLER_FLOWS, f"{zone} reaches {module}"


def test_key_code_is_imported_by_the_controller_flows_alone() -> None:
    for module, path in MODULES.items():
        for name, _ in imports_of(path):
            if any(within(name, part) for part in KEY_CODE) and not any(within(module, part) for part in KEY_CODE):
                assert module in CONTROLLER_FLOWS, f"{module} imports {name}"


def test_importing_the_command_line_imports_no_zone() -> None:
    for name, at_top in imports_of(MODULES["flows.cli"]):
        assert not at_top or name.split(".")[0] not in PACKAGES or within(name, "schemas") or within(name, "flows"), (
            name
        )
        assert not at_top or not any(within(name, module) for module in CONTROLLER_FLOWS), name
