"""What `up` and `demo` say while they start."""

import subprocess
import sys

from streamrec.local.machine import COMPILING, WARM


def said(work: str) -> str:
    script = WARM.replace("warm_up(Settings())", work)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout


def test_compiling_is_said_only_when_a_kernel_is_not_in_the_cache() -> None:
    assert said("import numba; numba.njit(lambda: 1)()") == f"{COMPILING}\n"
    assert said("pass") == ""
