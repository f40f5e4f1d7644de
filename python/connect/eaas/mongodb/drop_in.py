"""Gives libraries that import PyMongo or Motor the classes of this package, in the current process.

`install()` replaces the public names of PyMongo's, GridFS's and Motor's classes; `uninstall()` restores them. Call
`install()` first of all, before an import that imports these names:

    from connect.eaas.mongodb import install

    install()

    from beanie import init_beanie

A module that defines PyMongo's classes is replaced by a copy, and is not changed itself. PyMongo's own code continues
to use its own classes, so that a module that imported them before `install()` continues to work with PyMongo.
"""

from __future__ import annotations

import collections.abc
import gc
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from connect.eaas import mongodb

__all__ = ["install", "uninstall"]

_LOGGER = logging.getLogger(__name__)

# The classes of this package, by PyMongo's names. Raw batches are read by one class, whatever the command.
_BLOCKING = {
    "MongoClient": "MongoClient",
    "Database": "Database",
    "Collection": "Collection",
    "Cursor": "Cursor",
    "RawBatchCursor": "RawBatchCursor",
    "CommandCursor": "CommandCursor",
    "RawBatchCommandCursor": "RawBatchCursor",
    "ClientSession": "ClientSession",
    "ChangeStream": "ChangeStream",
}
_AWAITED = {f"Async{name}": f"Async{ours}" for name, ours in _BLOCKING.items()}
_GRIDFS = {
    f"{prefix}{name}": f"{prefix}{name}"
    for prefix in ("", "Async")
    for name in ("GridFS", "GridFSBucket", "GridIn", "GridOut", "GridOutCursor")
}

# The classes of this package, by what follows `AsyncIOMotor` or `Agnostic` in Motor's names.
_MOTOR = {
    "Client": "AsyncMongoClient",
    "ClientSession": "AsyncClientSession",
    "Database": "AsyncDatabase",
    "Collection": "AsyncCollection",
    "Cursor": "AsyncCursor",
    "RawBatchCursor": "AsyncRawBatchCursor",
    "CommandCursor": "AsyncCommandCursor",
    "LatentCommandCursor": "AsyncCommandCursor",
    "RawBatchCommandCursor": "AsyncRawBatchCursor",
    "ChangeStream": "AsyncChangeStream",
    "GridFSBucket": "AsyncIOMotorGridFSBucket",
    "GridIn": "AsyncGridIn",
    "GridOut": "AsyncGridOut",
    "GridOutCursor": "AsyncGridOutCursor",
}
_MOTOR_MODULES = {"motor.core": "Agnostic", "motor.motor_gridfs": "Agnostic", "motor.motor_asyncio": "AsyncIOMotor"}

# PyMongo's modules that define the classes, in `pymongo.synchronous` and `pymongo.asynchronous`. Most have a module of
# the same name in `pymongo` that re-exports the blocking classes.
_DEFINING = ("mongo_client", "database", "collection", "cursor", "command_cursor", "client_session", "change_stream")

# The packages whose own modules import PyMongo's classes for good reason.
_OWN = ("pymongo", "gridfs", "motor", "connect.eaas.mongodb")

_ABSENT = object()


@dataclass
class _Target:
    """A module with names to replace."""

    module: ModuleType
    classes: Mapping[str, Any]
    """The classes of this package, by the names that the module has."""
    defines: bool
    """Whether the module defines the classes, and is therefore replaced by a copy."""


@dataclass
class _Installation:
    """What `install()` has replaced."""

    attributes: list[tuple[ModuleType, str, Any, Any]] = field(default_factory=list)
    """Attributes of modules: the module, the name, the value before and after."""
    modules: list[tuple[str, Any, ModuleType]] = field(default_factory=list)
    """Modules: the name, the module before, if any, and after."""

    def set(self, module: ModuleType, name: str, after: Any) -> None:
        """Replace or add an attribute of a module."""
        self.attributes.append((module, name, vars(module).get(name, _ABSENT), after))
        setattr(module, name, after)

    def set_module(self, name: str, after: ModuleType) -> None:
        """Replace or add a module."""
        self.modules.append((name, sys.modules.get(name, _ABSENT), after))
        sys.modules[name] = after
        package, _, last = name.rpartition(".")
        if package:
            self.set(sys.modules[package], last, after)

    def undo(self) -> list[str]:
        """Restore everything; return the names of what has been replaced again since, which stays."""
        replaced_since = []
        for module, name, before, after in reversed(self.attributes):
            if vars(module).get(name, _ABSENT) is not after:
                replaced_since.append(f"{module.__name__}.{name}")
            elif before is _ABSENT:
                delattr(module, name)
            else:
                setattr(module, name, before)
        for name, before, after in reversed(self.modules):
            if sys.modules.get(name) is not after:
                replaced_since.append(name)
            elif before is _ABSENT:
                del sys.modules[name]
            else:
                sys.modules[name] = before
        return sorted(replaced_since)


_lock = threading.Lock()
_installed: _Installation | None = None

if hasattr(os, "register_at_fork"):
    # A child must not inherit a lock that another thread holds.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def install() -> None:
    """Replace PyMongo's, GridFS's and Motor's classes by those of this package, in this process.

    Afterwards `from pymongo import MongoClient`, `from pymongo.asynchronous.collection import AsyncCollection`,
    `from gridfs import GridFSBucket`, `from motor.motor_asyncio import AsyncIOMotorClient` and the like import classes
    of this package. If Motor is not installed, a virtual package `motor` has these names. A warning in the log says
    what was replaced, and which modules imported PyMongo's classes before and keep them.

    Further calls do nothing. Any thread may call it.

    Raises `RuntimeError` if the process has PyMongo or Motor clients that are not closed.
    """
    global _installed
    # Importing waits for imports in other threads, which may call `install()`: not while the lock is held.
    _import_all()
    with _lock:
        if _installed is not None:
            return
        motor = all(name in sys.modules for name in _MOTOR_MODULES)
        targets = _targets(motor)
        originals = _originals(targets)
        _refuse_clients(originals)
        installation = _Installation()
        try:
            _apply(installation, targets, motor)
        except BaseException:
            installation.undo()
            raise
        _installed = installation
        importers = _importers(originals)
    names = sorted({*_BLOCKING, *_AWAITED, *_GRIDFS, *_motor_classes()["motor.motor_asyncio"]})
    virtual = "" if motor else " (Motor is not installed: the package motor is virtual)"
    _LOGGER.warning(
        "install() has replaced PyMongo's and Motor's classes by those of connect-eaas-mongodb%s: %s",
        virtual,
        ", ".join(names),
    )
    if importers:
        _LOGGER.warning(
            "These modules imported PyMongo's or Motor's classes before install(), and keep them: %s. "
            "Call install() before they are imported",
            ", ".join(importers),
        )


def uninstall() -> None:
    """Restore what `install()` replaced. Without a preceding `install()`, it does nothing.

    What another library has replaced since is left as it is, and named in a warning. Modules that have imported the
    classes of this package keep them, as do their clients.
    """
    global _installed
    with _lock:
        if _installed is None:
            return
        replaced_since = _installed.undo()
        _installed = None
    _LOGGER.warning("uninstall() has restored PyMongo's and Motor's classes")
    if replaced_since:
        _LOGGER.warning("uninstall() leaves what was replaced after install(): %s", ", ".join(replaced_since))


def _import_all() -> None:
    """Import the modules whose names are replaced, Motor's if it is installed.

    Motor and PyMongo's encryption use PyMongo's internals, and so need its own classes. They are imported before those
    are replaced.
    """
    importlib.import_module("connect.eaas.mongodb.gridfs")
    for name in ("pymongo.encryption", "gridfs.grid_file", *(f"pymongo.{module}" for module in _DEFINING)):
        importlib.import_module(name)
    if isinstance(getattr(sys.modules.get("motor"), "__spec__", None), _VirtualSpec):
        return
    known = set(sys.modules)
    try:
        for name in _MOTOR_MODULES:
            importlib.import_module(name)
    except Exception as error:
        # An old Motor cannot be imported with a recent PyMongo.
        for name in set(sys.modules) - known:
            if name.partition(".")[0] == "motor":
                sys.modules.pop(name, None)
        if not (isinstance(error, ModuleNotFoundError) and error.name == "motor"):
            _LOGGER.warning("The installed Motor cannot be imported: %s: %s", type(error).__name__, error)


def _targets(motor: bool) -> list[_Target]:
    """All modules with names to replace."""
    gridfs = sys.modules["connect.eaas.mongodb.gridfs"]
    blocking = {name: getattr(mongodb, ours) for name, ours in _BLOCKING.items()}
    awaited = {name: getattr(mongodb, ours) for name, ours in _AWAITED.items()}
    files = {name: getattr(gridfs, ours) for name, ours in _GRIDFS.items()}

    wanted = [("pymongo", blocking | awaited, False)]
    for last in _DEFINING:
        wanted.append((f"pymongo.{last}", blocking, False))
        wanted.append((f"pymongo.synchronous.{last}", blocking, True))
        wanted.append((f"pymongo.asynchronous.{last}", awaited, True))
    wanted += [(name, files, False) for name in ("gridfs", "gridfs.grid_file", "gridfs.synchronous")]
    wanted.append(("gridfs.asynchronous", files, False))
    wanted += [(f"gridfs.{half}.grid_file", files, True) for half in ("synchronous", "asynchronous")]
    if motor:
        wanted += [(name, classes, True) for name, classes in _motor_classes().items()]
    found = []
    for name, classes, defines in wanted:
        module = sys.modules[name]
        # Some modules use the `Collection` of `collections.abc`.
        present = {
            theirs: ours
            for theirs, ours in classes.items()
            if vars(module).get(theirs, collections.abc.Collection) is not collections.abc.Collection
        }
        found.append(_Target(module, present, defines))
    return found


def _motor_classes() -> dict[str, dict[str, Any]]:
    """The names of Motor's modules, and what replaces them."""
    gridfs = sys.modules["connect.eaas.mongodb.gridfs"]
    ours = {name: getattr(mongodb, ours, None) or getattr(gridfs, ours) for name, ours in _MOTOR.items()}
    return {module: {f"{prefix}{name}": one for name, one in ours.items()} for module, prefix in _MOTOR_MODULES.items()}


def _apply(installation: _Installation, targets: list[_Target], motor: bool) -> None:
    for target in targets:
        module = target.module
        if target.defines:
            # PyMongo's functions look names up in the original module, even after a fork.
            module = ModuleType(target.module.__name__, target.module.__doc__)
            vars(module).update(vars(target.module))
            installation.set_module(module.__name__, module)
        for name, ours in target.classes.items():
            installation.set(module, name, ours)
    if motor:
        return
    for name in ("motor", *_MOTOR_MODULES):
        module = ModuleType(name, "Motor's names for the classes of connect-eaas-mongodb, which install() has added.")
        module.__spec__ = _VirtualSpec(name, None, origin=__name__, is_package=name == "motor")
        if name == "motor":
            module.__path__ = []
        installation.set_module(name, module)
        vars(module).update(_motor_classes().get(name, {}))


class _VirtualSpec(ModuleSpec):
    """The specification of a module that exists in `sys.modules` only."""


def _originals(targets: list[_Target]) -> dict[int, Any]:
    """What the targets' names give now, and the modules that are replaced by copies, by their `id`."""
    found = {}
    for target in targets:
        if target.defines:
            found[id(target.module)] = target.module
        for name in target.classes:
            value = vars(target.module)[name]
            found[id(value)] = value
    return found


def _importers(originals: dict[int, Any]) -> list[str]:
    """The modules that have imported or extended one of the originals, each with the names."""
    found: dict[str, set[str]] = {}
    for module, namespace in _other_modules():
        if names := {name for name, value in namespace if id(value) in originals}:
            found.setdefault(module, set()).update(names)
    pending: list[type[Any]] = [one for one in originals.values() if isinstance(one, type)]
    while pending:
        extensions: list[type[Any]] = type.__subclasses__(pending.pop())
        pending += extensions
        for extended in extensions:
            if not _is_own(extended.__module__):
                found.setdefault(extended.__module__, set()).add(extended.__name__)
    return [f"{module} ({', '.join(sorted(names))})" for module, names in sorted(found.items())]


def _other_modules() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """All modules but those of PyMongo, Motor and this package, with their attributes."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not _is_own(name):
            # A module that is loaded lazily must not be loaded for this.
            yield name, list(object.__getattribute__(module, "__dict__").items())


def _is_own(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in _OWN)


def _open_clients() -> dict[int, Any]:
    """PyMongo's clients that are not closed, by their `id`; Motor's clients have one each."""
    kinds = (
        sys.modules["pymongo.synchronous.mongo_client"].MongoClient,
        sys.modules["pymongo.asynchronous.mongo_client"].AsyncMongoClient,
    )
    # PyMongo registers its clients, except those whose SRV record is not resolved yet; the garbage collector knows all
    # but those that `gc.freeze` has hidden.
    registered = [client for kind in kinds for client in list(getattr(kind, "_clients", {}).values())]
    clients = [one for one in [*registered, *gc.get_objects()] if issubclass(type(one), kinds)]
    return {id(client): client for client in clients if not getattr(client, "_closed", False)}


def _refuse_clients(originals: dict[int, Any]) -> None:
    if not _open_clients():
        return
    # Some may be unreachable, but not collected.
    gc.collect()
    clients = _open_clients()
    if not clients:
        return
    holders = []
    for module, namespace in _other_modules():
        for name, value in namespace:
            if type(value).__module__.startswith("motor."):
                value = vars(value).get("delegate")
            if id(value) in clients:
                holders.append(f"{module}.{name}")
    message = f"install() is too late: there are PyMongo clients that are not closed ({len(clients)}"
    message += f", among them {', '.join(sorted(holders))})" if holders else ")"
    message += ". Call install() before the first client is created, or close them before."
    if importers := _importers(originals):
        message += f" These modules have imported PyMongo's or Motor's classes: {', '.join(importers)}."
    raise RuntimeError(message)
