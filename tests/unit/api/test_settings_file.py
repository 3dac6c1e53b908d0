"""What is wrong with a settings file is said with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from winnow.api.settings_file import read_settings_file
from winnow.retrieval.errors import SettingInvalid


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "winnow.toml"
    file.write_text('port = 80\nhost = "::1"\n', "utf-8")
    assert read_settings_file(file, known=["host", "port"]) == {"port": 80, "host": "::1"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"prot = 80", "sets unknown names: prot; known are host, port"),
        (b"port 80", "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_fault(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "winnow.toml"
    file.write_bytes(content)
    with pytest.raises(SettingInvalid) as refused:
        read_settings_file(file, known=["host", "port"])
    assert said in refused.value.detail
    assert str(file) in refused.value.detail
