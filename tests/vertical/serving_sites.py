"""A trained vertical model at its members, and the processes that serve it, in threads of this one."""

import asyncio
import dataclasses
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import grpc
import numpy as np
import uvloop
from tests.conftest import LocalFederation, open_federation

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.audit import Actor, Checkpoint, Entry, Event, EventType, leaf_hash, sign_checkpoint, verify_log
from hanse.audit.entry import Frame, format_time, write_entry
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.cli.serve import local_parts, scoring_settings
from hanse.cli.serve_part import part_settings, write_link
from hanse.cli.serve_settings import ServeSettings
from hanse.client.data import DataSource
from hanse.client.drafting import Effects
from hanse.client.features import make_features
from hanse.client.settings import NodeSettings
from hanse.crypto import VerifierKey, read_secret, unverified_text, write_atomic
from hanse.crypto.cosigning import CosignerKey
from hanse.demo.federation import CALLER, Federation, Site
from hanse.demo.processes import Processes
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import car_story
from hanse.learning.subject_values import Found
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.serving import KeptPart, open_kept
from hanse.policies import Agreement, Answers, Column, Identity, Pseudonymiser, Scoring, open_agreement
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE
from hanse.server.parts import PartData, serve_part
from hanse.server.party import RunContext
from hanse.server.ports import free_port
from hanse.server.rounds import Means
from hanse.server.scoring import serve
from hanse.server.scoring.borders import CODE_TRAILER
from hanse.server.scoring.stopping import Stop
from hanse.server.scoring.tensors import pack_texts
from hanse.server.vertical.registering import vertical_manifest, write_vertical
from hanse.server.vertical.run import VerticalRun
from hanse.settings import load_settings

PURPOSES = ("joint_modelling.propensity", "scoring.marketing")
DEADLINE_S = 10.0
PATIENCE_S = 3.0
"""Longer than any answer takes, whatever else the machine does."""
ANSWERS = Answers(form="sides", daily_people=100_000, keep_s=60, fallback="own_columns")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of model that is served.

    Attributes:
        model: The kind.
        form: What feature holders answer.
        output: In which form scores leave: raw where that is agreed, so that tests can tell what was
            computed of what.
        vertical: Changes of the drafted agreement.
    """

    model: VerticalModel
    form: Literal["sides", "log_odds", "points", "embeddings"]
    output: Mapping[str, object]
    vertical: Mapping[str, object] = dataclasses.field(default_factory=dict)


_BANDS = {"output": "band", "edges": [edge / 50 for edge in range(1, 20)]}
TREES = Kind("trees", "sides", {"output": "score"})
# Of few people, a flipped label may by chance look like more than it is.
LATE_FUSION = Kind("late_fusion", "log_odds", _BANDS, {"maximum_leakage": 0.95})
SCORECARD = Kind("scorecard", "points", _BANDS)
SPLIT_NETWORK = Kind("split_network", "embeddings", {"output": "score"})
KINDS = (TREES, LATE_FUSION, SCORECARD, SPLIT_NETWORK)


def now() -> datetime:
    return datetime.now(UTC)


@dataclasses.dataclass
class Trained:
    """A vertical model, registered, at its members."""

    federation: Federation
    model: str
    callers: Mapping[str, Path]

    @property
    def brand(self) -> Site:
        return self.federation.sites[0]

    def ref(self, site: Site, subject: str) -> str:
        return Pseudonymiser(read_secret(site.home.pseudonym_key)).ref(subject)

    def kept(self, site: Site) -> KeptPart:
        folder = site.home.parts / self.model
        verifier = VerifierKey.decode(Identity.load(site.home.identity).node_key)
        return open_kept(lambda name: (folder / name).read_bytes(), [verifier])

    @property
    def terms(self) -> Scoring:
        """In which form scores leave, by the agreement."""
        note = (self.brand.home.parts / self.model / "agreement.note").read_bytes()
        return open_agreement(note).agreement.scoring

    def joint(self, places: list[int]) -> np.ndarray[Any, Any]:
        """Scores by the parts of brand and insurer in one place."""
        label, feature = (self.kept(site) for site in self.federation.sites)
        assert label.label is not None
        assert feature.feature is not None
        own, others = (
            {name: column[places] for name, column in values(self, site).items()}
            for site in self.federation.sites
        )
        return label.label.scores(own, {"insurer": feature.feature.answers(others, len(places))})

    def people(self, site: Site) -> list[str]:
        """The site's own identifiers of the common people, by place."""
        lines = (site.home.parts / self.model / "people.txt").read_text().split()
        own = {self.ref(site, str(subject)): str(subject) for subject in site.written.subject_ids}
        return [own[line] for line in lines]

    def entries(self, site: Site) -> list[Entry]:
        verifier = VerifierKey.decode(Identity.load(site.home.identity).node_key)
        return list(verify_log(site.home.log, verifier, origin=verifier.name).entries)

    def of_type(self, site: Site, kind: EventType) -> list[Entry]:
        return [entry for entry in self.entries(site) if entry.type is kind]


def train(
    folder: Path,
    people: int = 1200,
    members: int = 2,
    trees: int = 5,
    answers: Answers | None = ANSWERS,
    kind: Kind = TREES,
) -> Trained:
    """Trains a model of the car story and registers it at the label holder."""
    story = car_story(people, members, np.random.default_rng(5))
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    draft = vertical_draft(story, trees if kind.model == "trees" else None, CALLER, kind.model)
    assert draft.vertical is not None
    if answers is not None:
        answers = answers.model_copy(update={"form": kind.form})
    vertical = draft.vertical.model_copy(update={"answers": answers, **kind.vertical})
    # Of columns that the caller brings.
    note = federation.agree(
        dataclasses.replace(draft, vertical=vertical, form=kind.output, effects=Effects(reason_codes=True))
    )[1]
    built = open_federation(federation, note)
    with ExitStack() as stack:
        stack.enter_context(built.hub)
        model = _run(built)
    return Trained(federation, model, federation.make_callers([CALLER]))


def _run(built: LocalFederation) -> str:
    record = built.book.new("abcdef", frozenset(built.nodes))
    context = RunContext(record.run, built.signed, built.signed.note)
    run = VerticalRun(context, Means(built.transport(), built.hub, built.statements), built.key, record)
    manifest = vertical_manifest(context, run.conduct(), now())
    home = built.federation.sites[0].home
    folder = home.models / manifest.reference
    folder.parent.mkdir(exist_ok=True)
    digest = write_vertical(folder, manifest, built.key)
    run.finish(manifest.reference, digest, "")
    actor = Actor(organisation="hub", key_id=built.key.verifier.key_id, role="coordinator")
    event = Event(type=EventType.MODEL_REGISTERED, agreement=built.signed.digest, model_out=digest)
    leaf = write_entry(event, Frame(actor.canonical(), 0, format_time(now())))
    signed = sign_checkpoint(Checkpoint("hub", 1, leaf_hash(leaf)), built.key)
    for site in built.federation.sites:
        witness = CosignerKey.load(site.home.witness_key)
        signed += witness.cosign(unverified_text(signed), now()).encode()
    write_atomic(folder / REGISTRATION_FILE, leaf)
    write_atomic(folder / PROOF_FILE, format_proof(ProofFile(0, (), signed)))
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{built.signed.digest}.agreement", built.signed.note)
    return manifest.reference


class Running:
    """A service of this process; all live on one event loop, in a thread of its own."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, start: Callable[[Stop, Callable[[str], None]], Awaitable[None]]) -> None:
        self.address = ""
        self._start = start
        self._ready = threading.Event()

    @classmethod
    def loop(cls) -> asyncio.AbstractEventLoop:
        if cls._loop is None:
            cls._loop = uvloop.new_event_loop()
            threading.Thread(target=cls._loop.run_forever, daemon=True).start()
        return cls._loop

    def __enter__(self) -> Self:
        self._done = asyncio.run_coroutine_threadsafe(self._serve(), self.loop())
        self._done.add_done_callback(lambda _: self._ready.set())
        assert self._ready.wait(20)
        if self._done.done():
            self._done.result()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop().call_soon_threadsafe(self._stop.tell)
        self._done.result(20)

    async def _serve(self) -> None:
        self._stop = Stop()
        await self._start(self._stop, self._announce)

    def _announce(self, address: str) -> None:
        self.address = address
        self._ready.set()


class Waiting:
    """Data that is read when something else has happened."""

    def __init__(self, data: PartData, happened: Callable[[], Awaitable[object]]) -> None:
        self._data = data
        self._happened = happened

    def subject_ids(self) -> Sequence[str]:
        return self._data.subject_ids()

    async def look_up(self, columns: Sequence[Column], subject_ids: Sequence[str]) -> Found:
        await self._happened()
        return await self._data.look_up(columns, subject_ids)


def hand_link(trained: Trained, site: Site, address: str) -> None:
    """Tells the label holder where a feature holder is reached."""
    link = write_link(site.home.root, address)
    write_atomic(trained.brand.home.root / f"{site.data.name}.link", link.read_bytes())


@contextmanager
def serving_part(
    trained: Trained,
    site: Site,
    address: str,
    seen_at: str = "",
    seen_as: Callable[[PartData], PartData] = lambda data: data,
    **changes: Any,
) -> Iterator[Running]:
    """A feature holder's service, and its link at the label holder."""
    hand_link(trained, site, seen_at or address)
    flags = load_settings(ServeSettings, site.home.settings, "serve", {"part_address": address})
    settings = part_settings(site.home.root, trained.model, flags)
    settings = settings.model_copy(update={"grace_s": 0.0, **changes})
    data = seen_as(make_features(NodeSettings.load(site.home.root).dataset))
    with Running(lambda stop, ready: serve_part(settings, data, _still_runs, stop.told, ready)) as running:
        yield running


@contextmanager
def serving_scorer(trained: Trained, bound_s: float = 60.0, **changes: Any) -> Iterator[Running]:
    """The label holder's scorer."""
    home = trained.brand.home.root
    settings = scoring_settings(home, trained.model, "127.0.0.1:0")
    assert settings.partners is not None
    links = {site.data.name: home / f"{site.data.name}.link" for site in trained.federation.sites[1:]}
    partners = settings.partners.model_copy(update={"links": links, "patience_s": PATIENCE_S, **changes})
    settings = settings.model_copy(
        update={"partners": partners, "grace_s": 0.0, "withdrawal_bound_s": bound_s}
    )
    with Running(lambda stop, ready: serve(settings, stop, ready, local=local_parts(home))) as running:
        yield running


def _still_runs(_agreement: Agreement) -> None:
    """Nobody has ended it."""


class Caller:
    """A calling system."""

    def __init__(self, trained: Trained, address: str) -> None:
        folder = trained.callers[CALLER]
        credentials = grpc.ssl_channel_credentials(
            trained.brand.home.serving_authority.read_bytes(),
            (folder / "tls.key").read_bytes(),
            (folder / "tls.crt").read_bytes(),
        )
        self.channel = grpc.secure_channel(address, credentials)
        self._infer = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=oip.ModelInferRequest.SerializeToString,
            response_deserializer=oip.ModelInferResponse.FromString,
        )
        self._trained = trained

    def request(self, subjects: Sequence[str], columns: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        name, _, version = self._trained.model.partition("@")
        request = oip.ModelInferRequest(model_name=name, model_version=version)
        request.parameters["purpose"].string_param = PURPOSES[1]
        for output in ("score", "decision", "basis"):
            request.outputs.add(name=output)
        tensor = request.inputs.add(name="subject_id", datatype="BYTES", shape=[len(subjects)])
        tensor.contents.bytes_contents.extend(subject.encode() for subject in subjects)
        for column, values in columns.items():
            numeric = values.dtype.kind == "f"
            tensor = request.inputs.add(
                name=column, datatype="FP64" if numeric else "BYTES", shape=[len(subjects)]
            )
            if numeric:
                tensor.contents.fp64_contents.extend(values.tolist())
            else:
                tensor.contents.bytes_contents.extend(str(value).encode() for value in values)
        return request

    def raw(self, request: Any) -> Any:
        """The same request, its contents raw."""
        made = oip.ModelInferRequest.FromString(request.SerializeToString())
        for tensor in made.inputs:
            contents = tensor.contents
            made.raw_input_contents.append(
                pack_texts(contents.bytes_contents)
                if tensor.datatype == "BYTES"
                else np.array(contents.fp64_contents, "<f8").tobytes()
            )
            tensor.ClearField("contents")
        return made

    def ask(self, request: Any, timeout_s: float = 5.0) -> "Answered":
        return Answered(self._infer(request, timeout=timeout_s))

    @property
    def own(self) -> ScoringStub:
        """Hanse's own service."""
        return ScoringStub(self.channel)

    def close(self) -> None:
        self.channel.close()


class Answered:
    """What a calling system was answered."""

    def __init__(self, response: Any) -> None:
        names = [tensor.name for tensor in response.outputs]
        if response.raw_output_contents:
            raw = dict(zip(names, response.raw_output_contents, strict=True))
            self.scores = np.frombuffer(raw["score"], "<f4")
            self.decisions, self.basis = (unpack_texts(raw[name]) for name in ("decision", "basis"))
        else:
            outputs = {tensor.name: tensor.contents for tensor in response.outputs}
            self.scores = np.array(outputs["score"].fp32_contents)
            self.decisions = [text.decode() for text in outputs["decision"].bytes_contents]
            self.basis = [text.decode() for text in outputs["basis"].bytes_contents]
        self.mark = response.parameters["basis"].string_param


def unpack_texts(raw: bytes) -> list[str]:
    """Texts of a BYTES tensor."""
    found, at = [], 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : end].decode())
        at = end
    return found


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def eventually(done: Callable[[], bool], timeout_s: float = 5.0) -> None:
    until = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def values(trained: Trained, site: Site) -> dict[str, np.ndarray[Any, Any]]:
    """A site's own columns of the common people, by place."""
    people = trained.people(site)
    names = [column.name for column in site.data.dictionary.columns]
    found, columns = DataSource(NodeSettings.load(site.home.root).dataset).look_up(names, people)
    assert found == people
    return dict(columns)


def asked(trained: Trained, caller: Caller, places: list[int]) -> Any:
    subjects = trained.people(trained.brand)
    columns = {name: column[places] for name, column in values(trained, trained.brand).items()}
    return caller.request([subjects[place] for place in places], columns)


class SilentPort:
    """A port that takes connections and never says anything."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def start_part(processes: Processes, trained: Trained, site: Site, address: str) -> None:
    arguments = ["serve-part", trained.model, "--home", str(site.home.root), "--address", address]
    processes.start(site.data.name, arguments, {})
    processes.wait_until_ready(site.data.name)
    hand_link(trained, site, address)


def mark_of(caller: Caller, request: Any) -> str:
    """On which columns the answer rests, or the code of the error."""
    try:
        return str(caller.ask(request, DEADLINE_S).mark)
    except grpc.RpcError as error:
        told = [str(item.value) for item in error.trailing_metadata() or () if item.key == CODE_TRAILER]
        return told[0] if told else error.code().name
