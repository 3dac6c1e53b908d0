"""An S3-compatible server on loopback (moto's), in a process of its own, which knows one bucket and one key.

    with serving() as s3:  ...  s3.url, s3.key_id, s3.secret

It checks signatures, which moto does only after as many requests as the set-up takes. As a script it is that process:
it says what it listens to in one line of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from winnow.retrieval.files.s3_access import S3Access

BUCKET = "bucket"
REQUESTS_OF_SET_UP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A server that runs."""

    url: str
    key_id: str
    secret: str
    pid: int

    @property
    def access(self) -> S3Access:
        return S3Access(endpoint=self.url, region="us-east-1", key_id=self.key_id, secret=self.secret)

    @property
    def variables(self) -> dict[str, str]:
        """As a person would export them."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }


@contextmanager
def serving() -> Iterator[S3]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}  # noqa: TID251
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
        env=own | {"INITIAL_NO_AUTH_ACTION_COUNT": str(REQUESTS_OF_SET_UP)},
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the server did not come up"
            yield S3(**json.loads(line))
        finally:
            process.terminate()


def main() -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    said, sys.stdout = sys.stdout, sys.stderr
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    made_up = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1", "endpoint_url": url}
    iam = boto3.client("iam", **made_up)
    may_all = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.create_user(UserName="winnow")
    iam.put_user_policy(UserName="winnow", PolicyName="all", PolicyDocument=json.dumps(may_all))
    key = iam.create_access_key(UserName="winnow")["AccessKey"]
    boto3.client("s3", **made_up).create_bucket(Bucket=BUCKET)
    described = {"url": url, "key_id": key["AccessKeyId"], "secret": key["SecretAccessKey"], "pid": os.getpid()}
    said.write(json.dumps(described) + "\n")
    said.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
