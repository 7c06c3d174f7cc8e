"""Rules of the house that no linter knows: what may be imported where, and what may not be called."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOMS = ("data", "restore", "defend", "pipelines")
LONGEST = 350

SCAN = """
import sys
from clearsight.pipelines.config.registries import GROUPS
for registry in GROUPS.values():
    for spec in registry:
        spec.model_json_schema()
print(",".join(sorted(sys.modules)))
"""
HEAVY = {"torch", "cv2", "pyarrow", "scipy", "skimage", "kornia", "albumentations", "onnx", "onnxruntime"}

HARMLESS_NAMES = {"UnpicklingError"}
"""What torch's weights-only reader raises; only its name lives in a forbidden module."""
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "random"}
MAY_IMPORT = {"data/python_batches.py": "import of pickle"}
"""The one exception: CIFAR's python version is a pickle, read by an unpickler that looks no name up (its tests
feed it hostile files)."""
FORBIDDEN_CALLS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.hub.load",
    "torch.rand_like",
    "torch.randn_like",
    "torch.randint_like",
    "os.system",
    "eval",
    "exec",
}
NEEDS_GENERATOR = {f"torch.{n}" for n in ("rand", "randn", "randint", "randperm", "bernoulli", "normal")}
NEEDS_GENERATOR |= {"torch.multinomial", "torch.poisson"}
DRAWING_METHODS = {"uniform_", "normal_", "bernoulli_", "random_", "exponential_", "cauchy_", "log_normal_"}
NUMPY_RANDOM = {"Generator", "Philox", "BitGenerator", "SeedSequence"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (HOUSE / folder).rglob("*.py"))


def run(code: str, cwd: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_code_under_test_is_that_of_this_checkout() -> None:
    # An editable install of another checkout must not lend its rooms to this one.
    import clearsight.data

    assert Path(clearsight.data.__file__ or "").resolve().is_relative_to(HOUSE)


@pytest.mark.slow
def test_registries_import_nothing_heavy() -> None:
    done = run(SCAN, HOUSE, str(HOUSE))
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.strip().split(",")}
    assert not loaded & HEAVY


@pytest.mark.slow
def test_arrows_point_down(tmp_path: Path) -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.is_file():
        pytest.skip("import-linter is not installed (pip install clearsight[dev])")
    # import-linter finds no package through setup.py's mapping and follows no links: it gets a copy.
    package = tmp_path / "clearsight"
    for room in ROOMS:
        shutil.copytree(HOUSE / room, package / room, ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(HOUSE / "clearsight" / "__init__.py", package)
    done = subprocess.run(
        [lint, "--no-cache", "--config", HOUSE / "pyproject.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_rooms_below_do_not_name_rooms_above() -> None:
    # The linter sees imports at the top and inside functions alike; this also reads names given as text.
    for room, above in (("data", ("restore", "defend")), ("restore", ("defend",)), ("defend", ("restore",))):
        for path in sources(room):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and name_of(node.func).endswith("import_module"):
                    told = [a.value for a in node.args if isinstance(a, ast.Constant)]
                    assert not any(
                        str(t).split(".")[1:2] in ([room] for room in (*above, "pipelines")) for t in told
                    ), path


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(HOUSE)): lines
        for path in sources(*ROOMS, "benchmarks")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long, f"split these: {long}"


def test_init_files_are_empty() -> None:
    told = [
        str(p.relative_to(HOUSE)) for p in sources(*ROOMS) if p.name == "__init__.py" and p.stat().st_size
    ]
    assert not told


def test_every_folder_with_code_is_a_package() -> None:
    for path in sources(*ROOMS):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} would be missing from the wheel"


def name_of(node: ast.expr) -> str:
    """Return a dotted name such as ``np.random.seed``, empty where the expression is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = name_of(node.value)
        return f"{owner}.{node.attr}" if owner else f".{node.attr}"
    return ""


def keyword_is(node: ast.Call, name: str, value: object) -> bool:
    return any(
        k.arg == name and isinstance(k.value, ast.Constant) and k.value.value is value for k in node.keywords
    )


def faults_of_call(node: ast.Call) -> str | None:
    name = name_of(node.func)
    has_generator = any(k.arg == "generator" for k in node.keywords)
    if name in FORBIDDEN_CALLS:
        return name
    if name == "torch.load" and not keyword_is(node, "weights_only", True):
        return "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and not keyword_is(node, "allow_pickle", False):
        return "np.load without allow_pickle=False"
    if (name in NEEDS_GENERATOR or name.rpartition(".")[2] in DRAWING_METHODS) and not has_generator:
        return f"{name} without generator"
    return None


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            if isinstance(node, ast.ImportFrom) and {a.name for a in node.names} <= HARMLESS_NAMES:
                continue
            level = node.level if isinstance(node, ast.ImportFrom) else 0
            for module in modules:
                if level == 0 and module.partition(".")[0] in FORBIDDEN_MODULES:
                    yield node.lineno, f"import of {module}"
        elif isinstance(node, ast.Attribute):
            name = name_of(node)
            if name.startswith(("np.random.", "numpy.random.")) and name.split(".")[2] not in NUMPY_RANDOM:
                yield node.lineno, name
        elif isinstance(node, ast.Call) and (fault := faults_of_call(node)):
            yield node.lineno, fault


@pytest.mark.slow
def test_nothing_forbidden_is_called() -> None:
    found = [
        f"{path.relative_to(HOUSE)}:{line}: {what}"
        for path in sources(*ROOMS)
        for line, what in faults(ast.parse(path.read_text(encoding="utf-8")))
        if MAY_IMPORT.get(path.relative_to(HOUSE).as_posix()) != what
    ]
    assert not found, "\n".join(found)


def test_processes_are_started_by_the_executors_only() -> None:
    told = ("ProcessPoolExecutor", "multiprocessing")
    found = {
        str(path.relative_to(HOUSE))
        for path in sources(*ROOMS)
        if any(word in path.read_text(encoding="utf-8") for word in told)
    }
    assert found == {"data/executors/processes.py"}


def test_ray_is_imported_in_one_file() -> None:
    named = re.compile(r"^\s*(import|from) ray\b", re.MULTILINE)
    found = {
        str(path.relative_to(HOUSE))
        for path in sources(*ROOMS)
        if named.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"data/executors/ray.py"}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from random import choice",
        "np.random.seed(0)",
        "np.random.default_rng()",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "torch.randn(3)",
        "torch.randn_like(x)",
        "x.uniform_(-1, 1)",
        "torch.manual_seed(0)",
    ],
)
def test_the_scan_finds(code: str) -> None:
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["rng.numpy().normal()", "np.random.Philox(key=1)", "torch.rand(3, generator=g)"]
)
def test_the_scan_allows(code: str) -> None:
    assert not list(faults(ast.parse(code)))


OLD_WORDS = re.compile(
    r"(?<![a-z])(pictures?|players?|doubts?|evidence|examined|processors?|settles?)(?![a-z])", re.IGNORECASE
)
"""What the house said before it spoke as its field does; for each there is a plain word."""
OLD_NAMES = {
    *(
        "Victims",
        "Slope",
        "Chase",
        "Behind",
        "Desk",
        "door",
        "ascent",
        "descend",
        "victims",
        "joins",
        "relations",
    ),
    *("Mart", "Gairat", "Trades", "Ece", "Psnr", "Clahe"),
}
"""Names that were given up; the words themselves are plain English and may stand in a sentence."""
OLD_FILES = {
    "pictures",
    "truth",
    "relations",
    "evidence",
    "doubts",
    "worst",
    "scenes",
    "measured",
    "players",
    "joins",
}
OLD_FIELDS = {"most", "least", "ground", "white", "read", "pictures"}
"""Fields of parts, corruptions, attacks and methods; configs that use them are still read (`Spec.old_names`)."""
MACHINE_FIELD = re.compile(r'"processor"|\bprocessor: |\.processor\b')
"""The name of the field of a machine, as `platform` calls it."""
TOLD = (".py", ".md", ".html", ".css", ".js", ".yaml")


def exempt_lines(tree: ast.AST) -> set[int]:
    """Return the lines of names for old YAML, and of paths of random streams, which are part of results."""
    nodes: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and name_of(node.target) in ("old_names", "old_values"):
            nodes.append(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "at":
            nodes += [arg for arg in node.args if isinstance(arg, ast.Constant)]
    return {line for node in nodes for line in range(node.lineno, (node.end_lineno or 0) + 1)}  # type: ignore[attr-defined]


def old_words(text: str, *, code: bool) -> Iterator[tuple[int, str]]:
    """Yield line and word of every old word in a text."""
    exempt = exempt_lines(ast.parse(text)) if code else set()
    for number, line in enumerate(text.splitlines(), 1):
        if number not in exempt:
            yield from ((number, match.group()) for match in OLD_WORDS.finditer(MACHINE_FIELD.sub("", line)))
    if code:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and token.string in OLD_NAMES and token.start[0] not in exempt:
                yield token.start[0], token.string


@pytest.mark.slow
def test_old_words_are_gone() -> None:
    paths = [path for room in (*ROOMS, "clearsight", "docs") for path in (HOUSE / room).rglob("*")]
    used = [
        f"{path.relative_to(HOUSE)}:{line}: {word}"
        for path in (*sorted(paths), HOUSE / "README.md", HOUSE / "CONTRIBUTING.md")
        if path.suffix in TOLD
        for line, word in old_words(path.read_text(encoding="utf-8"), code=path.suffix == ".py")
    ]
    assert not used, "say it in the field's words:\n" + "\n".join(used)
    files = {path.relative_to(HOUSE).as_posix() for path in paths if path.stem in OLD_FILES}
    folders = {path.parent.relative_to(HOUSE).as_posix() for path in paths if path.parent.name in OLD_NAMES}
    assert not files | folders


def test_old_fields_are_gone_and_still_read() -> None:
    from clearsight.data.contract.spec import Spec
    from clearsight.pipelines.config.registries import GROUPS

    specs: list[type[Spec]] = [spec for registry in GROUPS.values() for spec in registry]
    assert not [(spec.__name__, name) for spec in specs for name in OLD_FIELDS & spec.model_fields.keys()]
    renamed = {(spec.__name__, old, new) for spec in specs for old, new in spec.old_names.items()}
    assert ("ShortExposure", "white", "full_well") in renamed
    for spec in specs:
        assert set(spec.old_names.values()) <= spec.model_fields.keys(), spec
        assert not spec.old_names.keys() & spec.model_fields.keys(), spec


def test_the_search_for_old_words_finds() -> None:
    code = 'PICTURES = 3  # the evidence\nclass Behind:\n    """Behind it."""\nx = rng.at("examined")\nmachine.processor\n'
    assert [word for _, word in old_words(code, code=True)] == ["PICTURES", "evidence", "Behind"]
