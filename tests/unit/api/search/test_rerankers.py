"""Which reranker judges: by name, one of each name, and only the one that is needed is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.tiny_models import write_reranker
from winnow.api.model_loading import load_reranker
from winnow.api.search.rerankers import Rerankers, each_alone, refuse_unknown, settings_by_name, settings_for
from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable, SettingInvalid

SMALL, LARGE = PrefersWord("a", name="small"), PrefersWord("b", name="large")


def described(folder: Path, name: str) -> str:
    """A folder that says its name, and holds nothing else."""
    folder.mkdir()
    (folder / "winnow.json").write_text(json.dumps({"kind": "reranker", "name": name}), encoding="utf-8")
    return str(folder)


def test_names_lead_to_rerankers() -> None:
    """A collection's must be there; a caller's may be any."""
    rerankers = Rerankers(default=SMALL, also=(LARGE,))
    assert rerankers.names == ("small", "large")
    assert [rerankers.of_collection(name) for name in (None, "small", "large")] == [SMALL, SMALL, LARGE]
    assert [rerankers.of_caller(name) for name in (None, "small", "large", "huge")] == [SMALL, SMALL, LARGE, SMALL]
    with pytest.raises(RerankUnavailable, match="has chosen huge, but configured are: small, large"):
        rerankers.of_collection("huge")


def test_two_of_one_name_are_refused() -> None:
    """A choice would not say which."""
    with pytest.raises(SettingInvalid, match="two rerankers have the name large"):
        Rerankers(default=SMALL, also=(LARGE, PrefersWord("c", name="large")))


def test_the_settings_of_each_load_it_alone(tmp_path: Path) -> None:
    """Its own model at its own place, all else as it was: a server of the default is not another model's."""
    here, there = described(tmp_path / "here", "here"), described(tmp_path / "there", "there")
    also = (FurtherReranker(model=here, urls=()), FurtherReranker(model=there, urls=("http://t:1", "http://t:2")))
    settings = Settings(rerank_url=("http://r:1",), device="cpu", rerank_also=also)
    assert [(each.rerank_model, each.rerank_url, each.rerank_also) for each in each_alone(settings)] == [
        ("winnow-rerank", ("http://r:1",), ()),
        (here, (), ()),
        (there, ("http://t:1", "http://t:2"), ()),
    ]
    assert {each.device for each in each_alone(settings)} == {"cpu"}
    assert list(settings_by_name(settings)) == ["winnow-rerank", "here", "there"]
    assert settings_for(settings, "there").rerank_model == there
    assert settings_for(settings, None) == each_alone(settings)[0]
    with pytest.raises(RerankUnavailable, match="has chosen large, but configured are: winnow-rerank, here, there"):
        settings_for(settings, "large")


def test_a_further_reranker_runs_where_its_url_says(tmp_path: Path) -> None:
    """On servers of its own beside a default in this process; none of them is asked before it has to judge."""
    folder = write_reranker(tmp_path / "tiny")
    further = FurtherReranker(model=str(folder), urls=("http://127.0.0.1:9", "http://127.0.0.1:10"))
    judging = load_reranker(each_alone(Settings(rerank_also=(further,)))[1])
    assert judging.reranker.name == "tiny-rerank"
    assert judging.pool is not None
    assert [server.url for server in judging.pool.report()] == list(further.urls)


def test_folders_of_one_name_are_found_out_before_they_are_loaded(tmp_path: Path) -> None:
    """Different paths, and the default's name once more."""
    one, other = described(tmp_path / "one", "mine"), described(tmp_path / "other", "mine")
    further = tuple(FurtherReranker(model=folder, urls=()) for folder in (one, other))
    with pytest.raises(SettingInvalid, match="two rerankers have the name mine"):
        settings_by_name(Settings(rerank_also=further))
    again = FurtherReranker(model="winnow-rerank", urls=())
    with pytest.raises(SettingInvalid, match="two rerankers have the name winnow-rerank"):
        settings_by_name(Settings(rerank_also=(again,)))


def test_a_choice_of_what_is_not_configured_is_refused() -> None:
    """With the names that could have been meant; choosing nothing is no such choice."""
    with pytest.raises(InvalidRequest, match="the reranker 'huge' is not configured; configured are: small, large"):
        refuse_unknown("huge", ["small", "large"])
    refuse_unknown("large", ["small", "large"])
    refuse_unknown(None, ["small"])
