import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT, clean_environment

ATTACK = """
import base64, json, os, pickle, sys
from pathlib import Path
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import OrchestrationResult, StateRejectDetails
from prefect._internal.result_records import ResultRecordMetadata
from prefect.serializers import PickleSerializer

class Planted:
    def __reduce__(self):
        return os.mkdir, (sys.argv[1] + "/ran",)

planted = Path(sys.argv[1]) / "planted"
named = ResultRecordMetadata(storage_key=str(planted), serializer=PickleSerializer())
content = base64.b64encode(pickle.dumps(Planted())).decode()
planted.write_text(json.dumps({"metadata": named.model_dump(mode="json"), "result": content}))

def lying(self, flow_run_id, state, force=False):
    told = State(type=sys.argv[2], data=named)
    return OrchestrationResult(state=told, status="REJECT", details=StateRejectDetails(reason="so the API says"))

if sys.argv[3] == "zone":
    from flows.zone import zone_flow
else:
    zone_flow = lambda name: flow(name=name)

@zone_flow("attacked")
def attacked() -> int:
    return 1

SyncPrefectClient.set_flow_run_state = lying
try:
    attacked()
except Exception as error:
    print(type(error).__name__, error)
"""


def attack(folder: Path, api: str, state: str, whose: str) -> str:
    """What a flow says whose API answers that it has ended already, with a result that lies where others can write."""
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, folder, state, whose],
        cwd=ROOT,
        env={
            **clean_environment(),
            "PREFECT_API_URL": api,
            "PREFECT_API_AUTH_STRING": os.environ["PREFECT_API_AUTH_STRING"],
            "PREFECT_HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_whoever_holds_the_api_runs_no_code_in_a_zone(tmp_path: Path, prefect_api: str, state: str) -> None:
    said = attack(tmp_path, prefect_api, state, "zone")
    assert not (tmp_path / "ran").exists()
    assert "Prefect's API names a stored result; a zone loads none" in said, said


def test_the_attack_works_on_a_flow_of_prefects_own(tmp_path: Path, prefect_api: str) -> None:
    said = attack(tmp_path, prefect_api, "COMPLETED", "prefect")
    assert (tmp_path / "ran").exists(), said
    assert os.listdir(tmp_path / "ran") == []
