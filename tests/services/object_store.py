"""An S3 server on the loopback address, for tests of storage: moto's, in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import fs

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "nobody's secret", "AWS_EC2_METADATA_DISABLED": "true"}
START_SECONDS = 90


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """The server with an empty bucket; yields how a URL in it ends, such as `?endpoint_override=…`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ending = f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "the S3 server doesn't start"
                time.sleep(0.1)
        store, _ = fs.FileSystem.from_uri(f"s3://{bucket}{ending}&allow_bucket_creation=true")
        store.create_dir(bucket)
        yield ending
    finally:
        server.terminate()
        server.wait(30)
