"""Programming languages by the ending of a file's name. Imports no grammar: the choice of files reads this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A programming language."""

    name: str  # in the metadata, lower case
    grammar: str = ""  # module of its grammar; empty: its files are read as lines without functions
    grammar_function: str = "language"
    declares_encoding: bool = False  # by a comment of its first two lines (PEP 263; Ruby has the same)


def _with_grammar(name: str, module: str, function: str = "language", *, declares_encoding: bool = False) -> Language:
    return Language(
        name=name,
        grammar=f"tree_sitter_{module}",
        grammar_function=function,
        declares_encoding=declares_encoding,
    )


PYTHON: Final = _with_grammar("python", "python", declares_encoding=True)
JAVASCRIPT: Final = _with_grammar("javascript", "javascript")
TYPESCRIPT: Final = _with_grammar("typescript", "typescript", "language_typescript")
TSX: Final = _with_grammar("tsx", "typescript", "language_tsx")
JAVA: Final = _with_grammar("java", "java")
GO: Final = _with_grammar("go", "go")
RUST: Final = _with_grammar("rust", "rust")
C: Final = _with_grammar("c", "c")
CPP: Final = _with_grammar("c++", "cpp")
C_SHARP: Final = _with_grammar("c#", "c_sharp")
RUBY: Final = _with_grammar("ruby", "ruby", declares_encoding=True)
PHP: Final = _with_grammar("php", "php", "language_php")
BASH: Final = _with_grammar("bash", "bash")

PARSED: Final = (PYTHON, JAVASCRIPT, TYPESCRIPT, TSX, JAVA, GO, RUST, C, CPP, C_SHARP, RUBY, PHP, BASH)

_PARSED_ENDINGS: Final = {
    ".py": PYTHON, ".pyi": PYTHON, ".pyw": PYTHON,
    ".js": JAVASCRIPT, ".mjs": JAVASCRIPT, ".cjs": JAVASCRIPT, ".jsx": JAVASCRIPT,
    ".ts": TYPESCRIPT, ".mts": TYPESCRIPT, ".cts": TYPESCRIPT, ".tsx": TSX,
    ".java": JAVA,
    ".go": GO,
    ".rs": RUST,
    ".c": C,
    ".h": CPP,  # C++ reads C's declarations; the other way round, classes would be errors
    ".cc": CPP, ".cpp": CPP, ".cxx": CPP, ".hh": CPP, ".hpp": CPP, ".hxx": CPP, ".ipp": CPP, ".cu": CPP, ".cuh": CPP,
    ".cs": C_SHARP,
    ".rb": RUBY, ".rake": RUBY, ".gemspec": RUBY,
    ".php": PHP, ".phtml": PHP,
    ".sh": BASH, ".bash": BASH, ".zsh": BASH, ".ksh": BASH,
}  # fmt: skip
_PLAIN_ENDINGS: Final = {
    ".asm": "assembly", ".bat": "batch", ".clj": "clojure", ".cmake": "cmake", ".css": "css", ".cypher": "cypher",
    ".dart": "dart", ".dockerfile": "dockerfile", ".ex": "elixir", ".exs": "elixir", ".elm": "elm", ".erl": "erlang",
    ".f90": "fortran", ".for": "fortran", ".fs": "f#", ".gradle": "groovy", ".graphql": "graphql",
    ".groovy": "groovy", ".hcl": "hcl", ".hs": "haskell", ".ini": "ini", ".cfg": "ini", ".conf": "ini",
    ".jl": "julia", ".kt": "kotlin", ".kts": "kotlin", ".less": "less", ".lisp": "lisp", ".lua": "lua", ".m": "matlab",
    ".mk": "make", ".ml": "ocaml", ".nim": "nim", ".pas": "pascal", ".pl": "perl", ".pm": "perl",
    ".properties": "properties", ".proto": "protobuf", ".ps1": "powershell", ".r": "r", ".s": "assembly",
    ".sass": "sass", ".scala": "scala", ".scss": "scss", ".sol": "solidity", ".sql": "sql", ".svelte": "svelte",
    ".swift": "swift", ".tcl": "tcl", ".tex": "tex", ".tf": "hcl", ".thrift": "thrift", ".toml": "toml",
    ".v": "verilog", ".vb": "visual basic", ".vhd": "vhdl", ".vue": "vue", ".yaml": "yaml", ".yml": "yaml",
    ".zig": "zig",
}  # fmt: skip
_NAMES: Final = {
    "dockerfile": Language(name="dockerfile"),
    "gemfile": RUBY,
    "makefile": Language(name="make"),
    "rakefile": RUBY,
}
_BY_ENDING: Final = _PARSED_ENDINGS | {ending: Language(name=name) for ending, name in _PLAIN_ENDINGS.items()}
_INTERPRETERS: Final = (
    (re.compile(rb"python[0-9.]*"), PYTHON),
    (re.compile(rb"(?:ba|da|k|z)?sh"), BASH),
    (re.compile(rb"(?:node|deno|bun)"), JAVASCRIPT),
    (re.compile(rb"ruby[0-9.]*"), RUBY),
    (re.compile(rb"php[0-9.]*"), PHP),
    (re.compile(rb"perl[0-9.]*"), Language(name="perl")),
)
_SHEBANG: Final = re.compile(rb"#![^\n]*?([^\s/]+)(?:[ \t]+-[^\n]*)?\s*(?:\n|\Z)")

ENDINGS: Final = tuple(sorted(_BY_ENDING))
PLAIN: Final = Language(name="")


def language_of(name: str, start: bytes = b"") -> Language | None:
    """Return the language by the file's name, else by its first line `#!/usr/bin/env python3`; None if unknown."""
    path = PurePosixPath(name.lower())
    known = _BY_ENDING.get(path.suffix) or _NAMES.get(path.name)
    if known is not None or not start.startswith(b"#!"):
        return known
    found = _SHEBANG.match(start[:256])
    return next(
        (language for pattern, language in _INTERPRETERS if found is not None and pattern.fullmatch(found[1])), None
    )
