"""What training leaves to the other processes of its machine."""

import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")
SCRIPT = f"""
import os
from pathlib import Path
from streamrec.roles.training.priority import stand_back
group = Path({str(AUTOGROUP)!r})
before = group.read_text() if group.exists() else ""
stand_back()
print(os.nice(0))
print(before.strip())
print(group.read_text().strip() if before else "")
"""


@pytest.mark.parametrize("own_session", [True, False])
def test_it_lowers_itself_and_no_session_that_others_are_in(own_session: bool) -> None:
    nice, before, after = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, text=True, capture_output=True,
        start_new_session=own_session,
    ).stdout.split("\n")[:3]  # fmt: skip
    assert nice == "19"
    assert after == (before.replace("nice 0", "nice 19") if own_session else before)
