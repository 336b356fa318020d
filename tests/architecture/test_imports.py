"""Imports: which package imports which, and what a module may import at its top level."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"slipway", "pipelines", "bentos", "monitoring", "scenarios", "usecases"}
# A cold import of any of these takes seconds; prefect's is the price of a module that declares flows.
SCIENCE = {"duckdb", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn"}
HEAVY = SCIENCE | {"evidently", "great_expectations", "keras", "mlflow", "onnx", "prefect", "tensorflow", "tf2onnx"}
DECLARE_FLOWS = {"training.py", "deployments.py", "flow_logs.py", "flows.py", "prefect_app.py", "work_pool.py"}
FOLDERS = {  # of slipway, with the libraries that each may import besides
    "inference": {"numpy", "onnxruntime", "PIL"},
    "evaluation": {"numpy", "pandas"},
    "clients": {"httpcore", "httpx"},  # below HttpClient, which imports them with the first request
    "ecs_logging": {"ecs_logging"},
    "telemetry": {"prometheus_client"},
    "bundle": {"google"},  # protobuf reads an ONNX file before ONNX Runtime does
}
ALLOWED = {
    "slipway": {"msgspec", "pydantic", "pydantic_settings", "typer", "yaml"},
    "usecases": {"slipway", "keras", "numpy"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the full names that a module imports when it is imported itself; those under TYPE_CHECKING are left out."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from imported([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from imported(node.body)


def foreign(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, but the standard library and its own package."""
    names = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()).body)}
    return names - sys.stdlib_module_names - {path.relative_to(ROOT).parts[0]}


def test_the_contracts_between_packages_and_layers_hold():
    ran = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("path", modules("slipway"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_shared_library_imports_few_libraries(path):
    allowed = ALLOWED["slipway"] | FOLDERS.get(path.parent.name, set())
    assert foreign(path) <= allowed


@pytest.mark.parametrize("path", modules("usecases"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_use_case_imports_the_shared_library_and_keras_only(path):
    assert foreign(path) <= ALLOWED["usecases"]


@pytest.mark.parametrize("package", ["bentos", "monitoring", "pipelines"])
def test_a_package_imports_no_other_and_loads_heavy_libraries_only_when_it_uses_them(package):
    allowed_heavy = {"bentos": set(), "monitoring": {"pandas"}, "pipelines": {"pandas"}}[package]
    for path in modules(package):
        heavy = set(allowed_heavy)
        if "networks" in path.parts:
            heavy.add("keras")
        if path.name in DECLARE_FLOWS:
            heavy.add("prefect")
        if "mlflow_app" in path.parts:
            heavy.add("mlflow")
        found = foreign(path)
        assert not found & (PACKAGES - {package, "slipway"}), path
        assert found & HEAVY <= heavy, path


def test_the_server_names_no_training_library_even_inside_functions():
    banned = {"tensorflow", "keras", "mlflow", "pandas", "pyarrow", "sklearn", "prefect"}
    for path in modules("bentos"):
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert not {name.partition(".")[0] for name in imported(nodes)} & banned, path


def test_no_modules_import_each_other_in_a_circle_not_even_for_types():
    graph = grimp.build_graph("slipway", "pipelines", "bentos", "monitoring", "scenarios")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
