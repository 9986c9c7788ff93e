"""API keys, their rates, other origins, and the names of requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serve.api import create_app
from serve.command import settings_of
from serve.errors import ApiError, KeyFileError, ServeError
from serve.keys import Gate, new_key, read_keys
from serve.models import Models
from serve.settings import ApiKey, ServeSettings

PAGE = "https://editor.example"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """Of alice without bound, of bob who may ask three times a minute, and their file."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    (alice, first), (bob, second) = new_key("alice"), new_key("bob", 3)
    path.write_text(f"# who may ask\n{first}\n\n{second}  # a guest\n")
    return alice, bob, path


@pytest.fixture(scope="module")
def guarded(models: Models, settings: ServeSettings, keys: tuple[str, str, Path]) -> Iterator[TestClient]:
    kept = settings.model_copy(update={"api_keys": read_keys(keys[2]), "cors_origins": (PAGE,), "watch_seconds": 0})
    with TestClient(create_app(models, kept), raise_server_exceptions=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_only_known_keys_may_ask(guarded: TestClient, keys: tuple[str, str, Path]) -> None:
    assert guarded.get("/v1/models", headers=bearer(keys[0])).status_code == 200
    digest = hashlib.sha256(keys[0].encode()).hexdigest()
    for headers in ({}, bearer(""), bearer(keys[0][:-1]), bearer(digest), {"Authorization": keys[0]}, bearer("\xff")):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        for answer in (guarded.get("/v1/models", headers=raw), guarded.get("/metrics", headers=raw),
                       guarded.post("/v1/completions", headers=raw, content=b"{"),
                       guarded.get("/nowhere", headers=raw)):  # fmt: skip
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    for path in ("/health", "/ready", "/docs", "/openapi.json"):
        assert guarded.get(path).status_code == 200


def test_a_key_asks_at_its_own_rate(guarded: TestClient, keys: tuple[str, str, Path]) -> None:
    answers = [guarded.get("/v1/models", headers=bearer(keys[1])) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert guarded.get("/v1/models", headers=bearer(keys[0])).status_code == 200


def test_a_rate_comes_back_with_time() -> None:
    now = [0.0]
    gate = Gate([ApiKey(name="a", sha256=hashlib.sha256(b"k").hexdigest(), per_minute=6)], clock=lambda: now[0])
    for _ in range(6):
        gate.admit("Bearer k")
    with pytest.raises(ApiError) as refused:
        gate.admit("Bearer k")
    assert refused.value.retry_after_seconds == 10
    now[0] += 10
    gate.admit("Bearer k")
    with pytest.raises(ApiError, match="6 times a minute"):
        gate.admit("Bearer k")


def test_other_origins_may_ask_only_where_they_are_named(guarded: TestClient, client: TestClient) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = guarded.options("/v1/completions", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    refused = guarded.get("/v1/models", headers={"Origin": PAGE})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == PAGE
    stranger = guarded.options("/v1/completions", headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-origin" not in client.get("/v1/models", headers={"Origin": PAGE}).headers


def test_requests_have_names(client: TestClient, guarded: TestClient) -> None:
    assert client.get("/health", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    names = {client.get(path).headers["x-request-id"] for path in ("/health", "/nowhere", "/v1/models")}
    assert len(names) == 3 and guarded.get("/v1/models").headers["x-request-id"]


@pytest.mark.parametrize(
    "text", ["", "alice", "alice 00ff", f"a {'0' * 64}\na {'1' * 64}", f"a {'0' * 64} 0", f"a {'0' * 64} soon"]
)
def test_a_bad_file_of_keys_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(KeyFileError, match="ferrotype key NAME"):
        read_keys(tmp_path / "keys")


def test_a_command_line_becomes_settings(tmp_path: Path, keys: tuple[str, str, Path]) -> None:
    (tmp_path / "odd=name.gguf").touch()
    settings = settings_of(["a=x.gguf", "b=y.gguf"], keys[2], port=9000)
    assert (settings.name, settings.model, settings.models) == ("a", Path("x.gguf"), {"b": Path("y.gguf")})
    assert [key.name for key in settings.api_keys] == ["alice", "bob"]
    assert settings_of([str(tmp_path / "odd=name.gguf")], None).name is None
    for files, others in ((["x", "y"], {}), (["a=x", "a=y"], {}), (["x", "b=y", "b=z"], {}),
                          (["x"], {"replicas": 3, "max_replicas": 2})):  # fmt: skip
        with pytest.raises(ServeError):
            settings_of(files, None, **others)
