"""A disk that fails on demand, below SQLite and above the operating system.

SQLite does all its work on files through a table of functions, a *virtual file system*. This module registers
a copy of the usual one in which writing, flushing and truncating first ask a plan what shall happen. Nothing
of Hanse and nothing of SQLite is replaced: both run as they are and see a disk that misbehaves.

For a process of its own: what is installed stays for all connections that the process opens afterwards.
"""

import _sqlite3
import ctypes
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

OK: Final = 0
FULL: Final = sqlite3.SQLITE_FULL
FAILED: Final = {  # extended result codes: SQLITE_IOERR_WRITE, _FSYNC, _TRUNCATE
    "write": sqlite3.SQLITE_IOERR | 3 << 8,
    "sync": sqlite3.SQLITE_IOERR | 4 << 8,
    "truncate": sqlite3.SQLITE_IOERR | 6 << 8,
}
NAME: Final = b"faulty"
ACTIONS: Final = ("fails", "fails though done", "killed before", "killed after", "torn, killed", "full")
KILLS: Final = {"killed after", "torn, killed"}


@dataclass
class Plan:
    """What shall happen at which call; calls count from 1 when the plan is armed.

    Attributes:
        images: Folder for what a loss of power would leave: each file as it was when it was last flushed.
        call: The call that misbehaves; 0 for none.
        action: One of ``ACTIONS``; a full disk stays full until disarmed, everything else happens once.
        calls: What was called since the plan was armed.
    """

    images: Path
    call: int = 0
    action: str = ""
    calls: list[str] = field(default_factory=list)

    def arm(self, call: int, action: str) -> None:
        self.call, self.action, self.calls = call, action, []

    def disarm(self) -> None:
        self.call = 0

    def next(self, kind: str) -> str:
        """The action for this call, empty for none."""
        self.calls.append(kind)
        number = len(self.calls)
        due = number >= self.call if self.action == "full" else number == self.call
        return self.action if self.call and due else ""


class Methods(Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = [("version", c_int), ("functions", c_void_p * 18)]


class Vfs(Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = [
        ("version", c_int),
        ("size", c_int),
        ("longest", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("functions", c_void_p * 16),
    ]


class File(Structure):
    """``sqlite3_file``: what follows belongs to the file system."""

    _fields_ = [("methods", POINTER(Methods))]


OPEN: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(File), c_int, c_void_p)
WRITE: Final = CFUNCTYPE(c_int, POINTER(File), c_void_p, c_int, c_int64)
TRUNCATE: Final = CFUNCTYPE(c_int, POINTER(File), c_int64)
SYNC: Final = CFUNCTYPE(c_int, POINTER(File), c_int)
AT: Final = {"write": (2, WRITE), "truncate": (3, TRUNCATE), "sync": (4, SYNC)}  # places in Methods.functions
_kept: list[Any] = []  # whatever C holds a pointer to must not be collected
_paths: dict[int, Path] = {}  # of the open files, by their address


def install(images: Path) -> Plan:
    """Makes the failing disk the one that every later connection of this process uses."""
    library = ctypes.CDLL(_sqlite3.__file__)  # finds the very library that Python's module is linked to
    library.sqlite3_vfs_find.restype = POINTER(Vfs)
    usual = library.sqlite3_vfs_find(None).contents
    mine, plan = Vfs.from_buffer_copy(usual), Plan(images)
    tables: dict[int, Methods] = {}
    usual_open = OPEN(usual.functions[0])

    def opened(vfs: int, name: int | None, file: Any, flags: int, out: int) -> int:
        code: int = usual_open(vfs, name, file, flags, out)
        if code == OK and file.contents.methods:
            if name is not None:
                _paths[ctypes.addressof(file.contents)] = Path(os.fsdecode(ctypes.string_at(name)))
            address = ctypes.addressof(file.contents.methods.contents)
            if address not in tables:
                tables[address] = _wrap(file.contents.methods.contents, plan)
            file.contents.methods = ctypes.pointer(tables[address])
        return code

    mine.name = NAME
    callback = OPEN(opened)
    mine.functions[0] = ctypes.cast(callback, c_void_p).value
    _kept.extend([mine, callback, tables, usual_open])
    if library.sqlite3_vfs_register(ctypes.byref(mine), 1) != OK:
        raise RuntimeError("SQLite does not take the file system")
    return plan


def _wrap(usual: Methods, plan: Plan) -> Methods:
    """A table whose writing, flushing and truncating follow the plan."""
    methods = Methods.from_buffer_copy(usual)
    for kind, (place, prototype) in AT.items():
        callback = prototype(_faulty(kind, prototype(usual.functions[place]), plan))
        methods.functions[place] = ctypes.cast(callback, c_void_p).value
        _kept.append(callback)
    return methods


def _faulty(kind: str, usual: Callable[..., int], plan: Plan) -> Callable[..., int]:
    def call(file: Any, *arguments: int) -> int:
        action = plan.next(kind)
        if action == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "fails":
            return FAILED[kind]
        if action == "full" and kind == "write":
            return FULL
        if action == "torn, killed" and kind == "write":
            arguments = (arguments[0], arguments[1] // 2, arguments[2])
        code = usual(file, *arguments)
        if kind == "sync" and code == OK:
            path = _paths[ctypes.addressof(file.contents)]
            shutil.copyfile(path, plan.images / path.name)
        if action in KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        return FAILED[kind] if action == "fails though done" else code

    return call
