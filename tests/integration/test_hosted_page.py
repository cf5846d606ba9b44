"""Test the hosted page over HTTP: what each state shows, what no page may do, and its size."""

import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import OTHER_KEY, POLICY, Running
from tests.redis_servers import Server
from waitcall.adapters.http.languages import CatalogueMistake, Catalogues
from waitcall.domain.status import REASONS, Status

ORIGIN = "https://login.example.org"
BACK = f"{ORIGIN}/done?state=a&b=c"
HOSTED = (
    POLICY.replace(
        'default_region = "RU"\n', f'default_region = "RU"\nhosted = {{return_origins = ["{ORIGIN}"]}}\n'
    )
    + """
[hosted]
name = "Example & <Sons>"
color = "#ffcc00"
support_url = "https://help.example.org/"
"""
)
LOCALES = Path("service/waitcall/adapters/http/hosted_page/locales")
MOST_BYTES = 30_000
ENDS = (Status.EXPIRED, Status.LAPSED, Status.CANCELED, Status.FAILED, Status.CONTESTED)


class Tree(HTMLParser):
    """Tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [str(attrs["href"]) for tag, attrs in self.tags if tag == "a"]


@pytest.fixture
def hosted(starting: Callable[..., Running]) -> Running:
    return starting(HOSTED, WAITCALL_PUBLIC_URL="https://verify.example.org/phone")


def begin(running: Running, **fields: Any) -> tuple[dict[str, Any], str]:
    """Create a verification, and return it with the path of its page at the service."""
    made = running.create(hosted={"return_url": BACK}, **fields)
    assert made.status_code == 201, made.text
    body = made.get_json()
    url = body["hosted_url"]
    assert url.startswith("https://verify.example.org/phone/p/")
    return body, url.removeprefix("https://verify.example.org/phone")


def look(running: Running, path: str, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return running.callback.test_client().get(path, headers=sent)


def test_the_page_shows_the_number_and_leads_back_with_a_result(hosted: Running) -> None:
    made, path = begin(hosted)

    page = look(hosted, path)

    tree = Tree(page.text)
    assert page.status_code == 200
    assert made["call"]["display"] in tree.text
    assert tree.links().count(made["call"]["uri"]) == 2
    assert "+79*******67" in tree.text
    assert "79991234567" not in page.text
    assert made["id"] not in page.text
    assert "<svg" in page.text
    hosted.call()
    back = look(hosted, path)
    assert back.status_code == 303
    assert re.fullmatch(re.escape(BACK) + "&result=[0-9a-f]{32}", back.headers["Location"])
    result = back.headers["Location"].rpartition("=")[2]
    proof = {"purpose": "login", "reference": "flow"}
    url = f"/v1/verifications/{made['id']}/consume"
    refused = hosted.post(url, proof)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "result_mismatch")
    assert hosted.post(url, proof | {"result": result}, key=OTHER_KEY).status_code == 404
    assert hosted.post(url, proof | {"result": result}).status_code == 200
    done = look(hosted, path)
    assert done.status_code == 200
    assert f"{BACK}&outcome=done" in Tree(done.text).links()
    assert "confirmed" in done.text


def test_reads_repeat_the_address_and_other_verifications_have_none(hosted: Running) -> None:
    made, _ = begin(hosted)
    assert hosted.get(f"/v1/verifications/{made['id']}").get_json()["hosted_url"] == made["hosted_url"]
    again = hosted.create(hosted={"return_url": f"{ORIGIN}/elsewhere"})
    assert (again.status_code, again.get_json()["hosted_url"]) == (200, made["hosted_url"])
    plain = hosted.create(phone_number="+79991234568").get_json()
    assert plain["hosted_url"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"return_url": "https://evil.example.org/"},
        {"return_url": f"{ORIGIN}.evil.example/"},
        {"return_url": "javascript:alert(1)"},
        {"return_url": 1},
        {},
        {"return_url": BACK, "more": 1},
        "yes",
    ],
)
def test_no_other_return_url_is_accepted(hosted: Running, wrong: object) -> None:
    answer = hosted.create(hosted=wrong)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "validation_failed")


def test_a_client_without_pages_gets_none(hosted: Running) -> None:
    ask = {"phone_number": "+79991234567", "purpose": "login", "hosted": {"return_url": BACK}}
    assert hosted.post("/v1/verifications", ask, key=OTHER_KEY).status_code == 422


def test_without_pages_in_the_policy_there_are_none(running: Running) -> None:
    assert look(running, f"/p/{'0' * 56}").status_code == 404
    assert look(running, f"/p/{'0' * 56}").headers["Content-Type"] == "application/problem+json"
    assert running.create().get_json()["hosted_url"] is None


def test_the_status_has_what_the_page_needs_and_no_more(hosted: Running) -> None:
    _, path = begin(hosted)
    answer = look(hosted, f"{path}/status")
    assert answer.get_json() == {
        "status": "pending",
        "channel": "call",
        "weak_call": False,
        "expires_in": 900,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    hosted.call()
    assert look(hosted, f"{path}/status?wait=25").get_json()["status"] == "verified"
    for wrong in (
        "wait=31",
        "wait=x",
        "wait=1&wait=2",
        "channel=pigeon",
        "channel=call&channel=code",
        "weak_call=x",
    ):
        assert look(hosted, f"{path}/status?{wrong}").status_code == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_done_with_the_token(hosted: Running, method: str) -> None:
    made, path = begin(hosted)
    token = path.removeprefix("/p/")
    client = hosted.callback.test_client()
    for where in (path, f"{path}/status", f"{path}/consume", f"{path}/check"):
        assert client.open(where, method=method, json={}).status_code in (404, 405)
    for where in ("", "/consume", "/check", "/fallback"):
        url = f"/v1/verifications/{made['id']}{where}"
        answer = hosted.api.test_client().open(
            url, method=method, json={}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code in (401, 405)
    assert hosted.get(f"/v1/verifications/{made['id']}").get_json()["status"] == "pending"


def test_each_state_has_its_text_and_a_link_onwards(hosted: Running) -> None:
    _, path = begin(hosted, purpose="any_channel")
    links = Tree(look(hosted, path).text).links()
    for outcome in ("fallback", "start_again", "canceled"):
        assert f"{BACK}&outcome={outcome}" in links
    hosted.clock.advance(901)
    over = Tree(look(hosted, path).text)
    assert "no call came" in over.text
    assert {f"{BACK}&outcome=start_again", f"{BACK}&outcome=fallback"} <= set(over.links())

    made, path = begin(hosted, purpose="login", phone_number="+79991234568")
    assert f"{BACK}&outcome=fallback" not in Tree(look(hosted, path).text).links()
    hosted.delete(f"/v1/verifications/{made['id']}")
    assert "canceled" in look(hosted, path).text

    made, path = begin(hosted, purpose="contested", phone_number="+79991234569")
    hosted.create(purpose="contested", phone_number="+79991234569", reference="other")
    over = Tree(look(hosted, path).text)
    assert "Somebody else asked" in over.text
    assert f"{BACK}&outcome=start_again" in over.links()


def test_an_end_after_a_call_does_not_say_that_no_call_came(hosted: Running) -> None:
    made, path = begin(hosted)
    hosted.call()
    hosted.clock.advance(301)
    assert hosted.get(f"/v1/verifications/{made['id']}").get_json()["status"] == "lapsed"
    over = Tree(look(hosted, path).text)
    assert "Your number was confirmed, but the confirmation was not used in time." in over.text
    assert "no call came" not in over.text
    assert f"{BACK}&outcome=start_again" in over.links()


def test_the_end_of_a_code_tells_of_the_code(hosted: Running) -> None:
    made, path = begin(hosted, purpose="any_channel", channel="code")
    hosted.clock.advance(901)
    assert "The time to enter the code is over." in look(hosted, path).text

    made, path = begin(hosted, purpose="any_channel", channel="code", phone_number="+79991234568")
    code = hosted.code()
    for _ in range(5):
        wrong = f"{(int(code) + 1) % 10**6:06}"
        hosted.post(f"/v1/verifications/{made['id']}/check", {"code": wrong})
    assert hosted.get(f"/v1/verifications/{made['id']}").get_json()["reason"] == "attempts_spent"
    assert "A wrong code was entered too many times." in look(hosted, path).text


def test_every_reason_of_an_end_has_a_text_of_its_own_in_every_language() -> None:
    reasons = {reason.value for status in ENDS for reason in REASONS[status]}
    catalogues = Catalogues([LOCALES])
    for tag, _ in catalogues.languages:
        _, texts = catalogues.choose([tag])
        told = {texts[reason] for reason in reasons}
        assert len(told) == len(reasons), tag


def test_a_caller_in_another_country_is_told_so(hosted: Running) -> None:
    _, path = begin(hosted, phone_number="+12015550123")
    text = Tree(look(hosted, path).text).text
    assert "This number is in another country (Russia, +7)." in text
    assert "dial *82 before the number" in text
    _, path = begin(hosted)
    text = Tree(look(hosted, path).text).text
    assert "another country" not in text
    assert "dial *31# before the number" in text


def test_the_page_says_what_the_caller_hears_and_pays(hosted: Running) -> None:
    _, path = begin(hosted)
    text = Tree(look(hosted, path).text).text
    for told in (
        "The call ends by itself.",
        "busy tone",
        "number is blocked",
        "do not charge",
        "Wrong number?",
    ):
        assert told in text


def test_the_channels_of_text_and_code_have_pages_of_their_own(hosted: Running) -> None:
    made, path = begin(hosted, purpose="any_channel", channel="text_in")
    tree = Tree(look(hosted, path).text)
    assert made["text_in"]["text"] in tree.text
    assert made["text_in"]["uri"] in tree.links()
    hosted.post(f"/v1/verifications/{made['id']}/fallback", {})
    tree = Tree(look(hosted, path).text)
    assert f"{BACK}&outcome=code" in tree.links()
    assert hosted.code() not in tree.text


def test_a_captcha_is_solved_before_there_is_a_page_and_the_page_has_none(
    starting: Callable[..., Running],
) -> None:
    """The page has no captcha: it sends nothing, and it shows its visitor's address to no other host."""
    url = "https://verify.example.org/phone"
    running = starting(HOSTED + '[captcha]\nabove = ["1/h"]\n', WAITCALL_PUBLIC_URL=url)
    asked = {"purpose": "any_channel", "channel": "code", "hosted": {"return_url": BACK}}
    assert running.create(phone_number="+79991234568", **asked).status_code == 201
    refused = running.create(**asked)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "captcha_required")
    assert refused.get_json()["image_url"] == f"{running.simulator.base_url}/imgcode.php"

    solved = {"code": running.simulator.office.picture("127.0.0.1"), "user_ip": "127.0.0.1"}
    _, path = begin(running, purpose="any_channel", channel="code", captcha=solved)
    page = look(running, path)
    assert f"{BACK}&outcome=code" in Tree(page.text).links()
    assert "imgcode" not in page.text

    # A fallback from a page to a code asks for none either: its delays and limits stand for it.
    made, path = begin(running, purpose="any_channel", phone_number="+79991234569")
    assert f"{BACK}&outcome=fallback" in Tree(look(running, path).text).links()
    fallen = running.post(f"/v1/verifications/{made['id']}/fallback", {"channel": "code"})
    assert (fallen.status_code, fallen.get_json()["channel"]) == (200, "code")


def test_a_second_step_leads_back_to_where_its_code_is_typed(hosted: Running) -> None:
    _, path = begin(hosted, purpose="two_steps")
    hosted.call()
    page = look(hosted, path)
    assert page.status_code == 200
    assert f"{BACK}&outcome=code" in Tree(page.text).links()


def test_markup_from_a_client_or_visitor_stays_inert(hosted: Running) -> None:
    evil = '"><script>alert(1)</script>'
    made = hosted.create(
        hosted={"return_url": f"{ORIGIN}/?a='&b=(1)"}, metadata={evil: evil}, reference=evil, locale="en"
    ).get_json()
    path = made["hosted_url"].removeprefix("https://verify.example.org/phone")
    page = look(hosted, f"{path}?lang={evil}", Accept_Language=evil, User_Agent=evil, Referer=evil)
    assert page.status_code == 200
    assert "alert(1)" not in page.text
    tree = Tree(page.text)
    assert [attrs for tag, attrs in tree.tags if tag == "script"] == [
        {"src": next(str(attrs["src"]) for tag, attrs in tree.tags if tag == "script"), "defer": None}
    ]
    assert "Example & <Sons>" in tree.text
    for _, attrs in tree.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        for name in ("src", "href"):
            assert not str(attrs.get(name, "")).startswith(("javascript:", "data:", "//"))


def test_every_answer_has_strict_headers(hosted: Running) -> None:
    _, path = begin(hosted)
    page = look(hosted, path)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert not any("unsafe" in each or "data:" in each for each in policy.values())
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in page.headers
    # A browser applies every policy that it gets, so a second one would block the whole page.
    assert all(len(page.headers.getlist(name)) == 1 for name, _ in page.headers)
    hosted.call()
    for each in (look(hosted, path), look(hosted, f"/p/{'0' * 56}")):
        assert each.headers["Referrer-Policy"] == "no-referrer"
        assert each.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in each.headers["Content-Security-Policy"]


def test_an_unknown_page_is_an_html_page_that_says_so(hosted: Running) -> None:
    page = look(hosted, f"/p/{'0' * 56}", Accept_Language="ru")
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "Этой страницы больше нет" in page.text
    assert look(hosted, f"/p/{'0' * 56}/status").get_json()["code"] == "not_found"
    # Misses count against no limit, because people who share the address must not be locked out.
    assert {look(hosted, f"/p/{index:056x}").status_code for index in range(40)} == {404}
    _, path = begin(hosted)
    assert look(hosted, path).status_code == 200


def test_a_page_without_redis_tries_again_by_itself(hosted: Running, valkey: Server) -> None:
    _, path = begin(hosted)
    with valkey.client() as client:
        client.execute_command("CLIENT", "PAUSE", "4000", "ALL")
        page = look(hosted, path)
        client.execute_command("CLIENT", "UNPAUSE")
    assert page.status_code == 503
    assert hosted.metrics()['waitcall_failures_total{code="store_unavailable"}'] == 1
    assert "tries again" in page.text
    assert 'http-equiv="refresh"' in page.text


@pytest.mark.parametrize(
    ("locale", "query", "header", "lang"),
    [
        (None, "", "", "en"),
        (None, "", "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        (None, "", "fr,ru;q=0.5", "ru"),
        (None, "", "fr", "en"),
        (None, "", "uz-Latn-UZ", "uz"),
        ("ar-EG", "", "", "ar"),
        ("ru-KZ", "", "en", "ru"),
        ("ru", "?lang=en", "ru", "en"),
        ("sr", "", "", "en"),
        (None, "?lang=../../etc", "*", "en"),
    ],
)
def test_the_nearest_language_is_chosen(
    hosted: Running, locale: str | None, query: str, header: str, lang: str
) -> None:
    _, path = begin(hosted, locale=locale)
    page = look(hosted, path + query, Accept_Language=header)
    assert page.headers["Content-Language"] == lang
    assert f'<html lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}">' in page.text


def test_the_page_works_without_its_script(hosted: Running) -> None:
    _, path = begin(hosted)
    page = look(hosted, path)
    assert re.search(r'<noscript><meta http-equiv="refresh" content="5"></noscript>', page.text)
    assert "about 15 min" in page.text


def test_the_page_and_its_assets_are_small_and_come_from_one_host(hosted: Running) -> None:
    _, path = begin(hosted)
    page = look(hosted, path)
    total, count = len(page.data), 1
    for _, attrs in Tree(page.text).tags:
        for name in ("src", "href"):
            url = str(attrs.get(name) or "")
            if url.startswith("assets/"):
                asset = look(hosted, f"/p/{url}")
                assert asset.status_code == 200
                assert "immutable" in asset.headers["Cache-Control"]
                total, count = total + len(asset.data), count + 1
    print(f"hosted page: {total} bytes, {count} requests")  # noqa: T201  a figure
    assert count == 4
    assert total < MOST_BYTES
    assert look(hosted, "/p/assets/page.js").status_code == 404


def test_the_token_stands_in_no_log_line(hosted: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    _, path = begin(hosted)
    look(hosted, path)
    look(hosted, f"{path}/status")
    token = path.removeprefix("/p/")
    assert not any(token[24:] in str(vars(record)) for record in caplog.records)
    # The page was logged at all.
    assert any(vars(record).get("route") == "/p/<token>" for record in caplog.records)
    pages = [vars(record) for record in caplog.records if str(vars(record).get("route")).startswith("/p/")]
    assert {each["remote"] for each in pages} == {None}


# Catalogues


def test_every_catalogue_has_every_text() -> None:
    found = Catalogues([LOCALES])
    assert [tag for tag, _ in found.languages] == ["en", "ar", "de", "es", "kk", "ru", "uk", "uz"]
    english = tomllib.loads((LOCALES / "en.toml").read_text())
    # A template asks for `t.NAME`, which is the dictionary's method if it has one of this name.
    assert [name for name in english if hasattr(dict, name)] == []
    for path in set(LOCALES.iterdir()) - {LOCALES / "en.toml"}:
        texts = tomllib.loads(path.read_text())
        assert list(texts) == list(english), path.name
        for name in english.keys() - {"direction"}:
            assert texts[name] != english[name], (path.name, name)
            braces = [set(re.findall(r"{(.*?)}", each)) for each in (texts[name], english[name])]
            assert braces[0] == braces[1], (path.name, name)


def test_a_language_is_added_by_a_file(starting: Callable[..., Running], tmp_path: Path) -> None:
    locales = tmp_path / "locales"
    locales.mkdir()
    (locales / "fr.toml").write_text('language = "Français"\ncall_heading = "Appelez ce numéro"\n')
    running = starting(
        HOSTED,
        WAITCALL_PUBLIC_URL="https://verify.example.org/phone",
        WAITCALL_PAGE_LOCALES=str(locales),
    )
    _, path = begin(running, locale="fr")
    page = look(running, path)
    assert "Appelez ce numéro" in page.text
    # Texts that the file leaves out are English, and the other languages are still offered.
    assert "Continue only if you started this yourself" in page.text
    assert {"?lang=en", "?lang=ru"} <= set(Tree(page.text).links())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("fr.toml", "language = ", "cannot be read"),
        ("fr.toml", "language = 1", "is not a text"),
        ("fr.toml", 'nothing = "x"', "is not a text of the page"),
        ("fr.toml", 'call_from = "{password}"', "braces with an unknown name"),
        ("fr.toml", 'call_from = "{number.digits}"', "braces with an unknown name"),
        ("fr.toml", 'call_from = "{number!r}"', "braces may hold only a name"),
        ("fr.toml", 'call_from = "{number"', "unbalanced braces"),
        ("not_a_tag!.toml", 'language = "x"', "not a BCP 47 tag"),
    ],
)
def test_a_wrong_catalogue_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CatalogueMistake, match=said):
        Catalogues([LOCALES, tmp_path])
