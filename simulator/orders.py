"""Readers of the JSON objects that the control API takes."""

from typing import Any

from flask import request


class BadOrder(ValueError):
    """The request to the control API is invalid. The message says why."""


def order_given() -> dict[str, Any]:
    """Return the JSON object of the request.

    Raises:
        BadOrder: if the body is no JSON object.
    """
    order = request.get_json(silent=True)
    if not isinstance(order, dict):
        raise BadOrder("send a JSON object")
    return order


def digits_of(order: dict[str, Any], name: str) -> str:
    """Return a phone number from the order, without ``+``.

    Raises:
        BadOrder: if it is not digits.
    """
    digits = str(order.get(name, "")).lstrip("+")
    if not digits.isascii() or not digits.isdecimal():
        raise BadOrder(f"{name} must be a number in international form")
    return digits
