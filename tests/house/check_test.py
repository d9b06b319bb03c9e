"""The house rules catch what they are for: each on a small tree with one fault, and on one without."""

import tempfile
import unittest
from pathlib import Path

import rules
import source


class Rules(unittest.TestCase):
    def complaints(self, rule: str, tree: dict[str, str]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, text in tree.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return list(rules.ALL[rule](root, sorted(p for p in root.rglob("*") if p.is_file())))

    def test_backward_include_is_named(self):
        got = self.complaints("rooms", {"src/data/a.cpp": '#include "base/x.hpp"\n#include "nn/ops.hpp"\n'})
        self.assertEqual(len(got), 1)
        self.assertTrue(got[0].startswith("src/data/a.cpp:2: data includes nn/ops.hpp"))

    def test_own_room_and_rooms_above_pass(self):
        self.assertEqual(self.complaints("rooms", {"src/nn/a.cpp": '#include "nn/b.hpp"\n#include "data/c.hpp"\n'}), [])

    def test_families_stay_apart(self):
        tree = {
            "src/models/blt/a.cpp": '#include "models/model.hpp"\n#include "models/transformer/t.hpp"\n',
            "src/models/transformer/a.cpp": '#include "models/blt/t.hpp"\n',
            "src/methods/a/a.cpp": '#include "methods/b/b.hpp"\n',
        }
        got = self.complaints("rooms", tree)
        self.assertEqual([g.split(":")[0] for g in got], ["src/methods/a/a.cpp", "src/models/transformer/a.cpp"])

    def test_torch_only_through_its_door(self):
        tree = {
            "src/nn/tensor.hpp": "#include <ATen/ATen.h>\n",
            "src/kernels/a.cpp": "#include <c10/util/Half.h>\n",
            "src/nn/b.cpp": "#include <torch/torch.h>\n",
            "include/octet/octet.hpp": "#include <string>\n#include <fmt/format.h>\n",
        }
        got = self.complaints("includes", tree)
        self.assertEqual([g.split(":")[0] for g in got], ["include/octet/octet.hpp", "src/kernels/a.cpp", "src/nn/b.cpp"])

    def test_launcher_must_not_reach_torch(self):
        tree = {
            "src/app/main.cpp": '#include "app/launch.hpp"\n',
            "src/app/launch.hpp": '#include "nn/tensor.hpp"\n',
            "src/app/engine.cpp": '#include "nn/tensor.hpp"\n',
            "src/nn/tensor.hpp": "",
        }
        got = self.complaints("launcher", tree)
        self.assertEqual([g.split(":")[0] for g in got], ["src/app/launch.hpp", "src/app/main.cpp"])
        self.assertIn("src/nn/tensor.hpp <- src/app/launch.hpp <- src/app/main.cpp", got[1])

    def test_long_function_and_long_file(self):
        body = "void f(int a) {\n" + "  g();\n" * 59 + "}\n"
        got = self.complaints("budgets", {"src/base/a.cpp": body, "src/base/b.cpp": "//\n" * 601})
        self.assertEqual(len(got), 2)
        self.assertIn("f has 61 lines", got[0])
        self.assertIn("601 lines", got[1])

    def test_paths_of_one_machine(self):
        here = "/" + "home/me/octet\n"
        self.assertEqual(len(self.complaints("paths", {"a.md": here, "b.md": "/proc/self ../home/x\n"})), 1)

    def test_text(self):
        got = self.complaints("text", {"a.md": "x \ny", "b.cpp": "// TO" "DO: later\n// TO" "DO(#4): x\n"})
        self.assertEqual(len(got), 3)

    def test_dead_link(self):
        got = self.complaints("links", {"a.md": "[x](b.md) [y](c.md#z) [w](https://example.org) `[q](d.md)`\n", "b.md": ""})
        self.assertEqual(len(got), 1)


class Functions(unittest.TestCase):
    def names(self, text: str) -> list[tuple[str, int, int]]:
        return [(f.name, f.line, f.lines) for f in source.functions(text)]

    def test_free_member_and_test_bodies(self):
        text = (
            "namespace a {\nstruct S : B {\n  int x = 0;\n public:\n  S(int v) : x{v}, y_(2) {\n    f();\n  }\n"
            "  bool ok() const { return true; }\n};\n}  // a\nTEST(A, B) {\n  auto f = [] {\n  };\n}\n"
        )
        self.assertEqual(self.names(text), [("S", 5, 3), ("ok", 8, 1), ("TEST", 11, 4)])

    def test_values_are_no_functions(self):
        self.assertEqual(self.names("const T kAll[] = {\n  {1, f(2)},\n};\nint x{3};\nenum class E { a, b };\n"), [])

    def test_literals_and_comments_hold_no_braces(self):
        text = 'void f() {\n  g("}{", \'{\', R"(}}})");  // }\n  /* { */\n}\nint h() { return 1\'000; }\n'
        self.assertEqual(self.names(text), [("f", 1, 4), ("h", 5, 1)])

    def test_header_over_lines_and_default_arguments(self):
        text = "template <class T>\nstd::vector<T> f(const T& a,\n                 Options o = {}) {\n  return {};\n}\n"
        self.assertEqual(self.names(text), [("f", 1, 5)])


if __name__ == "__main__":
    unittest.main()
