"""Measure the source of the package: lengths, docstrings, annotations, circles, tests.

Prints a table for this repository, or for another checkout:

    python tests/helpers/code_figures.py [FOLDER]
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from statistics import median

Function = ast.FunctionDef | ast.AsyncFunctionDef
ROOMS = ("ray_al", "jobs", "tests")
TEXT_SUFFIXES = frozenset({".md", ".yaml", ".toml", ".j2"})
SETTINGS_BASE = "BaseModel"
"""Where pydantic's models begin: the fields of whatever derives from it are settings."""


@dataclass(frozen=True)
class Share:
    """How many of a number of things have a property."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share, 1 if there is nothing to count."""
        return self.count / self.total if self.total else 1.0

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.count} of {self.total})"


@dataclass(frozen=True)
class Figures:
    """What is measured; lengths are in lines."""

    num_files: int
    file_lengths: tuple[int, ...]
    function_lengths: tuple[int, ...]
    long_files: tuple[str, ...]
    long_functions: tuple[str, ...]
    wide_lines: tuple[str, ...]
    docstrings: Share
    settings: Share
    annotations: Share
    typed_tests: Share
    circles: tuple[str, ...]
    num_inner_imports: int
    num_any: int
    test_lines: int
    readme_bytes: int

    @property
    def tests_per_source(self) -> float:
        """Lines of tests for each line of source."""
        return self.test_lines / sum(self.file_lengths)


def measure(root: Path, *, longest_file: int = 350, longest_body: int = 45) -> Figures:
    """Measure a checkout.

    Args:
        root: the repository, with the folders `ray_al`, `jobs` and `tests`.
        longest_file: source files with more lines are listed.
        longest_body: functions whose bodies have more lines are listed.
    """
    texts = {path: path.read_text() for path in _files(root, "ray_al")}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    tests = {path: path.read_text() for path in _files(root, "tests")}
    wide = texts | tests | {path: path.read_text() for path in _files(root, "jobs")}
    wide |= {path: _prose(path.read_text()) for path in _other_texts(root)}
    lengths = {path: len(text.splitlines()) for path, text in texts.items()}
    bodies = {
        f"{path.relative_to(root)}:{node.lineno} {node.name}": body_length(node)
        for path, tree in trees.items()
        for node in _functions(tree)
    }
    return Figures(
        num_files=len(texts),
        file_lengths=tuple(lengths.values()),
        function_lengths=tuple(bodies.values()),
        long_files=tuple(
            str(path.relative_to(root)) for path, num in lengths.items() if num > longest_file
        ),
        long_functions=tuple(name for name, num in bodies.items() if num > longest_body),
        wide_lines=_wide_lines(root, wide),
        docstrings=_docstrings(trees.values()),
        settings=_described_settings(list(trees.values())),
        annotations=_annotated(trees.values()),
        typed_tests=_annotated(map(ast.parse, tests.values())),
        circles=_circles(root, trees),
        num_inner_imports=sum(_inner_imports(tree) for tree in trees.values()),
        num_any=sum(_num_any(tree) for tree in trees.values()),
        test_lines=sum(len(text.splitlines()) for text in tests.values()),
        readme_bytes=len((root / "README.md").read_bytes()),
    )


def body_length(function: Function) -> int:
    """Return how many lines a function's body has, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def find_circles(root: Path) -> tuple[str, ...]:
    """Return one circle of imports for each package that has any, imports in functions included."""
    return _circles(root, {path: ast.parse(path.read_text()) for path in _files(root, "ray_al")})


def _circles(root: Path, trees: Mapping[Path, ast.Module]) -> tuple[str, ...]:
    found = []
    for package in sorted(path.parent for path in root.glob("ray_al/*/__init__.py")):
        inside = {path: tree for path, tree in trees.items() if path.is_relative_to(package)}
        graph = _import_graph(root, inside)
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            found.append(" <- ".join(error.args[1]))
    return tuple(found)


def _import_graph(root: Path, trees: Mapping[Path, ast.Module]) -> dict[str, set[str]]:
    """Return which modules of a package import which others, except for types alone."""
    modules = {}
    for path, tree in trees.items():
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = tree
    return {name: _imports(tree, modules.keys()) for name, tree in modules.items()}


def _imports(tree: ast.Module, modules: Set[str]) -> set[str]:
    """Return which of some modules a module imports, except for types alone."""
    blocks = [node for node in _statements(tree) if isinstance(node, ast.If)]
    of_types = {
        inner
        for block in blocks
        if ast.unparse(block.test) == "TYPE_CHECKING"
        for inner in _statements(block)
    }
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.ImportFrom) and node not in of_types:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner if inner <= modules else {str(node.module), *inner}
    return found & modules


def _files(root: Path, folder: str) -> list[Path]:
    return sorted((root / folder).rglob("*.py"))


def _other_texts(root: Path) -> list[Path]:
    """Return the documents, templates and settings of a checkout."""
    below = (*root.glob("*"), *(path for name in ROOMS for path in (root / name).rglob("*")))
    return sorted(path for path in below if path.suffix in TEXT_SUFFIXES)


def _prose(text: str) -> str:
    """Return a text without rows of tables and pictures, which Markdown cannot break."""
    return re.sub(r"^(\||!\[).*$", "", text, flags=re.MULTILINE)


def _statements(parent: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements inside a node; those have none inside their expressions."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for node in getattr(parent, field, ()):
            if isinstance(node, ast.stmt):
                yield node
            yield from _statements(node)


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in _statements(tree) if isinstance(node, Function))


def _wide_lines(root: Path, texts: Mapping[Path, str], limit: int = 100) -> tuple[str, ...]:
    found = []
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) > limit:
                found.append(f"{path.relative_to(root)}:{number}")
    return tuple(found)


def _docstrings(trees: Iterable[ast.Module]) -> Share:
    """Count the docstrings of public modules, classes, functions and methods."""
    nodes = [node for tree in trees for node in (tree, *_public(tree))]
    return Share(sum(bool(ast.get_docstring(node)) for node in nodes), len(nodes))


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _described_settings(trees: Sequence[ast.Module]) -> Share:
    """Count the fields of pydantic's models that a docstring or a description explains."""
    bases = {
        node: {*map(ast.unparse, node.bases)}
        for tree in trees
        for node in _statements(tree)
        if isinstance(node, ast.ClassDef)
    }
    names, num_known = {SETTINGS_BASE}, 0
    while len(names) > num_known:
        num_known = len(names)
        names |= {node.name for node, parents in bases.items() if names & parents}
    models = [node for node, parents in bases.items() if names & parents]
    described = [is_described for model in models for is_described in _fields(model)]
    return Share(sum(described), len(described))


def _fields(model: ast.ClassDef) -> Iterator[bool]:
    """Say of each setting of a model, except what names the variant, whether it is described."""
    for node, following in pairwise([*model.body, ast.Pass()]):
        if not isinstance(node, ast.AnnAssign) or "ClassVar" in ast.unparse(node.annotation):
            continue
        name = ast.unparse(node.target)
        if name.startswith("_") or name == "kind":
            continue
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        yield is_text or "description=" in ast.unparse(node)


def _annotated(trees: Iterable[ast.Module]) -> Share:
    """Count the functions all of whose arguments and results have types."""
    complete = []
    for node in (node for tree in trees for node in _functions(tree)):
        all_args = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        rest = [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
        named = [argument for argument in (*all_args, *rest) if argument.arg not in ("self", "cls")]
        complete.append(node.returns is not None and all(arg.annotation for arg in named))
    return Share(sum(complete), len(complete))


def _inner_imports(tree: ast.Module) -> int:
    inner = {node for function in _functions(tree) for node in _statements(function)}
    return sum(isinstance(node, ast.Import | ast.ImportFrom) for node in inner)


def _num_any(tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def _lengths(values: Sequence[int]) -> str:
    at_90 = sorted(values)[int(0.9 * (len(values) - 1))]
    return f"{median(values):.0f} / {at_90} / {max(values)}"


def table(figures: Figures) -> str:
    """Return the figures as rows of a Markdown table."""
    rows = {
        "source files / lines": f"{figures.num_files} / {sum(figures.file_lengths):,}",
        "file lines, median / p90 / max": _lengths(figures.file_lengths),
        "files over 350 lines": len(figures.long_files),
        "function body lines, median / p90 / max": _lengths(figures.function_lengths),
        "functions over 45 lines": len(figures.long_functions),
        "lines over 100 columns": len(figures.wide_lines),
        "public docstrings": figures.docstrings,
        "settings described": figures.settings,
        "functions with types": figures.annotations,
        "functions of tests with types": figures.typed_tests,
        "packages with import circles": len(figures.circles),
        "imports within functions": figures.num_inner_imports,
        "uses of Any": figures.num_any,
        "tests / source lines": f"{figures.tests_per_source:.2f}",
        "README bytes": f"{figures.readme_bytes:,}",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    print(table(measure(folder)))
