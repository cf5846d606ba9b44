"""Requesters that are the same, and requesters that are not."""

from waitcall.domain.requester import Requester


def test_without_a_reference_no_requester_is_the_same_as_another() -> None:
    nobody = Requester("web", "login", None)

    assert not nobody.same_as(nobody)
    assert Requester("web", "login", "a").same_as(Requester("web", "login", "a"))
    assert not Requester("web", "login", "a").same_as(Requester("app", "login", "a"))
