#!/usr/bin/env python3
"""`./x check`: the house rules over the whole project, clang-format over what changed.

check.py [RULE...] [--all] [--fix-format]
  RULE          some of the rules only (rules.py; `format` is one too); default: all
  --all         clang-format over every file
  --fix-format  `./x fmt`: let clang-format rewrite the changed files
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import rules
import source

ROOT = Path(__file__).resolve().parents[2]


def clang_format(files: list[Path], fix: bool) -> list[str]:
    """The complaints of clang-format, one line per place; with fix, rewrites the files instead."""
    names = [str(f.relative_to(ROOT)) for f in files if f.suffix in source.CPP]
    if not names:
        return []
    mode = ["-i"] if fix else ["--dry-run", "-Werror", "--ferror-limit=3"]
    command = ["xargs", "-0", "-n", "8", "-P", str(os.cpu_count()), "clang-format", *mode]
    done = subprocess.run(command, input="\0".join(names) + "\0", cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 123):
        return [f"clang-format: {done.stderr.strip()}"]
    return [line for line in done.stderr.splitlines() if ": error:" in line]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rule", nargs="*", choices=[*rules.ALL, "format", []])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--fix-format", action="store_true")
    options = parser.parse_args()

    files = source.project_files(ROOT)
    to_format = files if options.all else source.changed_files(ROOT)
    if options.fix_format:
        complaints = clang_format(to_format, fix=True)
        print(*complaints, sep="\n", end="\n" if complaints else "")
        return 1 if complaints else 0
    chosen = options.rule or [*rules.ALL, "format"]
    complaints = []
    for name in chosen:
        complaints += clang_format(to_format, fix=False) if name == "format" else rules.ALL[name](ROOT, files)
    print(*complaints, sep="\n", end="\n" if complaints else "")
    print(f"check: {', '.join(chosen)}: {len(complaints)} complaints")
    if not options.rule:
        print(f"check: {rules.sizes(ROOT, files)}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
