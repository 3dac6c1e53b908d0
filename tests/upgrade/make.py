"""Made tests/upgrade/data.tar.xz and answers.json: a data folder as winnow wrote it before the package was `winnow`.

    git worktree add OLD 7a4fec8
    python tests/upgrade/make.py OLD

It is kept to be run again for another commit: it uses that commit's own command line and the models in its data/models,
and records what its searches answer. Vectors of other models would be refused, so copy today's models over those of OLD
first: every file but winnow.json, and into OLD's own winnow.json today's `order`, without its known answers. The folder
has two tenants, attributes, a Chinese collection, a second generation, a removed document, a rejected record and an
instruction.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAWS = (
    ("laws-1", "Withdrawal", "A consumer may withdraw from a distance contract within fourteen days.", "en", 2011),
    (
        "laws-2",
        "Warranty",
        "The seller is liable for any lack of conformity that becomes apparent within two years.",
        "en",
        2019,
    ),
    ("laws-3", "七日无理由退货", "消费者有权自收到商品之日起七日内退货，且无需说明理由。", "zh", 2013),
    ("laws-4", "违约金", "约定的违约金过分高于造成的损失的，人民法院可以根据当事人的请求予以适当减少。", "zh", 2020),
    ("laws-5", "Limitation", "The regular limitation period is three years.", "en", 2002),
    ("laws-6", "Notice", "A tenant may give notice at the end of any month, three months in advance.", "en", 2001),
)
BIRDS = (
    ("heron", "The heron stands still in shallow water and strikes at fish."),
    ("kingfisher", "The kingfisher dives from a branch and catches small fish."),
    ("owl", "The owl hunts at night and hears a mouse below the snow."),
)
SEARCHES = (
    ("search", "return goods bought online", "-c", "laws"),
    ("search", "网上购买的商品可以退货吗", "-c", "laws"),
    ("search", "liable for defects", "-c", "laws", "--recall", "dense"),
    ("search", "退货", "-c", "laws", "--filter", '{"type": "eq", "key": "lang", "value": "zh"}'),
    ("search", "notice period", "-c", "laws", "--instruction-name", "newest"),
    ("search", "how long is the warranty", "-c", "laws", "--always-rerank"),
    ("search", "catch fish", "-c", "birds", "--tenant", "zoo"),
)


def law(number: int, *, text: str | None = None) -> dict[str, object]:
    name, title, written, lang, year = LAWS[number]
    return {"id": name, "title": title, "text": text or written, "lang": lang, "year": year}


def lines(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def main(old: Path) -> None:
    work = Path(tempfile.mkdtemp())
    data = work / "data"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251

    def winnow(*arguments: str, stdin: str = "", codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=old,
            env=inherited | {"WINNOW_DATA": str(data)},
            check=False,
        )
        assert done.returncode in codes, done.stderr
        return done.stdout

    winnow("index", "-", "-c", "laws", stdin=lines(*map(law, range(len(LAWS)))))
    corpus = work / "laws.jsonl"
    kept = [law(number) for number in range(5)]
    kept[4]["text"] = "The regular limitation period is three years and begins at the end of the year."
    corpus.write_text(lines(*kept, law(5)), encoding="utf-8")
    winnow("index", str(corpus), "-c", "laws")
    corpus.write_text(lines(*kept, {"id": "no text"}), encoding="utf-8")
    winnow("index", str(corpus), "-c", "laws", "--prune-anyway", codes=(3,))
    winnow("tenants", "create", "zoo")
    winnow(
        "index", "-", "-c", "birds", "--tenant", "zoo", stdin=lines(*({"id": one, "text": text} for one, text in BIRDS))
    )
    winnow("instructions", "publish", "newest", "Prefer the newest law.")
    answers = []
    for arguments in SEARCHES:
        body = json.loads(winnow(*arguments, "--json"))
        answers.append(
            {
                "arguments": arguments,
                "results": [
                    {name: each[name] for name in ("document_id", "text", "score", "similarity", "relevance")}
                    for each in body["results"]
                ],
            }
        )
    (HERE / "answers.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with tarfile.open(HERE / "data.tar.xz", "w:xz", preset=9) as archive:
        archive.add(data, arcname="data")
    shutil.rmtree(work)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
