"""A member's site with several versions of a model, two people who decide, and callers who check."""

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    NOW,
    PURPOSE,
    MemberSite,
    RunningScorer,
    make_site,
    write_registration,
)
from tritonclient.utils import np_to_triton_dtype

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.crypto import SigningKey
from hanse.learning.artifact import LoadedModel, ModelManifest, encode_weights, load_model, write_model
from hanse.learning.transform import Transform
from hanse.policies.serving import Serving, ServingBook
from hanse.server.scoring import RegistrySettings

NAME = "propensity"


class Served:
    """A site in which some versions are registered; the first is live."""

    def __init__(self, root: Path, versions: int, **agreement_changes: object) -> None:
        self.site: MemberSite = make_site(root, **agreement_changes)
        self.keys = self.site.keys
        self.folder = root / "models"
        self.folder.mkdir()
        (root / "agreements").mkdir()
        digest = self.site.agreement.digest
        (root / "agreements" / f"{digest}.agreement").write_bytes((root / "agreement.note").read_bytes())
        self.digests = {number: self.register(number) for number in range(1, versions + 1)}
        self.approver, self.auditor = self.keys.approvers[0], self.keys.auditor
        self.book = ServingBook(root / "serving", (self.approver.verifier, self.auditor.verifier))
        actor = Actor(organisation="Brand AG", key_id=self.keys.node.verifier.key_id, role="approver")
        self.log = AuditLog.open(root / "audit.db", self.keys.node, actor, lambda: datetime.now(UTC))
        self.promote(1)
        registry = RegistrySettings(
            model=NAME,
            decisions=root / "serving",
            approver=self.approver.verifier.encode(),
            models=self.folder,
            agreements=root / "agreements",
            coordinators=(self.keys.coordinator.verifier.encode(),),
        )
        self.settings = self.site.settings.model_copy(update={"registry": registry, "operators": (CALLER,)})

    def register(self, number: int) -> str:
        """Writes a version whose weights are its own; returns its digest."""
        agreement = self.site.agreement
        transform = Transform.fit(agreement.columns, None, 0.0)
        slope = 0.3 + 0.4 * number
        weights = np.linspace(-slope, slope, transform.n_features + 1, dtype=np.float32)
        manifest = ModelManifest(
            name=NAME,
            version=number,
            agreement_digest=agreement.digest,
            run=f"run-{number}",
            purpose=agreement.purpose,
            label=agreement.label,
            transform=transform,
            training=agreement.training,
            metrics={},
            privacy=None,
            epsilon={},
            members=tuple(member.name for member in agreement.members),
            created_at=NOW,
        )
        folder = self.folder / f"{NAME}@{number}"
        digest = write_model(folder, manifest, encode_weights(weights), self.keys.coordinator)
        write_registration(folder, agreement, self.keys, digest)
        return digest

    def model(self, number: int) -> LoadedModel:
        return load_model(self.folder / f"{NAME}@{number}", self.keys.coordinator.verifier)

    def expected(self, number: int) -> np.ndarray[Any, Any]:
        """What the version's own predictor says of the granted subjects, in the agreed form."""
        model = self.model(number)
        columns = {"age": np.array(AGES), "job": np.array(JOBS, dtype=object)}
        return np.round(model.predictor.scores(model.transform.apply(columns)), 2).astype(np.float32)

    def says(self, kind: str, key: SigningKey | None = None, **fields: Any) -> Serving:
        """A decision of one person, in the log first."""
        signer = key or self.approver
        told = {"kind": kind, "reason": "test", "by": signer.name, "at": datetime.now(UTC), **fields}
        if "version" in told:
            told.setdefault("manifest", self.digests[told["version"]])
        return self.book.decide(NAME, signer, self._logs, **told)

    def _logs(self, signed: Any, *_: object) -> None:
        self.log.append(Event(type=EventType.MODEL_PROPOSED, serving=signed.digest))

    def promote(self, number: int) -> Serving:
        return self.approve(self.says("promote", version=number).number)

    def retire(self, number: int) -> Serving:
        return self.approve(self.says("retire", version=number).number)

    def approve(self, proposal: int) -> Serving:
        return self.says("approve", self.auditor, proposal=proposal)

    def running(self, **settings: object) -> RunningScorer:
        return RunningScorer(self.settings.model_copy(update=settings))

    def client(self, scorer: RunningScorer) -> Any:
        return triton.InferenceServerClient(scorer.address, creds=self.site.credentials(CALLER))

    def entries(self, kind: EventType) -> list[Any]:
        return [entry for entry in self.site.entries() if entry.type is kind]


def ask(client: Any, subject: int = 0, **options: Any) -> tuple[str, float, str]:
    """One call about one subject: version, score and digest of the answer."""
    values = {
        "subject_id": np.array([GRANTED[subject].encode()], dtype=object),
        "age": np.array([AGES[subject]]),
        "job": np.array([JOBS[subject].encode()], dtype=object),
    }
    inputs = []
    for name, column in values.items():
        made = triton.InferInput(name, list(column.shape), np_to_triton_dtype(column.dtype))
        made.set_data_from_numpy(column)
        inputs.append(made)
    result = client.infer(NAME, inputs, parameters={"purpose": PURPOSE}, **options)
    response = result.get_response()
    digest = response.parameters["model_digest"].string_param
    return response.model_version, float(result.as_numpy("score")[0]), digest


def wait_until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def _answers(client: Any, version: str) -> bool:
    return ask(client)[0] == version


def swap_under_load(served: Served, swaps: int, callers: int) -> Counter[str]:
    """Promotes and rolls back while callers ask; every answer must be that of the version that it names.

    Returns:
        Number of answers by version.
    """
    expected = {str(number): served.expected(number) for number in served.digests}
    stop, answers = threading.Event(), Counter[str]()
    with served.running() as scorer, ThreadPoolExecutor(callers) as pool:

        def call(number: int) -> Counter[str]:
            mine: Counter[str] = Counter()
            with served.client(scorer) as client:
                while not stop.is_set():
                    subject = (number + mine.total()) % len(GRANTED)
                    version, score, digest = ask(client, subject)
                    assert score == expected[version][subject], f"not the score of version {version}"
                    assert digest == served.digests[int(version)]
                    mine[version] += 1
            return mine

        tasks = [pool.submit(call, number) for number in range(callers)]
        try:
            with served.client(scorer) as client:
                for swap in range(swaps):
                    # Forward to a version that was not live last, and every third time back.
                    if swap % 3 == 2:
                        previous = served.book.read(NAME).state.previous
                        assert previous is not None
                        served.says("rollback", version=previous.version)
                    else:
                        live = served.book.read(NAME).state.live
                        assert live is not None
                        served.promote(live.version % len(served.digests) + 1)
                    now = served.book.read(NAME).state.live
                    assert now is not None
                    wait_until(functools.partial(_answers, client, str(now.version)))
        finally:
            stop.set()
        for task in tasks:
            answers += task.result(30)
    return answers
