"""Redemption of a verified result: once, for its own purpose, reference and result, and not if the number is blocked."""

from dataclasses import dataclass, field

from waitcall.application.admission import AdmissionControl
from waitcall.application.ports import Clock
from waitcall.application.records import Records
from waitcall.domain.errors import ResultMismatch
from waitcall.domain.hosted_page import PageSeals
from waitcall.domain.limits import Scope
from waitcall.domain.lists import Directory
from waitcall.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class Proof:
    """Values with which a client redeems a verified result.

    Attributes:
        purpose: the purpose that create named.
        reference: the reference that create named; None without one.
        redeemer: token of this redemption. A repeated request with the same one gets the same answer.
        result: the result that the hosted page returned; None without a hosted page.
    """

    purpose: str = field(repr=False)
    reference: str | None = field(repr=False)
    redeemer: str | None = field(default=None, repr=False)
    result: str | None = field(default=None, repr=False)


class ConsumeVerification:
    """The use case behind consume."""

    def __init__(
        self,
        records: Records,
        admission: AdmissionControl,
        pages: PageSeals,
        clock: Clock,
    ) -> None:
        self._records = records
        self._admission = admission
        self._pages = pages
        self._clock = clock

    def consume(self, client: str, verification_id: str, proof: Proof) -> Verification:
        """Redeem a verified result, exactly once. A repeated request with the same ``redeemer`` gets the same answer.

        Raises:
            NotFound, PurposeMismatch, ReferenceMismatch, ResultMismatch, NotVerified, Contested, AlreadyConsumed, Expired
            Blocked: an operator has blocked the number since it was verified.
            RateLimited
            StoreUnavailable
        """
        now = self._clock()
        self._admission.count(self._admission.applicable.of_client(client, Scope.CONSUME), None, now)
        looked, read = self._records.store.get_with_lists(verification_id)
        stored = self._records.owned(client, looked, now)
        # The lists count only if they were read after the record; one that was just settled is newer than them.
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
                # A further attempt means that the record has changed, perhaps because of a block: read the lists again.
                directory = None
            return consumed

        return self._records.changed(stored, consume, now, anew=True)

    def _check_result(self, record: Verification, result: str | None) -> None:
        # The result comes from the browser that saw the page, so a proof cannot be redeemed in another user's session.
        hosted = record.return_url is not None
        if hosted is (result is None) or (result is not None and not self._pages.proves(result, record.id)):
            raise ResultMismatch
