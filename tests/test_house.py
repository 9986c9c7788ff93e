"""The house rules that tools can hold: package borders, light imports, small files, no leftovers."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("services", "trainer", "rollout", "reward_farm", "serve")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = {"torch", "vllm", "ray", "transformers"}
MOST_LINES = 500


def test_packages_keep_to_their_borders() -> None:
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "modules",
    [
        "reward_farm",
        "reward_farm.problem, reward_farm.verdict, reward_farm.settings, reward_farm.errors",
        "reward_farm.scoring, reward_farm.rendering, reward_farm.metrics, reward_farm.adapters.trl, services.check",
        "reward_farm.adapters.verl",
        "rollout, rollout.types, rollout.settings, rollout.errors",
        "trainer, trainer.settings, trainer.errors, trainer.grpo, trainer.grpo.settings, trainer.corpus.settings",
        "serve, serve.settings, serve.errors",
    ],
)
def test_types_settings_and_errors_import_without_the_heavy_libraries(modules: str) -> None:
    program = f"import sys, {modules}; print(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for_and_is_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    # Not `ast`, whose C code in 3.11 fails now and then where other tests have left threads behind.
    said = (token.type for token in tokenize.generate_tokens(io.StringIO(text).readline))
    first = next(kind for kind in said if kind not in (tokenize.COMMENT, tokenize.NL))
    assert first in (tokenize.STRING, tokenize.ENDMARKER), "a module docstring is missing"


def test_nobody_names_a_file_utils() -> None:
    assert not [path for path in SOURCES if path.stem in ("utils", "helpers", "misc", "common")]


def test_no_two_modules_of_tests_share_a_name() -> None:
    # Pytest puts every folder of tests on the path, so that of two with one name only the first is ever imported.
    tests = ROOT / "tests"
    names = [path.stem for path in tests.rglob("*.py") if path.stem != "conftest" and not _in_package(path)]
    names += [path.parent.name for path in tests.rglob("__init__.py")]
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_locks_pin_every_package_and_agree_with_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    exact = {r.split("==")[0].split("[")[0]: r.split("==")[1] for r in wanted if "==" in r}
    locks = {name: _lock(name) for name in ("cpu", "gpu", "farm")}
    for name, version in exact.items():
        found = {lock: pins[name] for lock, pins in locks.items() if name in pins}
        assert found, f"{name} is in no lock"
        assert set(found.values()) == {version}, (name, version, found)
    core = [r.split(">")[0].split("=")[0] for r in project["dependencies"]]
    assert set(core) <= locks["farm"].keys()
    assert not HEAVY & locks["farm"].keys()
    assert not {"torchvision", "torchaudio", "torchcodec"} & locks["cpu"].keys()


def test_scripts_are_sound_shell_and_executable() -> None:
    for path in (*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"):
        subprocess.run(["bash", "-n", str(path)], check=True, timeout=10)
        assert path.name == "setup.sh" or path.stat().st_mode & 0o111, path


def _in_package(path: Path) -> bool:
    return (path.parent / "__init__.py").exists()


def _lock(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), name
    return {package.lower().replace("_", "-"): version for package, version in pins}
