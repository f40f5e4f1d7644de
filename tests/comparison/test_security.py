"""Who may come in, and who is trusted: both libraries come in, or are refused with the same error."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import connect.eaas.mongodb as library
import pymongo
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pymongo.errors import OperationFailure

from tests.comparison import harness
from tests.servers import secantusdb

PASSWORD = "hunter2:/@%ü"
SUBJECT = "CN=alice,OU=Tests,O=Connect"

# Where ours may raise another class: by the attempt, PyMongo's, ours, and why.
ACCEPTED: dict[str, tuple[str, str, str]] = {
    "an empty password": ("builtins.IndexError", "pymongo.errors.OperationFailure", "the server is asked, and refuses"),
    "another host, allowed": ("done", "pymongo.errors.ConfigurationError", "the driver does not have the option"),
    "x.509 and another user": (
        "pymongo.errors.OperationFailure",
        "done",
        "the driver leaves it to the server whose certificate it is",
    ),
}


@dataclass(frozen=True)
class Attempt:
    """A client of a server, by its options: texts in braces are files."""

    server: str
    options: dict[str, Any] = field(default_factory=dict)
    uri: str = "mongodb://{host}/"
    user: str | None = None
    password: str = PASSWORD

    def arguments(self, servers: dict[str, str], files: dict[str, str]) -> tuple[str, dict[str, Any]]:
        options = {
            key: value.format(**files) if isinstance(value, str) else value for key, value in self.options.items()
        }
        if self.user is not None:
            options |= {"username": self.user, "password": self.password}
        return self.uri.format(host=servers[self.server]), options


TLS: dict[str, Any] = {"tls": True, "tlsCAFile": "{ca}"}
SCRAM_1, SCRAM_256, X509 = "SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509"

ATTEMPTS: dict[str, Attempt] = {
    # Passwords.
    "a password": Attempt("guarded", user="both"),
    "a password in the uri": Attempt("guarded", uri="mongodb://both:hunter2%3A%2F%40%25%C3%BC@{host}/"),
    "a password and a database in the uri": Attempt(
        "guarded", uri="mongodb://both:hunter2%3A%2F%40%25%C3%BC@{host}/d?authSource=admin"
    ),
    "a database in the uri is the source": Attempt("guarded", uri="mongodb://local:hunter2%3A%2F%40%25%C3%BC@{host}/d"),
    "a database in the uri is the wrong source": Attempt(
        "guarded", uri="mongodb://both:hunter2%3A%2F%40%25%C3%BC@{host}/d"
    ),
    "an unescaped password": Attempt("guarded", uri="mongodb://both:hunter2:/@%ü@{host}/"),
    "sha-256": Attempt("guarded", {"authMechanism": SCRAM_256}, user="both"),
    "sha-1": Attempt("guarded", {"authMechanism": SCRAM_1}, user="both"),
    "sha-1 alone": Attempt("guarded", user="old"),
    "sha-1 alone, asked for": Attempt("guarded", {"authMechanism": SCRAM_1}, user="old"),
    "sha-256 where there is sha-1": Attempt("guarded", {"authMechanism": SCRAM_256}, user="old"),
    "sha-1 where there is sha-256": Attempt("guarded", {"authMechanism": SCRAM_1}, user="new"),
    "a wrong password": Attempt("guarded", user="both", password="hunter3"),
    "a wrong password, sha-256": Attempt("guarded", {"authMechanism": SCRAM_256}, user="both", password="hunter3"),
    "a wrong password, sha-1": Attempt("guarded", {"authMechanism": SCRAM_1}, user="both", password="hunter3"),
    "an empty password": Attempt("guarded", user="both", password=""),
    "an unknown user": Attempt("guarded", user="nobody"),
    "an unknown user, sha-1": Attempt("guarded", {"authMechanism": SCRAM_1}, user="nobody"),
    "a source": Attempt("guarded", {"authSource": "d"}, user="local"),
    "a wrong source": Attempt("guarded", {"authSource": "d"}, user="both"),
    "no source": Attempt("guarded", user="local"),
    "an empty source": Attempt("guarded", {"authSource": ""}, user="both"),
    "no user": Attempt("guarded"),
    "one who may only read": Attempt("guarded", user="reader"),
    "a password in other letters": Attempt("guarded", user="prepared", password="IX"),
    "an unknown mechanism": Attempt("guarded", {"authMechanism": "nonsense"}, user="both"),
    "a mechanism without a user": Attempt("guarded", {"authMechanism": SCRAM_256}),
    "a user without a password": Attempt("guarded", {"username": "both"}),
    "a user without a password in the uri": Attempt("guarded", uri="mongodb://both@{host}/"),
    "a password without a user": Attempt("guarded", {"password": "x"}),
    "x.509 without tls": Attempt("guarded", {"authMechanism": X509}),
    "x.509 with a password": Attempt("guarded", {"authMechanism": X509}, user="both"),
    "plain": Attempt("guarded", {"authMechanism": "PLAIN"}, user="both"),
    "a user where none is asked for": Attempt("open", user="nobody"),
    # The server's certificate.
    "tls": Attempt("tls", TLS),
    "tls in the uri": Attempt("tls", {"tlsCAFile": "{ca}"}, uri="mongodb://{host}/?tls=true"),
    "ssl in the uri": Attempt("tls", {"tlsCAFile": "{ca}"}, uri="mongodb://{host}/?ssl=true"),
    "an authority alone": Attempt("tls", {"tlsCAFile": "{ca}"}),
    "a wrong authority": Attempt("tls", {"tls": True, "tlsCAFile": "{other_ca}"}),
    "no authority": Attempt("tls", {"tls": True}),
    "an authority that is no file": Attempt("tls", {"tls": True, "tlsCAFile": "{nowhere}"}),
    "an authority that is no certificate": Attempt("tls", {"tls": True, "tlsCAFile": "{text}"}),
    "any certificate": Attempt("tls", {"tls": True, "tlsAllowInvalidCertificates": True}),
    "any certificate, insecurely": Attempt("tls", {"tls": True, "tlsInsecure": True}),
    "two ways to be insecure": Attempt("tls", {"tls": True, "tlsInsecure": True, "tlsAllowInvalidCertificates": True}),
    "no tls where there is": Attempt("tls"),
    "tls where there is none": Attempt("open", TLS),
    "an authority and no tls": Attempt("open", {"tls": False, "tlsCAFile": "{ca}"}),
    "another host": Attempt("misnamed", TLS),
    "another host, allowed": Attempt("misnamed", TLS | {"tlsAllowInvalidHostnames": True}),
    "another host, insecurely": Attempt("misnamed", {"tls": True, "tlsInsecure": True}),
    "another host, any certificate": Attempt("misnamed", {"tls": True, "tlsAllowInvalidCertificates": True}),
    "an expired certificate": Attempt("expired", TLS),
    "an expired certificate, allowed": Attempt("expired", TLS | {"tlsAllowInvalidCertificates": True}),
    # The client's certificate.
    "a client's certificate": Attempt("mutual", TLS | {"tlsCertificateKeyFile": "{alice}"}),
    "no client's certificate": Attempt("mutual", TLS),
    "a client's certificate of another authority": Attempt("mutual", TLS | {"tlsCertificateKeyFile": "{stranger}"}),
    "a client's certificate that is no file": Attempt("mutual", TLS | {"tlsCertificateKeyFile": "{nowhere}"}),
    "a client's certificate that is none": Attempt("mutual", TLS | {"tlsCertificateKeyFile": "{text}"}),
    "a client's key under a password": Attempt(
        "mutual", TLS | {"tlsCertificateKeyFile": "{locked}", "tlsCertificateKeyFilePassword": "secret"}
    ),
    "a client's key under another password": Attempt(
        "mutual", TLS | {"tlsCertificateKeyFile": "{locked}", "tlsCertificateKeyFilePassword": "wrong"}
    ),
    "a client's certificate and no tls": Attempt("open", {"tls": False, "tlsCertificateKeyFile": "{alice}"}),
    # The certificate is the user.
    "x.509": Attempt("certified", TLS | {"tlsCertificateKeyFile": "{alice}", "authMechanism": X509}),
    "x.509 and its user": Attempt(
        "certified", TLS | {"tlsCertificateKeyFile": "{alice}", "authMechanism": X509, "username": SUBJECT}
    ),
    "x.509 and another user": Attempt(
        "certified", TLS | {"tlsCertificateKeyFile": "{alice}", "authMechanism": X509, "username": "CN=bob"}
    ),
    "x.509 and its source": Attempt(
        "certified", TLS | {"tlsCertificateKeyFile": "{alice}", "authMechanism": X509, "authSource": "$external"}
    ),
    "x.509 and another source": Attempt(
        "certified", TLS | {"tlsCertificateKeyFile": "{alice}", "authMechanism": X509, "authSource": "d"}
    ),
    "x.509 of one who is no user": Attempt(
        "certified", TLS | {"tlsCertificateKeyFile": "{bob}", "authMechanism": X509}
    ),
    "x.509 without a certificate": Attempt("certified", TLS | {"authMechanism": X509}),
    "a password over tls": Attempt("certified", TLS, user="both"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates and keys, and what is none."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    alice: dict[str, Any] = {"common_name": "alice", "organization_name": "Connect", "organization_unit_name": "Tests"}
    leaves = {
        "server": authority.issue_cert("localhost", "127.0.0.1"),
        "misnamed": authority.issue_cert("elsewhere.test"),
        "expired": authority.issue_cert(
            "localhost", "127.0.0.1", not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday
        ),
        "alice": authority.issue_cert("alice@connect.test", **alice),
        "bob": authority.issue_cert("bob@connect.test", common_name="bob"),
        "stranger": other.issue_cert("alice@connect.test", **alice),
    }
    made: dict[str, Path] = {name: folder / f"{name}.pem" for name in ("ca", "other_ca", "text", "locked", *leaves)}
    authority.cert_pem.write_to_path(str(made["ca"]))
    other.cert_pem.write_to_path(str(made["other_ca"]))
    made["text"].write_text("no certificate\n", encoding="utf-8")
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(made[name]))
    key = serialization.load_pem_private_key(leaves["alice"].private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    made["locked"].write_bytes(locked + leaves["alice"].cert_chain_pems[0].bytes())
    return {"nowhere": str(folder / "nowhere.pem"), **{name: str(path) for name, path in made.items()}}


@pytest.fixture(scope="module")
def servers(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the servers are, by what they ask for: each is started when it is first asked for."""

    def certificate(name: str) -> list[str]:
        return ["--tls-cert-file", files[name], "--tls-key-file", files[name]]

    clients = ["--tls-ca-file", files["ca"]]
    variants: dict[str, list[str]] = {
        "open": [],
        "guarded": ["--auth"],
        "tls": certificate("server"),
        "misnamed": certificate("misnamed"),
        "expired": certificate("expired"),
        "mutual": [*certificate("server"), *clients, "--tls-require-client-cert"],
        "certified": [*certificate("server"), *clients, "--auth"],
    }
    with contextlib.ExitStack() as stack:

        class Hosts(dict[str, str]):
            def __missing__(self, name: str) -> str:
                arguments, data = variants[name], str(tmp_path_factory.mktemp(name))
                if "--auth" in arguments:
                    with secantusdb(0, data) as (_, port), harness.reader(f"mongodb://127.0.0.1:{port}/") as client:
                        create_users(client)
                server, port = stack.enter_context(secantusdb(0, data, *arguments))
                # Nothing is kept: no need to end it politely.
                stack.callback(server.process.kill)
                self[name] = f"127.0.0.1:{port}"
                return self[name]

        yield Hosts()


def create_users(client: Any) -> None:
    """The users: with both ways to say the password, with either, of a database, who may only read."""

    def create(database: str, name: str, password: str | None, mechanisms: list[str], role: str = "root") -> None:
        roles = [{"role": role, "db": "d" if role == "read" else "admin"}]
        given = {} if password is None else {"pwd": password}
        client[database].command("createUser", name, mechanisms=mechanisms, roles=roles, **given)

    create("admin", "both", PASSWORD, [SCRAM_1, SCRAM_256])
    create("admin", "old", PASSWORD, [SCRAM_1])
    create("admin", "new", PASSWORD, [SCRAM_256])
    create("d", "local", PASSWORD, [SCRAM_256])
    create("admin", "reader", PASSWORD, [SCRAM_256], "read")
    # What SASLprep makes the same as "IX".
    create("admin", "prepared", "I\u00adX", [SCRAM_256])
    create("$external", SUBJECT, None, [X509])


def told(error: Exception) -> tuple[str, Any]:
    kind = type(error)
    return f"{kind.__module__}.{kind.__name__}", error.code if isinstance(error, OperationFailure) else None


async def tried(make: Any, uri: str, options: dict[str, Any]) -> Any:
    """What comes of a client: nothing wrong, or its errors, of a write and of a read."""
    client = None
    try:
        client = make(uri, **options)
        outcomes: list[Any] = []
        for call in (client.d.c.insert_one, client.d.c.find_one):
            try:
                await call({})
                outcomes.append("done")
            except Exception as error:
                outcomes.append(told(error))
                if not isinstance(error, OperationFailure):
                    # Nobody there, whom a read would wait for as long.
                    break
        return outcomes
    except Exception as error:
        return [told(error)]
    finally:
        if client is not None:
            await client.close()
        harness.forget_sockets()


def classes(outcomes: Any) -> list[str]:
    """What came of each call: `done`, or the error's class."""
    return [one if isinstance(one, str) else one[0] for one in outcomes]


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_who_comes_in_does_so_with_both(
    name: str, servers: dict[str, str], files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, options = ATTEMPTS[name].arguments(servers, files)
    make = pymongo.AsyncMongoClient if harness.WITH_PYMONGO else library.AsyncMongoClient
    # Who is refused for good asks until the time is up: little of it, and more only where that made a difference.
    for patience in (800, 5000):
        timeout = {"serverSelectionTimeoutMS": patience}
        theirs = await tried(pymongo.AsyncMongoClient, uri, options | timeout)
        ours = await tried(make, uri, options | timeout)
        if ours == theirs or (name in ACCEPTED and (classes(theirs)[0], classes(ours)[0]) == ACCEPTED[name][:2]):
            return
    assert ours == theirs, f"\ncase {name!r}\n  theirs: {theirs}\n  ours:   {ours}"


def test_what_is_accepted_is_of_an_attempt() -> None:
    assert set(ACCEPTED) <= set(ATTEMPTS)
