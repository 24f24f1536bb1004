"""The feature holders that a scorer is connected to, whichever of its versions needs them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

from hanse.audit import Event
from hanse.learning.vertical.serving.link import PartLink
from hanse.policies import ConsentLedger
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.vertical.changes import watch_consents
from hanse.server.scoring.vertical.partner import Partner, PartnerModel

WATCH_S: Final = 0.05
"""How often the own consent ledger is looked at for withdrawals, seconds."""


class PartnerHub:
    """Keeps one connection for each part that is asked, and forgets who changes their mind here."""

    def __init__(self) -> None:
        self._partners: dict[str, Partner] = {}
        self._log: GroupCommit | None = None

    def partner(self, link: PartLink, asked: PartnerModel, key_pem: bytes, certificate_pem: bytes) -> Partner:
        """The connection to a feature holder; it is made when it is first used.

        Args:
            link: Where it answers, and by which certificate it is known.
            asked: What is asked for.
            key_pem: Key of the certificate by which this site is known to it.
            certificate_pem: That certificate.
        """
        if asked.part not in self._partners:
            self._partners[asked.part] = Partner(link, asked, key_pem, certificate_pem, self._note)
        return self._partners[asked.part]

    @asynccontextmanager
    async def running(self, ledger: ConsentLedger, log: GroupCommit) -> AsyncIterator[None]:
        """Connects; closes everything in the end.

        Args:
            ledger: The member's consent ledger.
            log: The member's audit log.
        """
        self._log = log
        for partner in self._partners.values():
            partner.start()
        watching = asyncio.create_task(self._watch(ledger))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            for partner in self._partners.values():
                await partner.close()

    async def _watch(self, ledger: ConsentLedger) -> None:
        """Drops what is kept of whoever changes their mind here, at once and whether anybody asks or not."""

        def changed(refs: Collection[str] | None) -> None:
            for partner in self._partners.values():
                if refs is None:
                    partner.cache.clear()
                else:
                    partner.cache.purge(refs)

        # Nothing is kept of anybody before there is a partner.
        await watch_consents(ledger, changed, WATCH_S, lambda: bool(self._partners))

    def _note(self, event: Event) -> None:
        if self._log is not None:
            self._log.note(event)
