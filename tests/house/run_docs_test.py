"""The runner of the documents' command lines: what it takes for a command, what fits, what does not."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import run_docs  # noqa: E402


class Commands(unittest.TestCase):
    def test_commands_output_and_exit_codes(self):
        page = "$ not a command\n```\n$ a\none\n\n$ b <<E\n> two\n> E\n$ c\nx\n[exit 3]\n```\n$ nor this\n"
        got = [(c.line, c.text, c.expected, c.exit_code) for c in run_docs.commands(page)]
        self.assertEqual(got, [(3, "a", ["one"], 0), (6, "b <<E\ntwo\nE", [], 0), (9, "c", ["x"], 3)])

    def test_wildcards(self):
        for expected, printed in [
            (["a"], ["a"]),
            (["..."], []),
            (["...", "b"], ["x", "y", "b"]),
            (["a", "...", "b", "..."], ["a", "b"]),
            (["loss ... bpb 2... ok"], ["loss 0.7 bpb 2.31 ok"]),
            (["...", "b", "...", "b"], ["b", "c", "b"]),
        ]:
            self.assertEqual(run_docs.mismatch(expected, printed), "", (expected, printed))
        for expected, printed in [
            (["a"], []),
            (["a"], ["a", "b"]),
            (["a.c"], ["abc"]),
            (["...", "b"], ["b", "c"]),
            (["a", "...", "d"], ["a", "b", "c"]),
        ]:
            self.assertNotEqual(run_docs.mismatch(expected, printed), "", (expected, printed))


class Pages(unittest.TestCase):
    def failures(self, page: str) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.md"
            path.write_text(page)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                failed = run_docs.run_page(path, Path(folder), False)
            return failed, out.getvalue()

    def test_one_folder_for_a_page(self):
        page = "```\n$ echo hello > f; echo oops >&2\noops\n$ cat f\nhel...\n$ ls; exit 4\nf\n[exit 4]\n```\n"
        self.assertEqual(self.failures(page)[0], 0)

    def test_what_does_not_fit_is_shown(self):
        failed, text = self.failures("```\n$ echo b\na\n$ exit 2\n$ true\n[exit 1]\n```\n")
        self.assertEqual(failed, 3)
        self.assertIn("page.md:2: $ echo b\nexpected line 1: a\nprinted line 1: b", text)
        self.assertIn("exit code 2, expected 0", text)


if __name__ == "__main__":
    unittest.main()
