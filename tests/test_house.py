"""The house rules, as tests: lint, types, import layers, docstrings, and a README whose first commands can be run by a program."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from appliance.config.loader import loads

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "ena_dev")
PYTHON = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
COMPILED = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.pyx"))
DECLARED = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.pxd"))


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_is_clean_by_ruff() -> None:
    run("ruff", "check", "--no-cache", ".")


def test_the_code_is_typed_strictly() -> None:
    run("mypy")


def test_imports_keep_to_their_layers() -> None:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 1 kept, 0 broken" in done.stdout


SIBLINGS_AND_ABOVE = [("device", "driver"), ("driver", "device"), ("bus", "device"), ("bus", "driver"), ("port", "device")]


@pytest.mark.parametrize(("one", "other"), SIBLINGS_AND_ABOVE)
def test_compiled_modules_keep_to_their_layers_too(one: str, other: str) -> None:
    for path in (ROOT / "ena_dev" / one).glob("*.p[yx]*"):
        if path.suffix in (".pyx", ".pxd"):
            assert f"ena_dev.{other}" not in path.read_text(), f"{path.relative_to(ROOT)} knows ena_dev.{other}"


def test_every_compiled_module_is_built_and_has_a_stub_or_no_python_face() -> None:
    declared = {e["name"]: e["sources"] for e in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]}
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): [str(path.relative_to(ROOT))] for path in COMPILED}
    assert declared == found


@pytest.mark.parametrize("path", [*PYTHON, *COMPILED], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_room_it_is(path: Path) -> None:
    if path.suffix == ".pyx":
        assert re.search(r'\A(#.*\n)+\s*"""', path.read_text()), "no docstring after the directives"
    else:
        assert ast.get_docstring(ast.parse(path.read_text())), "no docstring"


def test_functions_stay_short() -> None:
    long = []
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 60:
                long.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert not long


def readme(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_readme_starts_with_two_commands_in_one_line_each() -> None:
    blocks = readme("sh")
    assert "softena demo" in blocks[0]
    assert "pytest" in blocks[1]
    assert all(len(block.strip().splitlines()) == 1 for block in blocks[:2])


@pytest.mark.parametrize("text", [block for block in readme("yaml") if block.startswith("version:")])
def test_readme_shows_files_without_mistakes(text: str) -> None:
    assert loads(text, "README.md").warnings == ()


def test_readme_shows_the_example_as_it_is_tested() -> None:
    tested = [path.read_text() for path in (ROOT / "tests" / "examples").glob("*.py")]
    assert readme("python")
    for block in readme("python"):
        assert any(block in text for text in tested)


def test_readme_links_to_what_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
