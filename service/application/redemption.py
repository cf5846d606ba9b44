"""Redeeming a proof: bound to purpose, reference and result, once, and never for a number that is blocked."""

from dataclasses import dataclass, field
from datetime import datetime

from service.application.admission import Admission
from service.application.ports import VerificationStore
from service.application.records import Records
from service.domain.errors import ResultMismatch
from service.domain.hosted import PageSeals
from service.domain.lists import Directory
from service.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class Proof:
    """A client's claim to a verified result.

    Attributes:
        redeemer: who asks again under the same gets the same answer again.
        result: what the hosted page gave; None without such a page.
    """

    purpose: str = field(repr=False)
    reference: str | None = field(repr=False)
    redeemer: str | None = field(repr=False)
    result: str | None = field(repr=False)


class Redemption:
    """The use case behind consume. StoreUnavailable."""

    def __init__(
        self, store: VerificationStore, records: Records, admission: Admission, pages: PageSeals
    ) -> None:
        self._store = store
        self._records = records
        self._admission = admission
        self._pages = pages

    def redeem(self, client: str, verification_id: str, proof: Proof, now: datetime) -> Verification:
        """Turn verified into consumed.

        Raises:
            NotFound, PurposeMismatch, ReferenceMismatch, ResultMismatch, NotVerified, Contested, AlreadyConsumed, Expired
            Blocked
        """
        looked, read = self._store.get_with_lists(verification_id)
        stored = self._records.owned(client, looked, now)
        # The lists must have been read after the record.
        directory: Directory | None = read if stored is looked else None

        def consume(record: Verification) -> Verification:
            nonlocal directory
            record.requester.check(proof.purpose, proof.reference)
            self._check_result(record, proof.result)
            consumed = record.consume(proof.purpose, proof.reference, now, proof.redeemer)
            if consumed is not record:
                blocked = self._admission.blocking(record.phone_number, now, directory)
                if blocked is not None:
                    raise blocked
                # A further attempt means that the record has changed, perhaps because of a block.
                directory = None
            return consumed

        return self._records.changed(stored, consume, now, anew=True)

    def _check_result(self, record: Verification, result: str | None) -> None:
        # The browser that saw the page brings it: a proof is not redeemed for anybody else's session.
        hosted = record.return_url is not None
        if hosted is (result is None) or (result is not None and not self._pages.proves(result, record.id)):
            raise ResultMismatch
