"""What the house rules look at: the project's files, C++ without comments, its includes and its functions."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CPP = {".cpp", ".hpp"}
CODE = CPP | {".py", ".sh", ".cmake", ".js"}


def project_files(root: Path) -> list[Path]:
    """Files git tracks or would track, in order; those removed from disk are left out."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [root / name for name in sorted(set(names)) if name and (root / name).is_file()]


def changed_files(root: Path) -> list[Path]:
    """Files that differ from the last commit, new ones included."""
    names = set()
    for arguments in (["diff", "--name-only", "-z", "HEAD"], ["ls-files", "-o", "-z", "--exclude-standard"]):
        done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
        names.update(done.stdout.split("\0"))
    return [root / name for name in sorted(names) if name and (root / name).is_file()]


_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


def bare_cpp(text: str) -> str:
    """The text without comments, literals and preprocessor lines; line breaks stay where they were."""

    def blank(match: re.Match) -> str:
        kept = '""' if match.group(0)[0] in "R\"'" else " "
        return kept + "\n" * match.group(0).count("\n")

    return _DIRECTIVE.sub(lambda m: "\n" * m.group(0).count("\n"), _NOISE.sub(blank, text))


def includes(text: str) -> list[tuple[int, str]]:
    """(line, target) of every #include."""
    found = re.finditer(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', text, re.MULTILINE)
    return [(text.count("\n", 0, m.start()) + 1, m.group(1)) for m in found]


@dataclass
class Function:
    name: str
    line: int
    lines: int


_TYPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:typedef\s+)?(?:class|struct|union|enum)\b", re.DOTALL)
_LABEL = re.compile(r"^\s*(?:public|private|protected)\s*:")


def _kind(header: str) -> str:
    """What the brace after `header`, at namespace or class level, opens: scope, function or value."""
    if re.search(r"\bnamespace\b", header) or re.match(r'extern\s+""', header) or _TYPE.match(header):
        return "scope"
    if "(" not in header:
        return "value"
    before = header.split("(", 1)[0]
    if "=" in before and "operator" not in before:
        return "value"
    member_list = re.search(r"\)[^()]*?(?<!:):(?!:)", header)
    if member_list and header[-1] not in ")}":
        return "value"  # Point(int x) : x_{x} ...
    return "function"


def functions(text: str) -> list[Function]:
    """Function definitions at namespace and class level; lambdas and local types count as part of theirs."""
    found: list[Function] = []
    stack: list[tuple[str, int, str]] = []  # kind, line of the header, header
    header, header_line, line, parens = "", 1, 1, 0
    for char in bare_cpp(text):
        in_scope = all(kind == "scope" for kind, _, _ in stack)
        if char == "\n":
            line += 1
        if char in "()" and in_scope:
            parens += 1 if char == "(" else -1
        if char == "{":
            kind = _kind(header.strip()) if in_scope and parens == 0 else "value"
            stack.append((kind, header_line, header.strip()))
            if kind == "scope":
                header = ""
            continue
        if char == "}" and stack:
            kind, start, text_before = stack.pop()
            if kind == "function":
                name = re.split(r"[\s*&]", text_before.split("(", 1)[0].strip())[-1]
                found.append(Function(name, start, line - start + 1))
            if kind in ("scope", "function") and all(k == "scope" for k, _, _ in stack):
                header = ""
            elif in_scope or all(k == "scope" for k, _, _ in stack):
                header += "}"
            continue
        if not in_scope:
            continue
        if char == ";" and parens == 0:
            header = ""
            continue
        if not header.strip() and not char.isspace():
            header, header_line = "", line
        header = _LABEL.sub("", header + char)
    return found
