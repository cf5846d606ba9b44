"""Properties of a policy as a whole."""

from dataclasses import replace

import pytest

from tests.making import LOGIN, NUMBER, POLICY, with_limits
from waitcall.domain.channel import Channel
from waitcall.domain.errors import PhoneNumberNotAllowed
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.policy import CaptchaRule, Policy, Provider, Purpose, Routes

BY_SMSRU = replace(POLICY, routing=Routes(default=(Provider.SMSRU,)))


@pytest.mark.parametrize(
    "beside_calls",
    [
        {"purposes": {"login": Purpose("login", channels=(Channel.TEXT_IN,))}},
        {"purposes": {"login": Purpose("login", second_step=Channel.CODE)}},
        {"text_in_numbers": (NUMBER,)},
        {"captcha": CaptchaRule((), "https://captcha.example.org/")},
    ],
)
def test_texts_codes_and_captchas_need_smsc_even_if_it_takes_no_calls(beside_calls: dict) -> None:
    assert BY_SMSRU.providers == {Provider.SMSRU}
    assert replace(BY_SMSRU, **beside_calls).providers == {Provider.SMSRU, Provider.SMSC}


@pytest.mark.parametrize(
    ("purpose", "sends"),
    [
        (Purpose("x"), False),
        (Purpose("x", channels=(Channel.CALL, Channel.CODE)), True),
        (Purpose("x", second_step=Channel.CODE), True),
    ],
)
def test_a_purpose_sends_codes_over_its_channels_or_as_its_second_step(purpose: Purpose, sends: bool) -> None:
    assert purpose.sends_codes is sends


def test_a_fallback_leads_to_later_channels_alone() -> None:
    every = Purpose("x", channels=(Channel.CALL, Channel.TEXT_IN, Channel.CODE))
    assert every.channels_after(Channel.CALL) == (Channel.TEXT_IN, Channel.CODE)
    assert every.channels_after(Channel.CODE) == ()
    assert Purpose("x").channels_after(Channel.CODE) == ()


def test_a_clients_own_limits_replace_the_policys_and_number_total_follows_from_number() -> None:
    policy: Policy = with_limits(number=["2/10m"], ip=["5/h"])
    own = replace(policy.clients["web"], limits={Scope.IP: (Limit(9, 60),)})
    policy = replace(policy, clients={**policy.clients, "web": own})
    assert policy.limits_of(Scope.IP, "web") == (Limit(9, 60),)
    assert policy.limits_of(Scope.IP, "app") == policy.limits_of(Scope.IP, "unknown") == (Limit(5, 3600),)
    assert policy.limits_of(Scope.NUMBER_TOTAL, "web") == (Limit(20, 600),)
    assert with_limits(number_total=["7/d"]).limits_of(Scope.NUMBER_TOTAL, "web") == (Limit(7, 86400),)
    assert policy.limits_of(Scope.GLOBAL, "web") == ()


def test_a_policy_has_pages_if_any_client_has_return_origins() -> None:
    assert not POLICY.has_pages
    leading = replace(POLICY.clients["web"], return_origins=frozenset({"https://login.example.org"}))
    assert replace(POLICY, clients={**POLICY.clients, "web": leading}).has_pages


def test_a_purpose_names_regions_and_types_of_numbers_or_takes_any() -> None:
    assert Purpose("login").check(NUMBER, LOGIN.min_assurance, Channel.CALL) is None
    only = Purpose("login", regions=frozenset({"KZ"}))
    with pytest.raises(PhoneNumberNotAllowed):
        only.check(NUMBER, LOGIN.min_assurance, Channel.CALL)
