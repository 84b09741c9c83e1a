# SPDX-License-Identifier: Apache-2.0
"""Running commands of the host, by argument list and never through a shell."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shlex
import subprocess
from typing import (
    Any,
    Callable,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
    overload,
)

_SUDO = ("/usr/bin/sudo", "-n")
_SETSID = "/usr/bin/setsid"
_NICE = "/usr/bin/nice"
_IONICE = "/usr/bin/ionice"

# What the shell and the wrappers of VDSM answer for a command that is there
# but cannot be run, and for one that is not there.
_CANNOT_RUN = 126
_NOT_FOUND = 127

_PR_SET_PDEATHSIG = 1

_Printable = Union[str, Sequence[str]]


@overload
def execCmd(
    command: Sequence[str],
    sudo: bool = ...,
    cwd: Optional[str] = ...,
    data: Union[bytes, str, None] = ...,
    raw: Literal[False] = ...,
    printable: Optional[_Printable] = ...,
    env: Optional[Mapping[str, str]] = ...,
    sync: Literal[True] = ...,
    nice: Optional[int] = ...,
    ioclass: Optional[int] = ...,
    ioclassdata: Optional[int] = ...,
    setsid: bool = ...,
    execCmdLogger: Optional[logging.Logger] = ...,
    deathSignal: Optional[int] = ...,
    resetCpuAffinity: bool = ...,
) -> Tuple[int, List[bytes], List[bytes]]: ...


@overload
def execCmd(
    command: Sequence[str],
    sudo: bool = ...,
    cwd: Optional[str] = ...,
    data: Union[bytes, str, None] = ...,
    *,
    raw: Literal[True],
    printable: Optional[_Printable] = ...,
    env: Optional[Mapping[str, str]] = ...,
    sync: Literal[True] = ...,
    nice: Optional[int] = ...,
    ioclass: Optional[int] = ...,
    ioclassdata: Optional[int] = ...,
    setsid: bool = ...,
    execCmdLogger: Optional[logging.Logger] = ...,
    deathSignal: Optional[int] = ...,
    resetCpuAffinity: bool = ...,
) -> Tuple[int, bytes, bytes]: ...


@overload
def execCmd(
    command: Sequence[str],
    sudo: bool = ...,
    cwd: Optional[str] = ...,
    data: Union[bytes, str, None] = ...,
    raw: bool = ...,
    printable: Optional[_Printable] = ...,
    env: Optional[Mapping[str, str]] = ...,
    *,
    sync: Literal[False],
    nice: Optional[int] = ...,
    ioclass: Optional[int] = ...,
    ioclassdata: Optional[int] = ...,
    setsid: bool = ...,
    execCmdLogger: Optional[logging.Logger] = ...,
    deathSignal: Optional[int] = ...,
    resetCpuAffinity: bool = ...,
) -> "subprocess.Popen[bytes]": ...


def execCmd(
    command: Sequence[str],
    sudo: bool = False,
    cwd: Optional[str] = None,
    data: Union[bytes, str, None] = None,
    raw: bool = False,
    printable: Optional[_Printable] = None,
    env: Optional[Mapping[str, str]] = None,
    sync: bool = True,
    nice: Optional[int] = None,
    ioclass: Optional[int] = None,
    ioclassdata: Optional[int] = None,
    setsid: bool = False,
    execCmdLogger: Optional[logging.Logger] = None,
    deathSignal: Optional[int] = None,
    resetCpuAffinity: bool = True,
) -> Any:
    """Run a command and wait for it.

    Returns the exit code (minus the signal's number if a signal ended it) and
    what the command wrote to standard output and standard error: lists of
    lines, or all of it if `raw`; bytes in either case. A command that is
    missing gives 127, one that cannot be run 126, with the reason as its
    standard error.

    sudo              run it as root, without asking for a password
    cwd               directory to run it in
    data              its standard input; empty if absent
    printable         what to log in place of the command, if that holds a secret
    env               all of its environment, in place of the hook's
    sync              if false, do not wait: returns a `subprocess.Popen`
    nice              niceness to run it with
    ioclass           I/O scheduling class as for ionice(1), with `ioclassdata`
    setsid            run it in a session of its own
    execCmdLogger     logger for the command and its result
    deathSignal       signal it gets if the hook ends first; lost through sudo
    resetCpuAffinity  let it run on every CPU

    Raises `TypeError` if the command is not a list of strings, and `OSError`
    if `cwd` is no directory or, without `sync`, the command cannot be run.
    """
    argv = _argv(command, sudo, nice, ioclass, ioclassdata, setsid)
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"{cwd} is no directory to run {argv[0]} in")
    if isinstance(data, str):
        data = data.encode("utf-8")

    logger = execCmdLogger or logging.getLogger("hooking.execCmd")
    if printable is None:
        printable = argv
    shown = printable if isinstance(printable, str) else shlex.join(printable)
    logger.debug("%s (cwd %s)", shown, cwd)

    def start(stdin: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            preexec_fn=_preparation(deathSignal, resetCpuAffinity),
        )

    if not sync:
        process = start(subprocess.PIPE)
        if data is not None and process.stdin is not None:
            process.stdin.write(data)
            process.stdin.flush()
        return process

    try:
        process = start(subprocess.DEVNULL if data is None else subprocess.PIPE)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        code = _NOT_FOUND if missing else _CANNOT_RUN
        out, err = b"", f"{argv[0]}: {error.strerror}".encode("utf-8", "replace")
    else:
        with process:
            out, err = process.communicate(data)
        code = process.returncode
    logger.debug("%s: rc=%d err=%r", shown, code, err)
    if raw:
        return code, out, err
    return code, out.splitlines(), err.splitlines()


def _argv(
    command: Sequence[str],
    sudo: bool,
    nice: Optional[int],
    ioclass: Optional[int],
    ioclassdata: Optional[int],
    setsid: bool,
) -> List[str]:
    if isinstance(command, (str, bytes)):
        raise TypeError(f"a command is a list of a program and its arguments, not {command!r}")
    if not command:
        raise ValueError("the command is an empty list")
    argv: List[str] = []
    if sudo and os.geteuid() != 0:
        argv += _SUDO
    if setsid:
        argv.append(_SETSID)
    if nice is not None:
        argv += [_NICE, "-n", str(nice)]
    if ioclass is not None:
        argv += [_IONICE, "-c", str(ioclass)]
        if ioclassdata is not None:
            argv += ["-n", str(ioclassdata)]
    argv += command
    return argv


def _preparation(
    death_signal: Optional[int], reset_cpu_affinity: bool
) -> Optional[Callable[[], None]]:
    """What the child has to do before it becomes the command, if anything."""
    cpus: Optional[Set[int]] = None
    if reset_cpu_affinity:
        every = set(range(os.sysconf("SC_NPROCESSORS_CONF")))
        if os.sched_getaffinity(0) != every:
            cpus = every
    # Looked up here: the child should do as little as possible.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if death_signal else None
    if cpus is None and prctl is None:
        return None

    def prepare() -> None:
        if cpus is not None:
            # A container may forbid it; the command runs all the same.
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, cpus)
        if prctl is not None and death_signal is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)

    return prepare
