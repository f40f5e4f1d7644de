"""The callers of a gateway: their names, and the requests of logins that count as theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from connect.eaas.mongodb import _native
from pymongo.errors import ConfigurationError

from tests.gateways import create_key, gateway

LIMITED = """keys_file = "keys.toml"
[limits]
requests_per_second = 0.001
burst = 3
[logins]
providers = ["api-key"]
key_file = "gateway-key.toml"
[data_sources.Cluster0]
uri = "{uri}"
"""


def test_no_key_has_the_name_of_anonymous_users(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be named anonymous"):
        create_key(tmp_path, "anonymous")
    create_key(tmp_path, "other")
    keys = tmp_path / "keys.toml"
    text = keys.read_text(encoding="utf-8").replace('name = "other"', 'name = "anonymous"')
    with pytest.raises(ConfigurationError, match="cannot be named anonymous"):
        _native.create_key(text, "one", rights=["read"], places=["*"])


def test_all_requests_of_a_session_count(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "one")
    signing = tmp_path / "gateway-key.toml"
    signing.touch(mode=0o600)
    signing.write_text(_native.add_signing_key("", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"), encoding="utf-8")
    with gateway(tmp_path, LIMITED.format(uri=mongodb_uri)) as running:
        base = f"{running.url}/api/client/v2.0"

        def send(method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return httpx.request(method, base + path, headers=headers, timeout=30, **options)

        tokens = send("POST", "/app/any/auth/providers/api-key/login", json={"key": key}).json()
        assert send("GET", "/auth/profile", tokens["access_token"]).status_code == 200
        # The gateway stores no sessions.
        assert send("DELETE", "/auth/session", tokens["refresh_token"]).status_code == 501
        for method, path, token in (
            ("GET", "/auth/profile", "access_token"),
            ("DELETE", "/auth/session", "refresh_token"),
            ("POST", "/auth/session", "refresh_token"),
        ):
            refused = send(method, path, tokens[token])
            assert (refused.status_code, refused.json()["error_code"]) == (429, "TooManyRequests")
            assert int(refused.headers["retry-after"]) > 0


def test_the_request_of_a_change_stream_is_small(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "one")
    configuration = f'keys_file = "keys.toml"\n[data_sources.Cluster0]\nuri = "{mongodb_uri}"\n'
    with gateway(tmp_path, configuration) as running:
        body = {"dataSource": "Cluster0", "database": "app", "collection": "c", "filter": {"a": "x" * 256 * 1024}}
        refused = httpx.post(f"{running.url}/watch", json=body, headers={"api-key": key}, timeout=30)
        assert refused.status_code == 413
        assert "262144 bytes" in refused.json()["error"]
