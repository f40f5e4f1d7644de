"""Who sees what: decided by the headers that the runner sets, and by Connect."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Final

from connect.client import AsyncConnectClient, ClientError
from connect.eaas.mongodb._common.page import Access, PageError

Headers = Callable[[str], list[str]]
"""All values of a header."""

CONFIRMED_SECONDS: Final = 300
"""For how long an installation is not asked for again."""

TIMEOUT: Final = (5.0, 10.0)
"""How many seconds a connection to Connect, and its response, may take."""

MAX_CONFIRMED: Final = 10_000

RUNNERS: Final = (
    "X-Connect-Call-Type",
    "X-Connect-Installation-Id",
    "X-Connect-Account-Id",
    "X-Connect-Installation-Api-Key",
    "X-Connect-Api-Gateway-Url",
    "X-Connect-Config",
)
"""The runner's headers that decide what a caller sees."""

_confirmed: dict[tuple[str, ...], float] = {}
"""Until when each caller is known to own the installation."""


def _denied(reason: str) -> PageError:
    return PageError(403, "AUTH_003", reason)


async def access_of(values: Headers) -> Access:
    """Return what the caller may see.

    A request with several values of one of the runner's headers is refused. Connect itself is asked, with the key of
    the installation, whether the installation is the account's.

    Raises:
        PageError: the caller may see nothing, or Connect does not respond.
    """
    headers = {}
    for name in RUNNERS:
        found = set(values(name))
        if len(found) > 1:
            raise _denied(f"the request has several headers {name}")
        headers[name] = found.pop() if found else ""
    if headers["X-Connect-Call-Type"] == "admin":
        return Access(None)
    installation, account = headers["X-Connect-Installation-Id"], headers["X-Connect-Account-Id"]
    key, url = headers["X-Connect-Installation-Api-Key"], headers["X-Connect-Api-Gateway-Url"]
    if not (re.fullmatch(r"[\w-]{1,100}", installation, re.ASCII) and account and key and url):
        raise _denied("your account has no installation of this extension")
    caller = (installation, account, hashlib.sha256(key.encode()).hexdigest(), url)
    if _confirmed.get(caller, 0.0) < time.monotonic():
        await _confirm(installation, account, key, url)
        if len(_confirmed) >= MAX_CONFIRMED:
            _confirmed.clear()
        _confirmed[caller] = time.monotonic() + CONFIRMED_SECONDS
    return Access(installation)


async def _confirm(installation: str, account: str, key: str, url: str) -> None:
    """Ask Connect for the installation; raise an error if it is not the account's."""
    client = AsyncConnectClient(key, endpoint=url, use_specs=False, timeout=TIMEOUT)
    try:
        found = await client("devops").installations[installation].get()
    except (ClientError, ValueError) as error:
        # A response that is not JSON raises `ValueError`.
        if isinstance(error, ClientError) and error.status_code in (401, 403, 404):
            raise _denied("the installation is not your account's") from None
        raise PageError(503, "CONNECT_UNREACHABLE", "Connect did not confirm your installation. Try again.") from None
    owner = found.get("owner") if isinstance(found, dict) else None
    if not isinstance(owner, dict) or found.get("id") != installation or owner.get("id") != account:
        raise _denied("the installation is not your account's")
