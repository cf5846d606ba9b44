"""Caller IDs signed by STIR/SHAKEN: which ones the proxy vouches for."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.redis_servers import wait_for
from tests.sip.passports import Authority, Signer, Site, encoded, pem, serving, token, write
from tests.sip.proxy import CALLER, POOL, Caller, Proxy, Receiver, needs_kamailio, receiving

pytestmark = needs_kamailio


@dataclass
class Country:
    """Authorities and carriers of a country, the site of their certificates, and a proxy that trusts the root."""

    site: Site
    proxy: Proxy
    receiver: Receiver
    carriers: dict[str, Signer]

    def attestation(self, *headers: str, **changes: str) -> str:
        with Caller(self.proxy.port) as caller:
            return str(self.receiver.event(caller.call(*headers, **changes))["attestation"])


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    folder, tls, site = tmp_path_factory.mktemp("country"), trustme.CA(), Site()
    root, other = Authority("root"), Authority("other root")
    intermediate = Authority("intermediate", root)
    holders = {
        "honest": Authority("honest", root, ca=False),
        "chained": Authority("chained", intermediate, ca=False),
        "unchained": Authority("unchained", intermediate, ca=False),
        "expired": Authority("expired", root, from_day=-2, to_day=-1, ca=False),
        "early": Authority("early", root, from_day=1, to_day=2, ca=False),
        "self-signed": Authority("self-signed", ca=False),
        "foreign": Authority("foreign", other, ca=False),
        "bare-key": Authority("bare", root, ca=False),
        "absent": Authority("absent", root, ca=False),
        "tarpit": Authority("tarpit", root, ca=False),
    }  # fmt: skip
    site.files = {f"/{name}.pem": pem(holder.certificate) for name, holder in holders.items()}
    site.files["/chained.pem"] = pem(holders["chained"].certificate) + pem(intermediate.certificate)
    site.files["/foreign.pem"] = pem(holders["foreign"].certificate) + pem(other.certificate)
    site.files |= {"/bare-key.pem": holders["bare-key"].public_key(), "/absent.pem": b"", "/tarpit.pem": None}
    with serving(site, tls), receiving(Receiver()) as receiver:
        proxy = Proxy(
            folder,
            receiver.url,
            WAITCALL_SIP_CALLS_PER_MINUTE="1000",
            WAITCALL_SIP_IDENTITY_ROOTS=write(folder, "roots.pem", pem(root.certificate)),
            WAITCALL_SIP_IDENTITY_HOSTS=f"cr.example,127.0.0.1:{site.port}",
            SSL_CERT_FILE=write(folder, "tls.pem", tls.cert_pem.bytes()),
        )
        try:
            signers = {name: Signer(site, each.key, f"/{name}.pem") for name, each in holders.items()}
            yield Country(site, proxy.start(), receiver, signers)
        finally:
            proxy.stop()


HONEST: dict[str, Callable[[Country], list[str]]] = {
    "plain": lambda c: [c.carriers["honest"].identity()],
    "quoted ppt": lambda c: [c.carriers["honest"].identity(parameters=';info=<{}>;alg=ES256;ppt="shaken"')],
    "parameters in another order": lambda c: [
        c.carriers["honest"].identity(parameters=";ppt=shaken;alg=ES256;info=<{}>")
    ],
    "info alone": lambda c: [c.carriers["honest"].identity(parameters=";info=<{}>")],
    "spaces": lambda c: [
        c.carriers["honest"].identity(parameters=" ; info=<{}> ;\r\n alg=ES256; ppt=shaken")
    ],
    "chain with an intermediate": lambda c: [c.carriers["chained"].identity()],
    "two dialled numbers": lambda c: [
        c.carriers["honest"].identity(claims={"dest": {"tn": ["15551239999", POOL[1:]]}})
    ],
    "signed 50 s ago": lambda c: [c.carriers["honest"].identity(claims={"iat": int(time.time()) - 50})],
    "clock 50 s ahead": lambda c: [c.carriers["honest"].identity(claims={"iat": int(time.time()) + 50})],
}


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_identity_is_attested(country: Country, kind: str) -> None:
    assert country.attestation(*(f"Identity: {each}" for each in HONEST[kind](country))) == "A"


@pytest.mark.parametrize("level", ["A", "B", "C"])
def test_the_level_is_the_one_that_was_signed(country: Country, level: str) -> None:
    identity = country.carriers["honest"].identity(claims={"attest": level})

    assert country.attestation(f"Identity: {identity}") == level


def test_the_short_name_of_the_header_is_the_header(country: Country) -> None:
    assert country.attestation(f"y: {country.carriers['honest'].identity()}") == "A"


def test_the_asserted_identity_is_the_number_that_must_be_signed(country: Country) -> None:
    identity = country.carriers["honest"].identity()
    elsewhere = "<sip:+19990000000@pbx.example>;tag=1"

    assert country.attestation(f"Identity: {identity}", from_=elsewhere) == ""
    asserted = f"P-Asserted-Identity: <sip:{CALLER}@carrier.example>"
    assert country.attestation(f"Identity: {identity}", asserted, from_=elsewhere) == "A"
    other = "P-Asserted-Identity: <sip:+19990000000@carrier.example>"
    assert country.attestation(f"Identity: {identity}", other) == ""


def of(carrier: str = "honest", **changes: object) -> Callable[[Country], list[str]]:
    """Return a maker of one header: the carrier's honest one with these changes."""
    return lambda country: [country.carriers[carrier].identity(**changes)]


def header(**members: object) -> Callable[[Country], list[str]]:
    return of(header=members)


def claims(**members: object) -> Callable[[Country], list[str]]:
    return of(claims=members)


def signed_at(offset: int) -> Callable[[Country], list[str]]:
    return lambda c: [c.carriers["honest"].identity(claims={"iat": int(time.time()) + offset})]


def quoted_time(country: Country) -> list[str]:
    return [country.carriers["honest"].identity(claims={"iat": str(int(time.time()))})]


def changed_after_signing(country: Country) -> list[str]:
    first = country.carriers["honest"].identity(claims={"attest": "C"}).split(".", 2)
    second = country.carriers["honest"].identity(claims={"attest": "A"}).split(".", 2)
    return [".".join([first[0], second[1], first[2]])]


def der_signature(country: Country) -> list[str]:
    signed, _, rest = country.carriers["honest"].identity().rpartition(".")
    der = country.carriers["honest"].key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    return [f"{signed}.{encoded(der)};{rest.partition(';')[2]}"]


def unsigned(country: Country) -> list[str]:
    url = country.site.url("/honest.pem")
    signed = token(country.carriers["honest"].key, {"alg": "none", "ppt": "shaken", "x5u": url}, {})
    return [f"{signed.rpartition('.')[0]}.;info=<{url}>;alg=ES256;ppt=shaken"]


def info(url: Callable[[Country], str]) -> Callable[[Country], list[str]]:
    """Return a maker of a header whose info and x5u agree on an address."""
    return lambda c: [c.carriers["honest"].identity(header={"x5u": url(c)}, info=url(c))]


def forged_and_valid(country: Country) -> list[str]:
    return [country.carriers["self-signed"].identity(), country.carriers["honest"].identity()]


FORGED: dict[str, dict[str, Callable[[Country], list[str]]]] = {
    "form": {
        "alg none": unsigned,
        "alg in the parameter": of(parameters=";info=<{}>;alg=RS256;ppt=shaken"),
        "ppt in the parameter": of(parameters=";info=<{}>;alg=ES256;ppt=rph"),
        "no info": of(parameters=";alg=ES256;ppt=shaken"),
        "two infos": of(parameters=";info=<https://cr.example/a.pem>;info=<{}>;alg=ES256;ppt=shaken"),
        "no parameters": of(parameters=""),
        "info not https": info(lambda c: c.site.url("/honest.pem").replace("https", "http")),
        "info with a user": info(lambda c: c.site.url("/honest.pem").replace("//", "//cr.example:x@")),
        "info of a file": info(lambda c: "file:///etc/passwd"),
        "signature in DER": der_signature,
        "short form without token": lambda c: [".." + c.carriers["honest"].identity().split(".")[2]],
        "twice in one header": lambda c: [", ".join(forged_and_valid(c))],
        "empty": lambda c: [""],
        "nonsense": lambda c: ["Zm9v"],
    },
    "header": {
        "alg in the token": header(alg="HS256"),
        "ppt in the token": header(ppt="rph"),
        "no ppt in the token": header(ppt=None),
        "div": header(ppt="div"),
        "typ": header(typ="JWT"),
        "x5u of another certificate": header(x5u="https://127.0.0.1/other.pem"),
        "x5u missing": header(x5u=None),
    },
    "time": {
        "iat 90 s old": signed_at(-90),
        "iat 90 s ahead": signed_at(90),
        "iat beyond 32 bits": signed_at(2**32),
        "iat 0": claims(iat=0),
        "iat missing": claims(iat=None),
        "iat a word": claims(iat="x"),
    },
    "orig": {
        "orig": claims(orig={"tn": "19990000000"}),
        "orig missing": claims(orig=None),
        "orig a list": claims(orig={"tn": [CALLER[1:]]}),
    },
    "dest": {
        "dest": claims(dest={"tn": ["19990000000"]}),
        "dest a part of the number": claims(dest={"tn": [POOL[1:-1], POOL[2:]]}),
        "dest missing": claims(dest=None),
        "dest empty": claims(dest={"tn": []}),
    },
    "attest": {
        "attest Z": claims(attest="Z"),
        "attest in small letters": claims(attest="a"),
        "attest missing": claims(attest=None),
        "attest two letters": claims(attest="A,B"),
    },
    "host": {
        "info of another host": info(lambda c: c.site.url("/honest.pem").replace("127.0.0.1", "127.0.0.2")),
        "info of another port": info(lambda c: "https://127.0.0.1:1/honest.pem"),
        "info begins as an allowed host": info(lambda c: "https://cr.example.evil.example/honest.pem"),
    },
    "certificate": {
        "unknown authority": of("foreign"),
        "certificate expired": of("expired"),
        "certificate not valid yet": of("early"),
        "certificate self-signed": of("self-signed"),
        "intermediate missing": of("unchained"),
        "bare public key": of("bare-key"),
    },
    "fetch": {"certificate absent": of("absent"), "tarpit": of("tarpit")},
    "signature": {
        "signed with another key": of(key=ec.generate_private_key(ec.SECP256R1())),
        "changed after signing": changed_after_signing,
        "iat a number in quotes": quoted_time,
    },
    "several": {
        "forged before a valid one": forged_and_valid,
        "forged after a valid one": lambda c: forged_and_valid(c)[::-1],
        "the same twice": lambda c: forged_and_valid(c)[1:] * 2,
    },
}


@pytest.mark.parametrize(("reason", "kind"), [(reason, kind) for reason in FORGED for kind in FORGED[reason]])
def test_a_forged_identity_is_not_attested(country: Country, reason: str, kind: str) -> None:
    before = country.proxy.metrics().get(f"identity_total:{reason}", 0)

    assert country.attestation(*(f"Identity: {each}" for each in FORGED[reason][kind](country))) == ""

    assert country.proxy.metrics()[f"identity_total:{reason}"] == before + 1


def test_an_identity_counts_for_its_own_call_only(country: Country) -> None:
    """Kamailio keeps a variable's old value if it cannot read the new one."""
    for _ in range(8):
        assert country.attestation(f"Identity: {country.carriers['honest'].identity()}") == "A"
        assert country.attestation("Identity: ") == ""
        assert country.attestation("Identity: ", "Diversion: <sip:+19990000000@carrier.example>") == ""
        assert country.attestation("Identity: a.b.c;info=<x>") == ""


def test_long_and_short_header_are_two(country: Country) -> None:
    first, second = forged_and_valid(country)

    assert country.attestation(f"Identity: {first}", f"y: {second}") == ""
    assert country.attestation(f"y: {first}", f"Identity: {second}") == ""


@pytest.mark.parametrize("member", ["param", "token"])
def test_a_div_passport_means_diversion(country: Country, member: str) -> None:
    honest = country.carriers["honest"]
    div = (
        honest.identity(parameters=";info=<{}>;ppt=div")
        if member == "param"
        else honest.identity(header={"ppt": "div-o"}, parameters=";info=<{}>")
    )
    with Caller(country.proxy.port) as caller:
        call_id = caller.call(f"Identity: {honest.identity()}", f"Identity: {div}")

    event = country.receiver.event(call_id)
    assert (event["diverted"], event["attestation"]) == (True, "")


def test_a_withheld_number_is_not_attested(country: Country) -> None:
    for claims in ({}, {"orig": None}):
        identity = country.carriers["honest"].identity(claims=claims)
        assert country.attestation(f"Identity: {identity}", "Privacy: id") == ""


def test_only_allowed_hosts_are_asked_and_each_certificate_once(country: Country) -> None:
    for _ in range(2):
        assert country.attestation(f"Identity: {country.carriers['honest'].identity()}") == "A"

    assert country.site.asked.count("/honest.pem") == 1


def test_a_site_that_keeps_one_waiting_delays_neither_the_end_of_a_call_nor_other_events(
    country: Country,
) -> None:
    with Caller(country.proxy.port) as caller:
        slow = [caller.call(f"Identity: {country.carriers['tarpit'].identity()}") for _ in range(10)]
        plain = caller.call()

        country.receiver.event(plain)
        assert not all(country.receiver.events(call_id) for call_id in slow)
        wait_for(lambda: all(country.receiver.events(call_id) for call_id in slow))
    assert {event["attestation"] for each in slow for event in country.receiver.events(each)} == {""}
    assert country.proxy.metrics()["identity_total:unchecked"] >= 1
