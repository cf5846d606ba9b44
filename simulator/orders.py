"""What our door is told: JSON objects, read strictly."""

from typing import Any

from flask import request


class BadOrder(ValueError):
    """The control request makes no sense; says why."""


def order_given() -> dict[str, Any]:
    """The request's object."""
    order = request.get_json(silent=True)
    if not isinstance(order, dict):
        raise BadOrder("send a JSON object")
    return order


def digits_of(order: dict[str, Any], name: str) -> str:
    """A number of the order, without ``+``."""
    digits = str(order.get(name, "")).lstrip("+")
    if not digits.isascii() or not digits.isdecimal():
        raise BadOrder(f"{name} must be a number in international form")
    return digits
