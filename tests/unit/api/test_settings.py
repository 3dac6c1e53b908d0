"""Settings come from four places, in one order, through one parser."""

from __future__ import annotations

from pathlib import Path

import pytest

from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import CANDIDATES_ON_CPU, CANDIDATES_ON_GPU, Settings, load, rows, s3_access
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.files.s3_access import S3Access


def test_flags_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Each source is used only where no stronger one speaks."""
    config = tmp_path / "winnow.toml"
    config.write_text('port = 1\nhost = "::1"\ndata = "from-file"\n', encoding="utf-8")
    settings = load(
        {"port": 3, "host": None},
        config=config,
        environment={"WINNOW_PORT": "2", "WINNOW_HOST": "localhost"},
    )
    assert (settings.port, settings.host, settings.data) == (3, "localhost", Path("from-file"))
    assert settings.timeout_ms == Settings().timeout_ms


def test_the_settings_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """WINNOW_CONFIG does what --config does, and --config wins."""
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("port = 11", encoding="utf-8")
    other.write_text("port = 22", encoding="utf-8")
    environment = {"WINNOW_CONFIG": str(one)}
    assert load({}, environment=environment).port == 11
    assert load({}, config=other, environment=environment).port == 22


def test_every_setting_is_read_from_its_variable_and_from_the_file(tmp_path: Path) -> None:
    """No row of the table is forgotten by a source."""
    values = {
        "data": "d", "cache_dir": "c", "catalog_url": "postgresql://h/d", "embed_model": "e",
        "rerank_model": "r", "rerank_also": "small org/large=http://r:8003",
        "embed_dimension": "64", "embed_url": "http://e:8001", "rerank_url": "https://r/vllm", "device": "cpu",
        "dtype": "float16", "spawn_vllm": "on", "vllm_python": "/opt/vllm/bin/python", "vllm_front": "vllm",
        "quantization": "fp8", "candidates": "7", "recall": "lexical", "depth": "adaptive", "chunk_tokens": "99",
        "index_recipe": "hnsw", "index_recall": "0.9", "index_device": "cuda:1",
        "timeout_ms": "1234", "replay_seconds": "8", "fold_chunks": "0", "fold_seconds": "7", "generations_kept": "3",
        "judgement_cache_mb": "0", "query_cache_mb": "5", "text_cache_mb": "7", "cache_seconds": "60", "host": "::1",
        "limit_requests_per_minute": "1", "limit_rerank_tokens_per_minute": "2", "limit_concurrent_requests": "3",
        "limit_documents": "4", "limit_bytes": "5", "cors_origins": "https://a.example.org", "port": "9",
        "webhook_hosts": "a.example:8443", "log_format": "json", "ocr_command": "ocr {file} {page}",
        "api_key": "k", "cache_secret": "s", "model_source": "modelscope", "embed_query_prefix": "query: ",
        "embed_passage_prefix": "passage: ", "rerank_templates": "t.toml", "rerank_backend": "onnx:onnx/int8.onnx",
        "rewrite_url": "http://c:8003/v1", "rewrite_model": "chat", "rewrite_key": "k2", "rewrite_timeout_ms": "99",
        "url": "https://search.example.com", "drain_seconds": "3", "stop_seconds": "4", "index_cache_mb": "6",
    }  # fmt: skip
    assert set(values) == {row.name for row in rows()}
    from_environment = load({}, environment={row.variable: values[row.name] for row in rows()})
    config = tmp_path / "all.toml"
    config.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()), encoding="utf-8")
    assert from_environment == load({}, config=config, environment={})
    assert all(getattr(from_environment, row.name) != row.default for row in rows())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "eighty", "WINNOW_PORT = 'eighty': it must be a whole number"),
        ("port", "65536", "WINNOW_PORT = '65536': it must be between 0 and 65535"),
        ("candidates", "0", "WINNOW_CANDIDATES = '0': it must be between 1 and 1000"),
        (
            "index_recipe",
            "gpu-flat",
            "WINNOW_INDEX_RECIPE = 'gpu-flat': it must be one of auto, exact, hnsw, ivf-rabitq, ivf-pq",
        ),
        ("index_device", "gpu", "WINNOW_INDEX_DEVICE = 'gpu': it must be cpu, cuda or cuda:N"),
        ("index_recall", "most", "WINNOW_INDEX_RECALL = 'most': it must be a number"),
        ("index_recall", "nan", "WINNOW_INDEX_RECALL = 'nan': it must be between 0.5 and 1.0"),
        ("index_recall", "1.1", "WINNOW_INDEX_RECALL = '1.1': it must be between 0.5 and 1.0"),
        (
            "dtype",
            "int8",
            "WINNOW_DTYPE = 'int8': it must be one of float32, bfloat16, float16, bf16-mixed, int8-dynamic",
        ),
        ("rerank_url", "rerank:8000", "WINNOW_RERANK_URL = 'rerank:8000': it must look like http://HOST:PORT"),
        ("rerank_url", "http://h:x", "WINNOW_RERANK_URL = 'http://h:x': it must be a URL"),
        (
            "embed_url",
            "http://me:secret@h",
            "WINNOW_EMBED_URL = 'http://me:secret@h': it must not have a user, query or fragment",
        ),
        ("spawn_vllm", "maybe", "WINNOW_SPAWN_VLLM = 'maybe': it must be true or false"),
        (
            "quantization",
            "gguf",
            "WINNOW_QUANTIZATION = 'gguf': it must be one of none, fp8, fp8-per-tensor, fp8-per-channel, fp8-per-block",
        ),
        ("rerank_also", "a b a=http://h:1", "WINNOW_RERANK_ALSO = 'a b a=http://h:1': it names a twice"),
        (
            "rerank_also",
            "a =http://h:1",
            "WINNOW_RERANK_ALSO = 'a =http://h:1': '=http://h:1' names no model; it is MODEL or MODEL=URL[,URL ...], "
            "several separated by spaces",
        ),
        (
            "rerank_also",
            "a=h:1",
            "WINNOW_RERANK_ALSO = 'a=h:1': 'h:1', the URL of a: it must look like http://HOST:PORT",
        ),
        (
            "rerank_also",
            "a=",
            "WINNOW_RERANK_ALSO = 'a=': '', the URL of a: it must look like http://HOST:PORT",
        ),
        (
            "rewrite_key",
            "sk secret",
            "WINNOW_REWRITE_KEY = (hidden): it must be visible ASCII characters without blanks",
        ),
        (
            "rewrite_url",
            "http://c?key=1",
            "WINNOW_REWRITE_URL = 'http://c?key=1': it must not have a user, query or fragment",
        ),
        ("data", " ", "WINNOW_DATA = ' ': it is empty"),
        (
            "data",
            "s3://bucket",
            "WINNOW_DATA = 's3://bucket': it has no path in the bucket; write for example s3://bucket/winnow",
        ),
        ("model_source", "hub", "WINNOW_MODEL_SOURCE = 'hub': it must be one of huggingface, modelscope"),
        (
            "rerank_backend",
            "int8",
            "WINNOW_RERANK_BACKEND = 'int8': it must be one of torch, onnx, openvino, or KIND:FILE",
        ),
        (
            "rerank_backend",
            "onnx:../model.onnx",
            "WINNOW_RERANK_BACKEND = 'onnx:../model.onnx': after the colon of onnx or openvino stands a file of the "
            "model's folder",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_origin_and_reason(name: str, value: str, said: str) -> None:
    """The message says where the value came from and what would be right."""
    with pytest.raises(SettingInvalid) as refused:
        load({}, environment={f"WINNOW_{name.upper()}": value})
    assert refused.value.detail == said


def test_further_rerankers_run_here_or_where_their_url_says() -> None:
    """Any white space separates them, so that a settings file may give each a line of its own."""
    said = "./legal\n  Qwen/Qwen3-Reranker-4B=https://gpu:8003/v/,http://gpu:8004 "
    settings = load({"rerank_also": said}, environment={})
    assert settings.rerank_also == (
        FurtherReranker(model="./legal", urls=()),
        FurtherReranker(model="Qwen/Qwen3-Reranker-4B", urls=("https://gpu:8003/v", "http://gpu:8004")),
    )
    assert load({}, environment={}).rerank_also == ()


def test_a_refused_key_is_not_repeated() -> None:
    """A secret stays out of messages, which end up in logs."""
    with pytest.raises(SettingInvalid) as refused:
        load({}, environment={"WINNOW_API_KEY": "   "})
    assert refused.value.detail == "WINNOW_API_KEY = (hidden): it is empty"


def test_a_misspelt_key_in_the_file_is_refused(tmp_path: Path) -> None:
    """Otherwise a typing error would silently leave the default."""
    config = tmp_path / "winnow.toml"
    config.write_text("prot = 80", encoding="utf-8")
    with pytest.raises(SettingInvalid, match="sets unknown names: prot; known are data, cache_dir, catalog_url"):
        load({}, config=config, environment={})


@pytest.mark.parametrize("content", ["port =", "port = 1.5", "port = true", "port = [1]"])
def test_a_file_with_values_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    """TOML knows more kinds of values than settings have."""
    config = tmp_path / "winnow.toml"
    config.write_text(content, encoding="utf-8")
    with pytest.raises(SettingInvalid):
        load({}, config=config, environment={})


@pytest.mark.parametrize(("content", "said"), [("true", True), ("false", False), ('"yes"', True), ("0", False)])
def test_a_switch_is_written_as_toml_has_it(tmp_path: Path, content: str, said: object) -> None:
    """A word or a number does as well; and a flag takes back what the file says."""
    config = tmp_path / "winnow.toml"
    config.write_text(f"spawn_vllm = {content}", encoding="utf-8")
    assert load({}, config=config, environment={}).spawn_vllm is said
    assert load({"spawn_vllm": False}, config=config, environment={}).spawn_vllm is False


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A settings file that was named is meant."""
    with pytest.raises(SettingInvalid, match="cannot read the settings file"):
        load({}, config=tmp_path / "none.toml", environment={})


def test_candidates_depend_on_the_device_unless_set() -> None:
    """A CPU judges fewer; what the operator says holds everywhere."""
    assert (Settings().candidates_on("cpu"), Settings().candidates_on("cuda:0")) == (
        CANDIDATES_ON_CPU,
        CANDIDATES_ON_GPU,
    )
    assert Settings(candidates=5).candidates_on("cuda") == 5


def test_secrets_have_no_flag() -> None:
    """Flags are visible to every user of a machine. All commands of a host must also agree on one cache folder."""
    assert [row.name for row in rows() if row.flag is None] == [
        "cache_dir", "catalog_url", "cache_secret", "rewrite_key", "api_key",
    ]  # fmt: skip


def test_s3_is_reached_by_the_variables_of_aws() -> None:
    """The special one before the general one, as AWS's own tools have it; an empty one is none."""
    assert s3_access({"AWS_PROFILE": "x", "AWS_REGION": ""}) == S3Access()
    said = s3_access(
        {
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_SESSION_TOKEN": "t",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": "http://one:9000",
            "AWS_ENDPOINT_URL_S3": "https://two/",
        }
    )
    assert said == S3Access(
        endpoint="https://two",
        region="eu-west-1",
        key_id="k",
        secret="s",  # noqa: S106
        session_token="t",  # noqa: S106
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "hidden"}, "must be set together"),
        ({"AWS_SECRET_ACCESS_KEY": "hidden"}, "must be set together"),
        ({"AWS_ENDPOINT_URL": "localhost:9000"}, "AWS_ENDPOINT_URL: it must look like"),
        ({"AWS_ENDPOINT_URL": "http://me:hidden@host"}, "AWS_ENDPOINT_URL: it must not have a user"),
    ],
)
def test_half_a_key_and_a_wrong_address_are_refused_unrepeated(environment: dict[str, str], said: str) -> None:
    """A clear word now is better than a refusal of the store's; a secret stays one."""
    with pytest.raises(SettingInvalid, match=said) as caught:
        s3_access(environment)
    assert "hidden" not in str(caught.value)
