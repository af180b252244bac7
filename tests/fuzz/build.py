"""A second build of the compiled modules, for fuzzing: with AddressSanitizer and counters that guide the fuzzer, in `build/fuzz`.

Sources are copied when they changed, then compiled when they, or a declaration they use, did. C that another build left beside a source is
taken over, and made anew only where it is older than that. Needs clang, and atheris for its runtime.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREE = ROOT / "build" / "fuzz"
PACKAGES = ("ena_dev", "appliance")
COPIED = (".py", ".pyx", ".pxd", ".typed")
FLAGS = (  # most of a target is Python: optimised code costs more to compile than a minute of fuzzing gets back
    "-O0", "-g1", "-fPIC", "-shared", "-fwrapv", "-fno-omit-frame-pointer", "-w",
    "-fsanitize=address,fuzzer-no-link", "-fno-sanitize-address-use-odr-indicator",
)  # fmt: skip


def build() -> Path:
    """Bring the build up to date; returns where the packages are imported from. Raises RuntimeError with what a compiler said."""
    compiler = shutil.which("clang")
    if compiler is None:
        raise RuntimeError("clang is missing: apt-get install clang libclang-rt-dev")
    _copy()
    made = _translate()
    stale = [source for source in made if not _object(source).exists() or _changed(_object(source)) < _changed(source)]
    with ThreadPoolExecutor() as pool:
        for source in pool.map(lambda source: _compile(compiler, source), stale):
            print(f"compiled {source.relative_to(TREE)}", flush=True)
    return TREE


def _copy() -> None:
    """Only what differs, so that the times of files tell what changed: what is new here has its source's, that of the C beside it."""
    wanted = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in COPIED}
    for path in wanted:
        source, target = ROOT / path, TREE / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        elif target.read_bytes() != source.read_bytes():
            target.write_bytes(source.read_bytes())
        made, taken = source.with_suffix(".c"), target.with_suffix(".c")
        if path.suffix == ".pyx" and made.exists() and (not taken.exists() or _changed(taken) < _changed(made)):
            shutil.copy2(made, taken)
    for path in [path for package in PACKAGES for path in (TREE / package).rglob("*")]:
        if path.suffix in COPIED and path.relative_to(TREE) not in wanted:
            path.unlink()


def _translate() -> list[Path]:
    """C of every module, made again where its source or what it cimports is newer."""
    from Cython.Build import cythonize
    from setuptools import Extension  # type: ignore[import-untyped]

    sources = sorted(path for package in PACKAGES for path in (TREE / package).rglob("*.pyx"))
    modules = [Extension(".".join(path.relative_to(TREE).with_suffix("").parts), [str(path)]) for path in sources]
    cythonize(modules, language_level=3, include_path=[str(TREE)], quiet=True)  # type: ignore[no-untyped-call]
    return [path.with_suffix(".c") for path in sources]


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _object(source: Path) -> Path:
    return source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))


def _compile(compiler: str, source: Path) -> Path:
    command = [compiler, *FLAGS, f"-I{sysconfig.get_path('include')}", str(source), "-o", str(_object(source))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return source
