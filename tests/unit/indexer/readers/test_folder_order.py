"""A folder's files come in the order of their paths, each once, whatever links there are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.indexer.readers.folder_walk import Choice, walk_folder

NAMES = ("a", "a-b", "a.txt", "a b", "b", "Z", "é")
places = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(files=st.lists(places, max_size=8), links=st.lists(st.tuples(places, places), max_size=3))
def test_files_come_in_order_and_once(files: list[str], links: list[tuple[str, str]]) -> None:
    """A linked folder's files sort as if they lay there; the count is known before."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for file in files:
            (root / file).mkdir(parents=True, exist_ok=True)
            (root / file / "f.txt").touch()
        for at, target in links:
            if not (root / at).exists() and (root / at).parent.is_dir() and not (root / at).is_symlink():
                (root / at).symlink_to(root / target, target_is_directory=True)
        walked = walk_folder(root, Choice())
        found = list(walked.files())
        paths = [file.relative for file in found]
        assert paths == sorted(paths)
        assert [root / path for path in paths] == [file.path for file in found]
        assert len(found) == walked.counts.read
        real = [file.path.resolve() for file in found if file.path.name == "f.txt"]  # the others are broken links
        assert len(set(real)) == len(real)
        assert set(real) == {path.resolve() for path in root.rglob("f.txt")}
        assert list(walked.files()) == found


def test_patterns_and_a_link_to_a_part_of_another_link(tmp_path: Path) -> None:
    """The part is read under the link that comes first, and not again below the other."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "sub").mkdir(parents=True)
    (root / "drafts").mkdir(parents=True)
    for file in (outside / "o.txt", outside / "sub" / "s.txt", root / "drafts" / "d.txt", root / "x.txt"):
        file.touch()
    (root / "A").symlink_to(outside / "sub")
    (root / "L").symlink_to(outside)
    walked = walk_folder(root, Choice(exclude=("drafts/",)))
    assert [file.relative for file in walked.files()] == ["A/s.txt", "L/o.txt", "x.txt"]
    assert (walked.counts.found, walked.counts.read, walked.counts.left_out) == (4, 3, {"drafts/": 1})
