"""Outlines of source files in each language, and of this project against Python's own parser."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import winnow.indexer
from winnow.indexer.readers.code.languages import PYTHON, language_of
from winnow.indexer.readers.code.outline import Definition, outline

INDEXER = Path(winnow.indexer.__file__).parent


def flat(definitions: Sequence[Definition], above: str = "") -> Iterator[tuple[str, int, int, int]]:
    """Symbol, first line with comments, first line without, last line."""
    for each in definitions:
        yield above + each.name, each.first + 1, each.own_first + 1, each.last + 1
        yield from flat(each.inner, f"{above}{each.name}.")


def outline_of(name: str, code: str) -> list[tuple[str, int, int]]:
    language = language_of(name)
    assert language is not None
    found = outline(language, code.encode())
    assert found is not None
    return [(symbol, first, last) for symbol, first, _, last in flat(found)]


def by_ast(node: ast.AST, above: str = "") -> Iterator[tuple[str, int, int]]:
    for child in ast.iter_child_nodes(node):
        name = above
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{above}{child.name}."
            assert child.end_lineno is not None
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            yield name.rstrip("."), first, child.end_lineno
        yield from by_ast(child, name)


@pytest.mark.parametrize("path", sorted(INDEXER.rglob("*.py")), ids=lambda path: str(path.relative_to(INDEXER)))
def test_every_function_of_the_indexer_has_the_lines_that_python_knows(path: Path):
    content = path.read_bytes()
    found = outline(PYTHON, content)
    assert found is not None
    lines = [(symbol, first, last) for symbol, _, first, last in flat(found)]
    assert sorted(lines) == sorted(by_ast(ast.parse(content)))


LANGUAGES = {
    "a.js": (
        """\
/** Sends. */
export async function send(a) {
  return a;
}
// again
export const retry = async (n) => {
  return n;
};

@Injectable()
export default class Client extends Base {
  // handles
  handle = () => {
    return 1;
  };
  get name() {
    return 1;
  }
}
module.exports.stop = function () {
};
Client.prototype.go = function () {
};
""",
        [
            ("send", 1, 4), ("retry", 5, 8), ("Client", 10, 19), ("Client.handle", 12, 15), ("Client.name", 16, 18),
            ("stop", 20, 21), ("Client.go", 22, 23),
        ],
    ),
    "a.ts": (
        """\
namespace Tools.Inner {
  export interface Point<T> {
    x: number;
  }
  export abstract class Q<T> {
    @log
    go(): void {
    }
  }
  type A =
    | 'x';
}
declare module 'foo' {
  interface Z {
    a: 1
  }
}
""",
        [
            ("Tools.Inner", 1, 12), ("Tools.Inner.Point", 2, 4), ("Tools.Inner.Q", 5, 9), ("Tools.Inner.Q.go", 6, 8),
            ("Tools.Inner.A", 10, 11), ("foo", 13, 17), ("foo.Z", 14, 16),
        ],
    ),
    "a.tsx": ("export function App() {\n  return <p>x</p>;\n}\n", [("App", 1, 3)]),
    "a.java": (
        """\
package a.b;

/** A client. */
@Service
public class Client<T> {
  private int x = 1;

  /** Sends. */
  @Override
  public <U> void send(U u) {
  }
  enum State {
    A, B;
  }
  record P(int a) {
    P {
    }
  }
}
""",
        [("Client", 3, 19), ("Client.send", 8, 11), ("Client.State", 12, 14), ("Client.P", 15, 18),
         ("Client.P.P", 16, 17)],
    ),
    "a.go": (
        """\
package a

// Client sends.
type Client struct {
	x int
}
type (
	// One is one.
	One struct {
		a int
	}
)

// Send sends.
func (c *Client) Send(a int) error {
	return nil
}
func (List[T]) Len() int {
	return 1
}
func Free() {
}
""",
        [("Client", 3, 6), ("One", 8, 11), ("Client.Send", 14, 17), ("List.Len", 18, 20), ("Free", 21, 22)],
    ),
    "a.rs": (
        """\
/// A client.
#[derive(Debug)]
pub struct Client<T> {
    a: T,
}

impl<T> fmt::Display for Client<T> {
    /// Sends.
    #[inline]
    pub fn send(&self) -> i32 {
        1
    }
}
mod inner {
    fn f() {
    }
}
macro_rules! m {
    () => {};
}
""",
        [("Client", 1, 5), ("Client", 7, 13), ("Client.send", 8, 12), ("inner", 14, 17), ("inner.f", 15, 16),
         ("m", 18, 20)],
    ),
    "a.hpp": (
        """\
#define F(x) \\
   x
namespace a::b {
/// Client.
template <typename T>
class Client : public Base {
  // Sends.
  void send(int a) {
  }
};
template <class T>
int *Client<T>::find(const char *s) const {
}
bool operator==(const A& a, const A& b) {
}
}
extern "C" {
static int (*handler(void))(int) {
}
}
#ifdef X
int &ref() {
}
#endif
""",
        [("a.b", 3, 16), ("a.b.Client", 4, 10), ("a.b.Client.send", 7, 9), ("a.b.Client.find", 11, 13),
         ("a.b.operator==", 14, 15), ("handler", 18, 19), ("ref", 22, 23)],
    ),
    "a.c": (
        """\
/* lead */
static char *name(int a)
{
    return 0;
}
typedef struct {
  int a;
} Pair;
struct point {
  int x;
};
struct point here;
""",
        [("name", 1, 5), ("Pair", 6, 8), ("point", 9, 11)],
    ),
    "a.cs": (
        """\
namespace A.B {
  /// <summary>Client.</summary>
  [Serializable]
  public class Client {
    [Obsolete]
    public void Send() {
    }
    public int X {
      get { return 1; }
    }
  }
}
""",
        [("A.B", 1, 12), ("A.B.Client", 2, 11), ("A.B.Client.Send", 5, 7), ("A.B.Client.X", 8, 10)],
    ),
    "a.rb": (
        """\
module A
  # Client.
  class B::Client < Base
    # sends
    def send(a)
    end
    def self.make
    end
    private def hidden?
    end
  end
end
""",
        [("A", 1, 12), ("A.B.Client", 2, 11), ("A.B.Client.send", 4, 6), ("A.B.Client.make", 7, 8),
         ("A.B.Client.hidden?", 9, 10)],
    ),
    "a.php": (
        """\
<?php
namespace A\\B;
/** doc */
#[Attr]
final class Client {
  /** sends */
  public function send($a) {
  }
}
function free() {
}
?>
<p>html</p>
""",
        [("Client", 3, 9), ("Client.send", 6, 8), ("free", 10, 11)],
    ),
    "a.sh": (
        """\
#!/bin/bash
# sends
send() {
  echo 1
}
function stop {
  echo 2
}
""",
        [("send", 1, 5), ("stop", 6, 8)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGES)
def test_functions_and_classes_have_their_names_and_lines(name: str):
    code, expected = LANGUAGES[name]
    assert outline_of(name, code) == expected


def test_a_comment_after_code_or_above_a_blank_line_belongs_to_no_function():
    code = "x = 1  # the first\ndef f():\n    pass\n\n\n# a heading\n\ndef g():\n    pass\n"
    assert outline_of("a.py", code) == [("f", 2, 3), ("g", 8, 9)]


def test_two_functions_on_one_line_stand_beside_one_another():
    found = outline_of("a.js", "function a() {\n} function b() {\n}\n")
    assert found == [("a", 1, 2), ("b", 2, 3)]


def test_a_script_without_ending_is_known_by_its_first_line():
    for line, name in (
        ("#!/bin/sh", "bash"),
        ("#!/usr/bin/env python3", "python"),
        ("#!/usr/bin/env node --x", "javascript"),
    ):
        language = language_of("tool", f"{line}\n".encode())
        assert language is not None
        assert language.name == name
    assert language_of("tool", b"#!/opt/thing\n") is None
    assert language_of("notes", b"text") is None
