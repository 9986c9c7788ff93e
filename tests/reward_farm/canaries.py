"""Things of the host that no candidate may touch: a file, a port, a process, a key, the environment."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_ADD_KEY, _KEYCTL = 248, 250
_READ, _UPDATE, _UNLINK = 11, 2, 9
_SESSION_KEYRING = -3
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Canaries:
    """Set out on entering; `touched` names those that are not as they were."""

    folder: Path
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    def __enter__(self) -> Canaries:
        self.file = self.folder / "canary"
        self.file.write_text(self.secret)
        self.before = self.file.stat()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.process = subprocess.Popen(["sleep", "3600"])
        payload = self.secret.encode()
        self.key: int = _libc.syscall(
            _ADD_KEY, b"user", b"ferrotype-canary", payload, len(payload), ctypes.c_long(_SESSION_KEYRING)
        )
        """-1 where the kernel gives us no keys; then no candidate gets any either."""
        os.environ["FERROTYPE_CANARY_KEY"] = self.secret
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del os.environ["FERROTYPE_CANARY_KEY"]
        self.listener.close()
        self.process.kill()
        self.process.wait()
        if self.key > 0:
            _libc.syscall(_KEYCTL, _UNLINK, ctypes.c_long(self.key), ctypes.c_long(_SESSION_KEYRING))

    def touched(self) -> set[str]:
        """The canaries that something got at."""
        now = self.file.stat()
        untouched = {
            "file": self.file.read_text() == self.secret
            and (now.st_ino, now.st_mtime_ns, now.st_mode)
            == (self.before.st_ino, self.before.st_mtime_ns, self.before.st_mode),
            "folder": [path.name for path in self.folder.iterdir()] == ["canary"],
            "port": self._nobody_called(),
            "process": self.process.poll() is None,
            "key": self.key <= 0 or self._payload() == self.secret,
            "environment": os.environ["FERROTYPE_CANARY_KEY"] == self.secret,
        }
        return {name for name, intact in untouched.items() if not intact}

    def _nobody_called(self) -> bool:
        try:
            self.listener.accept()
        except BlockingIOError:
            return True
        return False

    def _payload(self) -> str:
        buffer = ctypes.create_string_buffer(64)
        length = _libc.syscall(_KEYCTL, _READ, ctypes.c_long(self.key), buffer, ctypes.c_long(64))
        return buffer.raw[: max(0, length)].decode()
