# SPDX-License-Identifier: Apache-2.0
"""Running commands of the host, by argument list and never through a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from vdsm._absent import missing_attribute

if TYPE_CHECKING:
    from hooking import execCmd

__all__ = ["execCmd", "run"]


def run(
    args: Sequence[str],
    input: Optional[bytes] = None,
    cwd: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    sudo: bool = False,
    setsid: bool = False,
    nice: Optional[int] = None,
    ioclass: Optional[int] = None,
    ioclassdata: Optional[int] = None,
    reset_cpu_affinity: bool = True,
) -> bytes:
    """Run a command, wait for it, and return its standard output.

    The arguments mean what they mean to `hooking.execCmd`; `input` is its
    `data`. Raises `vdsm.common.cmdutils.Error` if the exit code is not 0,
    which it is not either for a command that is missing (127) or cannot be
    run (126).
    """
    from hooking import execCmd

    rc, out, err = execCmd(
        args,
        sudo=sudo,
        cwd=cwd,
        data=input,
        raw=True,
        env=env,
        nice=nice,
        ioclass=ioclass,
        ioclassdata=ioclassdata,
        setsid=setsid,
        resetCpuAffinity=reset_cpu_affinity,
    )
    if rc != 0:
        from vdsm.common.cmdutils import Error

        raise Error(args, rc, out, err)
    return out


def __getattr__(name: str) -> Any:
    # Loading what runs commands takes longer than all the rest.
    if name == "execCmd":
        from hooking import execCmd

        globals()[name] = execCmd
        return execCmd
    raise missing_attribute(__name__, name)
