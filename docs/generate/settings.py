"""The page of settings, from the table in `api/settings.py`."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, table
from winnow.api.settings import CONFIG_VARIABLE, Row, rows

HEAD: Final = f"""# Settings

Each setting has an environment variable, a key in the settings file and, unless it can hold a secret, a flag. A flag wins over the variable, the variable over the settings file, the file over the default.

The settings file is TOML. Name it with `--config FILE` or `{CONFIG_VARIABLE}`. A key is the variable in lower case without `WINNOW_`; lists are written as in the variable:

<!-- not run: an example of a settings file -->
```toml
data = "/srv/winnow"
rerank_model = "Qwen/Qwen3-Reranker-0.6B"
port = 8080
```

"""
OTHERS: Final = f"""
## Other variables

| Variable | Meaning |
| --- | --- |
| `{CONFIG_VARIABLE}` | The settings file, unless `--config` names one. |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | The key for snapshots in a bucket. Set the first two together or not at all; without them the object store looks where AWS's own tools look: profiles, the role of the machine. |
| `AWS_REGION`, `AWS_DEFAULT_REGION` | The region of the bucket. The first one that is set is used. |
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | An S3 server other than AWS. The first one that is set is used. |

winnow reads no other variable itself. The drivers of PostgreSQL and of S3 read theirs, such as `PGPASSWORD`.
"""


def page() -> str:
    """Every setting with its variable, flag, default and meaning."""
    return HEAD + table(("Variable", "Flag", "Default", "Meaning"), map(_cells, rows())) + OTHERS


def _cells(row: Row) -> tuple[str, str, str, str]:
    return code(row.variable), _flag(row), code(default(row)), row.help


def _flag(row: Row) -> str:
    if row.flag is None:
        return "none"
    return code(f"{row.flag}/--no-{row.flag.removeprefix('--')}" if row.is_switch else row.flag)


def default(row: Row) -> str:
    """The default as it would be written in a variable; empty where the meaning says what holds."""
    if row.default is None or row.default == ():
        return ""
    return str(row.default).lower() if row.is_switch else str(row.default)
