"""training/sources: what folders of public repositories become, on small pages written here."""

import gzip
import json
import lzma
import re
from pathlib import Path

import pytest

from training.sources import books, catalog, docs, forum, gather, law, markdown, overlap, questions, sample

ENGLISH = """---
title: Storage
---

# Storage

The server keeps every document in a store on disk, in one file for each generation of the collection.

## Creating a backup {#backup}

<Tip>Stop the writer first.</Tip> A backup copies the [files](https://example.org) that a manifest names, and then the
manifest itself. It can run while the server answers queries. Each file is checked by its sum.

```sh
# not a heading
winnow backup --to /srv/copy
```
"""
CHINESE = """---
title: 存储
---

# 存储

服务器把每个文档保存在磁盘上的存储中，集合的每一代对应一个文件，写入之后不再修改，删除也只是记下来。

## 创建备份

备份先复制清单里列出的文件，然后复制清单本身。服务器回答查询时也可以运行备份。每个文件都会校验，期间不会锁住任何东西。

```sh
# not a heading
winnow backup --to /srv/copy
```
"""


def page(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_a_page_becomes_sections_without_markup(tmp_path: Path) -> None:
    page(tmp_path, "storage.md", ENGLISH)
    found = [section for section in markdown.sections(tmp_path / "storage.md") if section.text]
    assert [section.heading for section in found] == ["Storage", "Creating a backup"]
    assert found[1].page == "Storage"
    assert "copies the files that a manifest names" in found[1].text
    assert "# not a heading\nwinnow backup" in found[1].text
    assert "<Tip>" not in found[1].text
    assert "```" not in found[1].text


def test_translated_sections_share_a_twin(tmp_path: Path) -> None:
    page(tmp_path, "a/en/storage.md", ENGLISH)
    page(tmp_path, "a/zh/storage.md", CHINESE)
    source = docs.Docs(name="a", licence="MIT", product="Winnow", en=("a/en",), zh=("a/zh",))
    samples = list(docs.samples(tmp_path, source))
    languages: dict[str, set[str]] = {}
    for found in samples:
        if found.twin:
            languages.setdefault(found.twin, set()).add(found.lang)
    assert len(languages) == 2
    assert all(pair == {"en", "zh"} for pair in languages.values())
    assert all(found.question for found in samples)


def test_pages_of_other_shape_are_no_twins(tmp_path: Path) -> None:
    page(tmp_path, "a/en/storage.md", ENGLISH)
    page(tmp_path, "a/zh/storage.md", CHINESE.replace("## 创建备份", ""))
    source = docs.Docs(name="a", licence="MIT", product="Winnow", en=("a/en",), zh=("a/zh",))
    samples = list(docs.samples(tmp_path, source))
    assert {found.lang for found in samples} == {"en", "zh"}
    assert not any(found.twin for found in samples)


@pytest.mark.parametrize("key", [str(number) for number in range(30)])
def test_questions_say_the_topic_of_a_heading(key: str) -> None:
    asked = questions.from_heading("Creating a backup", "Storage", "Winnow", key)
    assert asked is not None
    assert "create a backup" in asked
    assert "备份" in (questions.from_heading("创建备份", "存储", "Winnow", key) or "")


def test_an_empty_heading_asks_with_its_page() -> None:
    assert questions.from_heading("Overview", "", "Winnow", "k") is None
    assert "storage overview" in (questions.from_heading("Overview", "Storage", "Winnow", "k") or "").lower()


def test_a_statute_answers_laymen() -> None:
    asked = law.article_questions("盗窃公私财物，数额较大的，处三年以下有期徒刑。", "刑法264")
    assert len(asked) == 1
    assert "盗窃公私财物，数额较大" in asked[0]
    assert re.search("判|坐牢|犯罪", asked[0])
    asked = law.article_questions("任何单位和个人不得擅自公布重要地理信息数据。", "测绘")
    assert len(asked) == 1
    assert "擅自公布重要地理信息数据" in asked[0]
    assert "不得" not in asked[0]


def test_the_best_answer_of_a_forum_is_the_passage(tmp_path: Path) -> None:
    answer = "Grind the beans finer and the water takes longer to pass, so that more of the taste ends in the cup. " * 2
    page(tmp_path, "f/Posts.xml", f"""<posts>
      <row Id="1" PostTypeId="1" Title="Why is my coffee sour?" Body="Help." CreationDate="2015-01-02T00:00:00" />
      <row Id="2" PostTypeId="2" ParentId="1" Score="1" Body="No idea at all." CreationDate="2015-01-02T00:00:00" />
      <row Id="3" PostTypeId="2" ParentId="1" Score="4" Body="&lt;p&gt;{answer}&lt;/p&gt;" CreationDate="2015-01-03" />
      <row Id="4" PostTypeId="1" Title="Unanswered?" Body="Help." CreationDate="2015-01-02T00:00:00" />
    </posts>""")  # fmt: skip
    found = list(forum.site(tmp_path, "f", "coffee", heldout=False))
    assert [(each.question, each.date) for each in found] == [("Why is my coffee sour?", "2015-01-02")]
    assert found[0].passage == answer.strip()


def test_what_the_collections_hold_is_left_out(tmp_path: Path) -> None:
    text = "a wave that travels along the shore loses little of its height before it meets the cape in the north"
    (tmp_path / "c").mkdir()
    with gzip.open(tmp_path / "c/corpus.jsonl.gz", "wt", encoding="utf-8") as out:
        for held in (text, "用人单位应当按照劳动合同约定和国家规定及时足额支付劳动报酬"):
            out.write(json.dumps({"text": held}) + "\n")
    collections = overlap.Collections(tmp_path)
    assert collections.hold(f"He said: {text}!")
    assert collections.hold(None, "用人单位应当按照劳动合同约定和国家规定，及时足额支付劳动报酬。")
    assert not collections.hold("a wave is a thing that travels, and loses height in the end as all things do in time")
    assert collections.dropped == 2


def test_pieces_are_bounded_and_lose_no_sentence() -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "It says what it says in a few words. " * 20 for number in range(12))
    found = sample.pieces(text, "en")
    assert len(found) > 3
    assert max(map(len, found)) <= sample.LIMIT["en"]
    assert "".join("".join(found).split()) == "".join(text.split())


def test_shards_hold_what_was_written_once(tmp_path: Path) -> None:
    known, shards = sample.Known(), sample.Shards(tmp_path, "docs")
    first = sample.Sample(source="a", licence="MIT", kind="docs", lang="en", passage="One. " * 30, question="one?")
    for each in (first, first, sample.Sample(source="b", licence="MIT", kind="docs", lang="en", passage="One. " * 30)):
        if known.admits(each):
            shards.write(each)
    shards.close()
    with lzma.open(tmp_path / "docs-00.jsonl.xz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert [(row["source"], row["question"], row["twin"]) for row in rows] == [("a", "one?", None)]
    assert sum(shards.counts.values()) == 1


def test_held_out_sources_have_files_of_their_own(tmp_path: Path) -> None:
    names = [name for name, _ in gather.batches(tmp_path)]
    held_out = {source.name for source in catalog.DOCS if source.heldout} | {
        book.name for book in books.BOOKS if book.heldout
    }
    assert len(held_out) >= 4
    assert held_out <= set(names)
    assert all(name.startswith("dev-") for name in held_out)
