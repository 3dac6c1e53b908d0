"""Code in documentation beside the prose around it, and instructions said in other words."""

import random
from pathlib import Path

import pytest

from training.gpu import gather, sentences
from training.gpu.words import rewording
from training.prepare import Gathering, Seen
from training.sources import fenced
from training.sources.docs import Docs

PAGE = """---
title: Storage
---

## Creating a backup

A backup copies the files that a manifest names, and then the manifest itself. It can run while the server answers
queries, and `winnow backup` checks each file by its sum before it says that all is well.

```sh
# not a heading
winnow backup --to /srv/copy --verify --quiet
```

```rust
{{#include ../listings/of-another-file/that-is-not-here.rs}}
```

## Short

Too little to read.

```sh
winnow doctor --data /srv/winnow --format json --all
```
"""


def test_a_section_gives_its_block_and_its_prose_apart(tmp_path: Path) -> None:
    path = tmp_path / "storage.md"
    path.write_text(PAGE, encoding="utf-8")
    docs = Docs(name="storage", licence="MIT", product="Winnow")
    (one,) = fenced.of_page(docs, path)
    assert one.code == "# not a heading\nwinnow backup --to /srv/copy --verify --quiet"
    assert one.prose.startswith("A backup copies the files")
    assert "/srv/copy" not in one.prose
    assert (one.lang, one.form, one.heading) == ("en", "sh", "Creating a backup")
    assert one.question.strip()


def test_blocks_become_twins_of_prose_and_code(tmp_path: Path) -> None:
    path = tmp_path / "storage.md"
    path.write_text(PAGE, encoding="utf-8")
    (one,) = fenced.of_page(Docs(name="storage", licence="MIT", product="Winnow"), path)
    seen = Seen.__new__(Seen)
    seen.texts, seen.dropped = set(), 0
    to = Gathering(seen, random.Random(1))
    gather.add_fenced_row(to, {"source": one.source, "question": one.question, "heading": one.heading,
                               "prose": one.prose, "code": one.code})  # fmt: skip
    (twin,) = to.twins
    assert twin.source == f"{gather.FENCED}-storage.kinds"
    assert [to.passages[row].kind for row in (twin.first, twin.second)] == ["prose", "code"]


@pytest.mark.parametrize("seed", range(20))
def test_other_words_are_of_the_same_group(seed: int) -> None:
    said = rewording.reworded("Snippets above articles; 代码靠前。", random.Random(seed))
    english, chinese = said.split("; ")
    assert english.split()[0].lower() in {"snippets", "listings", "code"}
    assert any(word in english for word in (" above ", " ahead of "))
    assert english.split()[-1] in {"articles", "essays", "guides"}
    assert any(word in chinese for word in ("代码", "源码"))


@pytest.mark.parametrize("seed", range(40))
def test_a_slip_keeps_the_words_that_tell_the_direction(seed: int) -> None:
    said = rewording.careless("Never put essays before programs", random.Random(seed)).lower()
    assert "never" in said.split()
    assert "before" in said.split()


def test_opposite_sentences_exchange_what_is_wanted() -> None:
    for one, other in (("code", "prose"), ("zh", "en")):
        for chinese in (False, True):
            ours, theirs = (sentences.of_opposites(kind, chinese=chinese) for kind in (one, other))
            assert len(ours) == len(theirs) > 50
            assert not set(ours) & set(theirs)
