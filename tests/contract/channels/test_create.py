"""Create that sends a code: its text, its limits, its captcha."""

from dataclasses import replace

import pytest

from tests.contract.channels.conftest import POLICY, Stage
from tests.making import NUMBER, together
from waitcall.application.create import Risk
from waitcall.domain.channel import Captcha
from waitcall.domain.errors import CaptchaRequired, ProviderUnavailable, RateLimited
from waitcall.domain.limits import Limit, LimitCheck, Mode, Scope
from waitcall.domain.policy import CaptchaRule
from waitcall.domain.status import Reason, Status


@pytest.mark.parametrize(
    ("locale", "begins"), [(None, "0"), ("ru", "В"), ("ru-KZ", "В"), ("en-GB", "0"), ("de", "0")]
)
def test_a_code_comes_in_the_nearest_language(stage: Stage, locale: str | None, begins: str) -> None:
    stage.start("code", locale=locale)

    text = stage.sender.sent[0][1]
    assert ("В" if text.startswith("В") else "0") == begins


def test_a_code_that_cannot_be_sent_frees_the_number(stage: Stage) -> None:
    stage.sender.failures = [ProviderUnavailable()]

    with pytest.raises(ProviderUnavailable) as failure:
        stage.start("code")
    failed = stage.verifications.get("web", failure.value.verification_id or "")
    assert (failed.status, failed.reason) == (Status.FAILED, Reason.PROVIDER_UNAVAILABLE)
    assert stage.start("code").status is Status.PENDING


def test_every_code_counts_against_the_limits(stage: Stage) -> None:
    policy = replace(POLICY, limits={Scope.NUMBER: (Limit(2, 600),)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    record = limited.start("code")
    limited.clock.advance(30)
    limited.channels.resend("web", record.id)
    limited.clock.advance(60)
    with pytest.raises(RateLimited, match="Too many verifications of this number"):
        limited.channels.resend("web", record.id)
    assert len(limited.sender.sent) == 2
    assert limited.check(record).status is Status.VERIFIED


def test_a_request_that_loses_a_race_counts_for_no_limit(stage: Stage) -> None:
    limit = Limit(50, 600)
    policy = replace(POLICY, limits={Scope.NUMBER: (limit,)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    record = limited.start("every")

    together(20, lambda _: limited.channels.fall_back("web", record.id))

    # Requests that ran one after the other may each have moved one channel further.
    limit_check = LimitCheck(Scope.NUMBER, f"{NUMBER.value} client web", limit)
    (state,) = stage.world.limits.look([limit_check], stage.clock())
    assert state.used == 1 + stage.audited()["fallback"]


def test_beyond_a_rate_codes_cost_a_captcha(stage: Stage) -> None:
    rule = CaptchaRule((Limit(1, 600, Mode.RECORD_ONLY),), "https://smsc.ru/sys/imgcode.php")
    number = (Limit(3, 600),)
    policy = replace(POLICY, captcha=rule, limits={Scope.NUMBER: number})
    busy = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    first = busy.start("code")
    busy.verifications.cancel("web", first.id)

    for _ in range(5):
        # A refused create counts for no limit and does not take the number.
        with pytest.raises(CaptchaRequired) as refused:
            busy.start("code")
    assert refused.value.image_url == rule.image_url
    solved = Captcha("ab12", "203.0.113.7")
    second = busy.start("code", captcha=solved)
    assert busy.sender.sent[-1][3] == solved
    busy.verifications.cancel("web", second.id)
    # The client's own risk score decides: low skips the captcha, high demands it. Other channels need no captcha.
    busy.verifications.cancel("web", busy.start("code", risk=Risk.LOW).id)
    busy.clock.advance(600)
    with pytest.raises(CaptchaRequired):
        busy.start("code", risk=Risk.HIGH)
    assert busy.start("every", risk=Risk.HIGH).status is Status.PENDING
    assert len(busy.sender.sent) == 3
