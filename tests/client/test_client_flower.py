"""The Flower adapter around the node: bytes in, bytes out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hanse.client.flower import QUIET_ENVIRONMENT, prepare_environment
from hanse.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

    from flwr.app import Message, RecordDict


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Flower's messages take their run and sender from."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def call(content: RecordDict) -> Message:
    from flwr.app import Context, Message, RecordDict

    from hanse.client.flower.app import client_app

    message = Message(content, dst_node_id=1, message_type="train.step")
    return client_app(message=message, context=Context(1, 1, {}, RecordDict(), {}))


def test_a_command_goes_to_the_handler_and_its_reply_back() -> None:
    from flwr.app import ConfigRecord, RecordDict

    from hanse.client.flower.app import install

    install(lambda data: data[::-1])
    reply = call(RecordDict({"hanse": ConfigRecord({"signed": b"abc"})}))
    assert reply.content.config_records["hanse"]["signed"] == b"cba"


def test_a_message_without_a_signed_command_is_refused() -> None:
    from flwr.app import ConfigRecord, RecordDict

    for content in (RecordDict(), RecordDict({"hanse": ConfigRecord({"signed": "text"})})):
        with pytest.raises(ProtocolError) as caught:
            call(content)
        assert caught.value.code == "protocol.malformed"


def test_flower_reports_and_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*QUIET_ENVIRONMENT, "FLWR_HOME"):
        monkeypatch.setenv(name, "as it was")
    prepare_environment(tmp_path)
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert os.environ["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert os.environ["FLWR_HOME"] == str(tmp_path)


def test_preparing_the_environment_does_not_import_flower() -> None:
    code = "import sys, hanse.client.flower; sys.exit('flwr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
