"""A vertical model at two members, trained by their processes: a label holder, and who answers it."""

import shutil
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.cli.serve_part import write_link
from hanse.client.data import DataSource
from hanse.client.home import MemberHome
from hanse.client.progress import RUN_FAILED, failure
from hanse.client.remote import CoordinatorClient, RunEvent
from hanse.client.settings import NodeSettings
from hanse.client.vertical.fetching import fetch_vertical
from hanse.crypto import read_secret
from hanse.demo.federation import CALLER, Federation
from hanse.demo.processes import Processes
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import Story, car_story
from hanse.learning.vertical.recipe import VerticalModel
from hanse.policies import Answers, Pseudonymiser, open_agreement
from hanse.policies.agreement.vertical import ANSWER_FORMS

LABEL_HOLDER: Final = "brand"
PARTNER: Final = "insurer"
MODEL_PURPOSE: Final = "joint_modelling.propensity"
PURPOSE: Final = "scoring.marketing"
PEOPLE: Final = 3000
NUMBER_OF_TREES: Final = 20
DAILY_PEOPLE: Final = 1_000_000
KEEP_S: Final = 3600
TREES: Final = "trees"
OTHERS: Final[tuple[VerticalModel, ...]] = ("late_fusion", "scorecard", "split_network")
_LEAKAGE: Final = 0.95
"""Largest area of an attack on labels: of few people, flipped labels may by chance tell more than they do."""
_SEED: Final = 5


@dataclass(frozen=True, slots=True)
class Members:
    """Both members, each in its folder below one.

    Attributes:
        folder: The folder.
        model: ``name@version``.
        caller: Folder with key and certificate of the calling system.
    """

    folder: Path
    model: str
    caller: Path

    @property
    def label_holder(self) -> MemberHome:
        """Who is called."""
        return MemberHome(self.folder / LABEL_HOLDER)

    @property
    def partner(self) -> MemberHome:
        """Who is asked."""
        return MemberHome(self.folder / PARTNER)

    def copied(self, folder: Path) -> "Members":
        """The same members in another folder."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def tls(self) -> ssl.SSLContext:
        """For connections of the calling system."""
        context = ssl.create_default_context(cafile=self.label_holder.serving_authority)
        context.load_cert_chain(self.caller / "tls.crt", self.caller / "tls.key")
        context.set_alpn_protocols(["h2"])
        return context

    def link(self, address: str) -> None:
        """Tells the label holder where its partner is reached."""
        link = write_link(self.partner.root, address)
        shutil.copy(link, self.label_holder.root / f"{PARTNER}.link")

    def requests(self) -> list[bytes]:
        """A call about each of the people in common, with the label holder's own columns."""
        home = self.label_holder
        source = DataSource(NodeSettings.load(home.root).dataset)
        ref = Pseudonymiser(read_secret(home.pseudonym_key)).ref
        common = frozenset((home.parts / self.model / "people.txt").read_text().split())
        people = [subject for subject in source.subject_ids() if ref(subject) in common]
        names = [column.name for column in source.manifest.columns]
        people, columns = source.look_up(names, people)
        return [_request(self.model, person, at, columns) for at, person in enumerate(people)]


def train(folder: Path, kind: VerticalModel) -> Members:
    """``hanse server``, ``hanse client`` at both members, ``hanse run``; all of them have ended then.

    Args:
        folder: Existing folder.
        kind: Kind of the model.
    """
    rng = np.random.default_rng(_SEED)
    story = car_story(PEOPLE, 2, rng)
    members = [site_of(story, holder) for holder in story.holders]
    federation = Federation(folder, members, datetime.now(UTC))
    federation.make_keys()
    federation.write_data(MODEL_PURPOSE, PURPOSE, rng)
    note = _agree(federation, story, kind)
    with Processes(folder / "output") as processes:
        federation.start(processes)
        model = _run(federation, note)
    made = Members(folder, model, federation.make_callers([CALLER])[CALLER])
    settings = made.label_holder.settings
    settings.write_text(f'{settings.read_text()}\n[serve.partners]\n{PARTNER} = "{PARTNER}.link"\n')
    return made


def _agree(federation: Federation, story: Story, kind: VerticalModel) -> bytes:
    draft = vertical_draft(story, NUMBER_OF_TREES if kind == TREES else None, CALLER, kind)
    assert draft.vertical is not None  # noqa: S101 - it is one
    answers = Answers(
        form=ANSWER_FORMS[kind], daily_people=DAILY_PEOPLE, keep_s=KEEP_S, fallback="own_columns"
    )
    vertical = draft.vertical.model_copy(update={"answers": answers, "maximum_leakage": _LEAKAGE})
    # Of columns that the caller brings; scores as they are, where they may leave so.
    form = {"output": "band" if answers.form in {"log_odds", "points"} else "score"}
    return federation.agree(replace(draft, vertical=vertical, form=form))[1]


def _run(federation: Federation, note: bytes) -> str:
    home = federation.sites[0].home
    events: list[RunEvent] = []
    with CoordinatorClient(home, f"127.0.0.1:{federation.ports.people}") as client:
        for event in client.start(client.submit(note)):
            events.append(event)
            if event.type == RUN_FAILED:
                raise failure(events)
        model = str(events[-1].facts["model"])
        fetch_vertical(client, home, model, open_agreement(note))
    return model


def _request(model: str, person: str, at: int, columns: Mapping[str, npt.NDArray[Any]]) -> bytes:
    name, _, version = model.partition("@")
    request = oip.ModelInferRequest(model_name=name, model_version=version)
    request.parameters["purpose"].string_param = PURPOSE
    for output in ("score", "decision", "basis"):
        request.outputs.add(name=output)
    request.inputs.add(name="subject_id", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(_text(person))
    for column, values in columns.items():
        numeric = values.dtype.kind == "f"
        request.inputs.add(name=column, datatype="FP64" if numeric else "BYTES", shape=[1])
        value = values[at]
        request.raw_input_contents.append(struct.pack("<d", value) if numeric else _text(str(value)))
    return request.SerializeToString()


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()
