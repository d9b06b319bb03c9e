#!/usr/bin/env python3
"""Runs the command lines of a page and compares what they print with what the page shows.

run_docs.py PAGE.md [--programs FOLDER] [--show]

In a code block a line "$ command" is run by bash; lines starting with "> " right after it continue it. The lines up to the
next command or the end of the block are the expected output (stdout and stderr together). In them
  ...        as a whole line: any number of lines; within a line: anything
  [exit 3]   as the last line: the exit code, 0 where it is not given
A command without expected output is only checked for its exit code; "$ command  # note" is fine, bash ignores notes.
All commands of a page run one after another in one new, empty folder, with FOLDER (where `octet` lies) first in PATH,
a home folder of its own, and no colour. --show prints what each command printed, in the form of a page.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

TIME_LIMIT_S = 300


@dataclass
class Command:
    line: int
    text: str
    expected: list[str] = field(default_factory=list)
    exit_code: int = 0


def commands(page: str) -> list[Command]:
    found: list[Command] = []
    fence, open_command = "", False
    for number, line in enumerate(page.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and (not fence or mark.group(1) == fence):
            fence, open_command = ("" if fence else mark.group(1)), False
        elif not fence:
            continue
        elif line.startswith("$ "):
            found.append(Command(number, line[2:]))
            open_command = True
        elif open_command and line.startswith("> ") and not found[-1].expected:
            found[-1].text += "\n" + line[2:]
        elif open_command and (code := re.fullmatch(r"\[exit (\d+)\]", line)):
            found[-1].exit_code = int(code.group(1))
        elif open_command:
            found[-1].expected.append(line.rstrip())
    for command in found:
        while command.expected and not command.expected[-1]:
            command.expected.pop()
    return found


def mismatch(expected: list[str], printed: list[str]) -> str:
    """Empty when the printed lines fit; else the first expected line that does not."""
    patterns = [None if e == "..." else re.compile(".*".join(map(re.escape, e.split("...")))) for e in expected]
    reachable, furthest = {0}, 0  # numbers of printed lines that the patterns so far can have used up
    for index, pattern in enumerate(patterns):
        if pattern is None:
            reachable = set(range(min(reachable), len(printed) + 1))
        else:
            reachable = {n + 1 for n in reachable if n < len(printed) and pattern.fullmatch(printed[n])}
        if not reachable:
            got = f"printed line {furthest + 1}: {printed[furthest]}" if furthest < len(printed) else "the output ended"
            return f"expected line {index + 1}: {expected[index]}\n{got}"
        furthest = min(reachable)
    if len(printed) in reachable:
        return ""
    return f"the output goes on after the expected lines: {printed[max(reachable)]}"


def run(command: Command, folder: Path, environment: dict[str, str]) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    text = done.stdout.decode("utf-8", errors="backslashreplace")
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return done.returncode, lines


def make_environment(folder: Path, programs: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OCTET_HOME", "CLICOLOR", "FORCE_COLOR"))}
    home = folder / ".home"
    home.mkdir()
    environment.update(HOME=str(home), OCTET_HOME=str(home / "octet"), NO_COLOR="1", LC_ALL="C.UTF-8", OMP_NUM_THREADS="1")
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    return environment


def run_page(page: Path, programs: Path, show: bool) -> int:
    """Prints what does not fit; the number of commands that failed."""
    found = commands(page.read_text(encoding="utf-8"))
    folder = Path(tempfile.mkdtemp(prefix="octet-docs-"))
    failed = 0
    try:
        environment = make_environment(folder, programs)
        for command in found:
            exit_code, printed = run(command, folder, environment)
            if show:
                print(f"$ {command.text}", *printed, *([f"[exit {exit_code}]"] if exit_code else []), sep="\n")
            why = mismatch(command.expected, printed) if command.expected else ""
            if exit_code != command.exit_code:
                why = f"exit code {exit_code}, expected {command.exit_code}\n{why}"
            if why:
                failed += 1
                print(f"{page}:{command.line}: $ {command.text}\n{why}\n--- printed:", *printed, "---", sep="\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{page.name}: {len(found)} commands, {failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--programs", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    return 1 if run_page(options.page.resolve(), options.programs.resolve(), options.show) else 0


if __name__ == "__main__":
    sys.exit(main())
