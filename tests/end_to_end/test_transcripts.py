"""Run the console transcripts of the documentation against gunicorn, Valkey and the provider simulator."""

import sys
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import KEY, ROOT, Starting
from tests.end_to_end.test_channels import POLICY
from tests.end_to_end.transcripts import check, lines_of, run
from tests.redis_servers import Server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("page", "more"),
    [
        ("channels.md", ""),
        ("captcha.md", '[captcha]\nabove = ["1/h"]\n'),
        ("account.md", ""),
    ],
)
def test_the_commands_of_the_documentation_answer_as_it_shows(
    starting: Starting, simulator: Simulator, redis_server: Server, tmp_path: Path, page: str, more: str
) -> None:
    with redis_server.client() as client:
        client.flushall()
    simulator.exchange.reset()
    simulator.exchange.balance = "1000.00"
    simulator.office.reset()
    simulator.cabinet.reset()
    simulator.cabinet.rent("79585550000", "0")
    service = starting(policy=POLICY + more)
    if page == "channels.md":
        assert POLICY.strip() in (ROOT / "docs" / page).read_text()
    lines = lines_of(ROOT / "docs" / page)
    assert len(lines) > 6
    environ = service.environ | {"API": service.api, "KEY": KEY, "SIMULATOR": simulator.control_url}
    environ["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"

    run(lines, environ, tmp_path)

    for line in lines:
        check(line)
