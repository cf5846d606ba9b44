"""Ports of the stack: moved together, and all looked at before anything starts."""

import socket
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from development.examples import Examples
from development.ports import Ports, check_free
from development.processes import StartFailed
from development.stack import Stack


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("0.0.0.0", 0)) as listening:
        yield listening


def test_a_base_moves_every_port_by_the_same_distance() -> None:
    usual, moved = asdict(Ports()), asdict(Ports.given("18080"))
    assert {moved[name] - usual[name] for name in usual} == {10_000}
    assert Ports.given(None) == Ports.given("") == Ports.given("8080") == Ports()


@pytest.mark.parametrize("base", ["1023", "64525", "many", "-1", "8080.5", "١٨٠٨٠", " 18080"])
def test_a_base_that_is_no_number_or_leaves_the_range_is_refused(base: str) -> None:
    with pytest.raises(StartFailed, match=r"PORT_BASE must be a number from 1024 to 64524\."):
        Ports.given(base)


@pytest.mark.parametrize("base", ["1024", "64524"])
def test_the_bounds_of_a_base_are_possible(base: str) -> None:
    assert all(1024 <= port <= 65535 for port in asdict(Ports.given(base)).values())


def test_every_taken_port_is_named_with_a_base_that_is_free(listener: socket.socket) -> None:
    """The listener on all addresses takes the port of loopback, too."""
    port = listener.getsockname()[1]
    free = asdict(Ports.free())

    with pytest.raises(StartFailed) as refused:
        check_free(free | {"callback": port, "login": port})

    told = str(refused.value)
    assert f"{port} (callback: in use), {port} (login: in use)" in told
    assert str(free["ops"]) not in told
    assert "add PORT_BASE=" in told


def test_a_base_that_would_move_a_port_out_of_the_range_is_not_offered(listener: socket.socket) -> None:
    ports = {"api": 8080, "login": listener.getsockname()[1], "ops": 8080 + 65535 - 28080}
    with pytest.raises(StartFailed, match=r"PORT_BASE=(18080|28080), "):
        check_free(ports)


def test_free_ports_are_accepted_even_if_this_process_keeps_them() -> None:
    check_free(asdict(Ports.free()))


def test_the_examples_look_at_their_own_ports_and_the_stack_does_not(listener: socket.socket) -> None:
    ports = Ports(**asdict(Ports.free()) | {"login": listener.getsockname()[1]})

    with pytest.raises(StartFailed, match=r"login: in use"), Examples(ports) as started:
        pytest.fail(f"{started} was started")
    assert {"login", "reset"} == set(Examples.SERVERS) - set(Stack.SERVERS)
    assert set(Examples.SERVERS) == set(asdict(ports))
