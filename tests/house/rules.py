"""The rules of the house. Each takes the root and the files and yields "file:line: what is wrong, what is expected"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import source

ROOMS = ["base", "kernels", "data", "nn", "models", "infer", "train", "methods", "server", "app"]
PLAIN_FAMILY = "transformer"
MAX_FUNCTION, MAX_FILE = 60, 600
TORCH = ("torch/", "ATen/", "c10/")
TORCH_DOOR = "src/nn/tensor.hpp"
HEAVY = {"torch/torch.h", "torch/nn.h", "torch/all.h", "torch/script.h", "torch/extension.h", "torch/types.h"}
HOMES = re.compile(r"(?<![\w.$})*~-])/(?:home|root|Users|work|workspace|workspaces)/\w")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _cpp(root: Path, files: list[Path], *folders: str) -> Iterator[tuple[str, str]]:
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix in source.CPP and name.startswith(folders):
            yield name, _text(path)


def rooms(root: Path, files: list[Path]) -> Iterator[str]:
    """A room includes only rooms above it; families of models and methods do not include one another, but for the
    plain transformer, which others are made of (a BLT's entropy model is one)."""
    for name, text in _cpp(root, files, "src/"):
        parts = name.split("/")
        for line, target in source.includes(text):
            other = target.split("/")
            if other[0] not in ROOMS:
                continue
            if ROOMS.index(other[0]) > ROOMS.index(parts[1]):
                yield f"{name}:{line}: {parts[1]} includes {target}, expected a room up to {parts[1]} in {' '.join(ROOMS)}"
            families = other[0] == parts[1] in ("models", "methods") and len(parts) > 3 and len(other) > 2
            if families and other[1] not in (parts[2], PLAIN_FAMILY):
                yield f"{name}:{line}: {parts[1]}/{parts[2]} includes {target}; what two need moves up the line"


def includes(root: Path, files: list[Path]) -> Iterator[str]:
    """libtorch is seen from nn on, through nn/tensor.hpp only; its heavy headers nowhere; own headers by their room."""
    for name, text in _cpp(root, files, "src/", "tests/", "include/", "bench/", "examples/"):
        for line, target in source.includes(text):
            if target in HEAVY:
                yield f"{name}:{line}: {target} is banned (10 s a file); expected nn/tensor.hpp"
            elif target.startswith(TORCH) and name != TORCH_DOOR:
                yield f"{name}:{line}: {target}; libtorch comes through nn/tensor.hpp only"
            if name.startswith("include/") and not target.startswith("octet/") and "/" in target:
                yield f"{name}:{line}: {target}; public headers include the standard library and octet/ only"
            if name.startswith("src/") and target.endswith(".hpp") and (root / name).parent.joinpath(target).is_file():
                if target.split("/")[0] not in ROOMS:
                    yield f"{name}:{line}: {target}; expected the path from src/, room first"


def launcher(root: Path, files: list[Path]) -> Iterator[str]:
    """What src/app/ (but engine*) includes, directly or not, stays without libtorch."""
    texts = dict(_cpp(root, files, "src/"))
    for name in texts:
        if not name.startswith("src/app/") or name.startswith("src/app/engine") or name.endswith("_test.cpp"):
            continue
        came_from, todo = {name: ""}, [name]
        while todo:
            here = todo.pop()
            for _, target in source.includes(texts.get(here, "")):
                header = "src/" + target
                if header in texts and header not in came_from:
                    came_from[header] = here
                    todo.append(header)
        if TORCH_DOOR in came_from:
            way = [TORCH_DOOR]
            while came_from[way[-1]]:
                way.append(came_from[way[-1]])
            yield f"{name}:1: the launcher sees libtorch: {' <- '.join(way)}"


def budgets(root: Path, files: list[Path]) -> Iterator[str]:
    """Functions of at most 60 lines, files of code of at most 600."""
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix not in source.CODE and name != "x":
            continue
        text = _text(path)
        if text.count("\n") > MAX_FILE:
            yield f"{name}:1: {text.count(chr(10))} lines, expected at most {MAX_FILE}"
        for function in _functions(path, text):
            if function.lines > MAX_FUNCTION:
                yield f"{name}:{function.line}: {function.name} has {function.lines} lines, expected at most {MAX_FUNCTION}"


def _functions(path: Path, text: str) -> list[source.Function]:
    if path.suffix in source.CPP:
        return source.functions(text)
    if path.suffix != ".py":
        return []
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    return [source.Function(n.name, n.lineno, (n.end_lineno or n.lineno) - n.lineno + 1) for n in nodes]


def sizes(root: Path, files: list[Path]) -> str:
    """One line: how much code there is and the 90th percentiles beside their budgets."""
    lines, lengths = [], []
    for name, text in _cpp(root, files, "src/", "include/", "bench/"):
        if not name.endswith("_test.cpp"):
            lines.append(text.count("\n"))
            lengths += [f.lines for f in source.functions(text)]
    if not lines:
        return "no code yet"
    p90 = [sorted(values)[int(0.9 * (len(values) - 1))] if values else 0 for values in (lines, lengths)]
    return f"{len(lines)} files, {sum(lines)} lines without tests; 90th percentile: file {p90[0]} (400), function {p90[1]} (40)"


def paths(root: Path, files: list[Path]) -> Iterator[str]:
    """No folder of somebody's machine."""
    for path in files:
        for number, line in enumerate(_text(path).splitlines(), 1):
            if HOMES.search(line):
                yield f"{path.relative_to(root)}:{number}: a path of one machine: {line.strip()[:80]}"


def text(root: Path, files: list[Path]) -> Iterator[str]:
    """Line ends, blanks at line ends, final newline, and a number in every to-do."""
    for path in files:
        name = path.relative_to(root)
        if path.suffix not in source.CODE | {".md", ".toml", ".txt", ".json", ".cff"} and path.name != "x":
            continue
        content = _text(path)
        if content and not content.endswith("\n"):
            yield f"{name}:{content.count(chr(10)) + 1}: no newline at the end"
        for number, line in enumerate(content.split("\n"), 1):
            if line.endswith((" ", "\t", "\r")):
                yield f"{name}:{number}: a blank at the end of the line"
            if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line) and "house" not in name.parts:
                yield f"{name}:{number}: expected TODO(#issue)"


def links(root: Path, files: list[Path]) -> Iterator[str]:
    """Relative links of the documents lead to files."""
    for path in files:
        if path.suffix != ".md":
            continue
        plain = re.sub(r"```.*?```|`[^`\n]*`", lambda m: "\n" * m.group(0).count("\n"), _text(path), flags=re.DOTALL)
        for match in re.finditer(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", plain):
            target = match.group(1)
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                line = plain.count("\n", 0, match.start()) + 1
                yield f"{path.relative_to(root)}:{line}: link to {target}, which does not exist"


ALL = {rule.__name__: rule for rule in (rooms, includes, launcher, budgets, paths, text, links)}
