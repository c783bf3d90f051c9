"""What every test session needs before the first import of Prefect and Great Expectations."""

import atexit
import shutil
import tempfile
from pathlib import Path

from flows.settings import Layout, prepare

_home = Path(tempfile.mkdtemp(prefix="caregap-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
prepare(Layout(_home))
