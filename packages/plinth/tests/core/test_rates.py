"""Rates of limits in settings."""

import inspect
import re
from typing import get_args

import pytest

from plinth.accounts.services import throttle
from plinth.config import Settings, SettingsError, load_settings
from plinth.limits import sign_in
from plinth.organizations.services import limits as organizations
from plinth.rates import Rate, parse_rate
from tests.support.environment import COMPLETE, ROOT

FIGURES = {
    "LIMIT_LOGIN_ACCOUNT_IP": Rate(5, 300),
    "LIMIT_LOGIN_ACCOUNT": Rate(10, 300),
    "LIMIT_LOGIN_ACCOUNT_DAY": Rate(50, 86400),
    "LIMIT_LOGIN_IP": Rate(20, 300),
    "LIMIT_LOGIN_DEVICE": Rate(10, 300),
    "LIMIT_LOGIN_DEVICE_DAY": Rate(50, 86400),
    "LIMIT_LOGIN_ALL_DEVICES": Rate(100, 86400),
    "LIMIT_PASSWORD_SESSION": Rate(5, 300),
    "LIMIT_PASSWORD_ACCOUNT": Rate(50, 86400),
    "LIMIT_MFA": Rate(5, 300),
    "LIMIT_MFA_DAY": Rate(50, 86400),
    "LIMIT_PASSKEY_IP": Rate(60, 300),
    "LIMIT_OIDC_IP": Rate(60, 300),
    "LIMIT_API_KEYS": Rate(20, 86400),
    "LIMIT_API_KEY_REPORT_IP": Rate(30, 300),
    "LIMIT_REGISTER_IP": Rate(20, 3600),
    "LIMIT_REFRESH_SESSION": Rate(30, 300),
    "LIMIT_REFRESH_UNKNOWN_IP": Rate(20, 300),
    "LIMIT_FORGOT_ACCOUNT": Rate(3, 1800),
    "LIMIT_MAIL_ADDRESS": Rate(10, 3600),
    "LIMIT_MAIL_ADDRESS_DAY": Rate(20, 86400),
    "LIMIT_FORGOT_IP": Rate(20, 3600),
    "LIMIT_VERIFY_ACCOUNT": Rate(10, 86400),
    "LIMIT_ORGANIZATION_USER": Rate(10, 86400),
    "LIMIT_INVITE_USER": Rate(50, 3600),
    "LIMIT_INVITE_ORGANIZATION": Rate(200, 86400),
}


def test_each_limit_setting_has_its_documented_default() -> None:
    defaults = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name.startswith("LIMIT_") and field.annotation is str
    }
    assert {name: parse_rate(default) for name, default in defaults.items()} == FIGURES


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1/1s", Rate(1, 1)),
        ("10000/31d", Rate(10_000, 31 * 86400)),
        ("7/90m", Rate(7, 5400)),
    ],
)
def test_valid_rate_is_parsed(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["5", "5/5", "5 / 5m", "5/5w", "5/m", "-5/5m", "5.5/5m", "\u0665/5m", "five/5m"],
)
def test_malformed_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"LIMIT_LOGIN_IP: must be a rate such as 5/5m"):
        load_settings(LIMIT_LOGIN_IP=text)


@pytest.mark.parametrize("text", ["0/5m", "5/0m", "10001/5m", "5/32d"])
def test_rate_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="LIMIT_FORGOT_IP: must allow 1 to 10000"):
        load_settings(LIMIT_FORGOT_IP=text)


def test_limits_can_be_disabled_only_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS_ENABLED", "true")
    assert load_settings(**COMPLETE).LIMITS_ENABLED
    monkeypatch.setenv("LIMITS_ENABLED", "false")
    for environment in ("production", "staging", "test"):
        with pytest.raises(SettingsError, match="LIMITS_ENABLED may be false only"):
            load_settings(**COMPLETE | {"ENVIRONMENT": environment})
    assert not load_settings().LIMITS_ENABLED


ROW = re.compile(r"^\| `(LIMIT_\w+)` \| (\S+) \| (.+?) \| .+ \|$", re.MULTILINE)
BUCKET = re.compile(r"""(?:Bucket\.of|per_network)\(\s*f?"([a-z{}-]+)",\s*settings\.(LIMIT_\w+)""")
VARIANTS = {"{kind}": get_args(throttle.MailRequest), "{step}": get_args(throttle.ProviderStep)}
TABLE = {
    name: (default, set(re.findall(r"`([a-z0-9-]+)`", policies)))
    for name, default, policies in ROW.findall((ROOT / "docs/reference/limits.md").read_text())
}


def test_documented_table_has_each_limit_with_its_default() -> None:
    defaults = {
        name: str(field.default)
        for name, field in Settings.model_fields.items()
        if name.startswith("LIMIT_")
    }
    assert {name: default for name, (default, _) in TABLE.items()} == defaults, (
        "give each LIMIT_ setting a row in docs/reference/limits.md, under Every rate limit"
    )


def test_documented_table_has_each_policy_name() -> None:
    counted: dict[str, set[str]] = {}
    for policy, name in BUCKET.findall(
        "".join(map(inspect.getsource, (throttle, sign_in, organizations)))
    ):
        counted.setdefault(name, set()).update(list_variants(policy))
    told = {name: policies for name, (_, policies) in TABLE.items() if name in counted}
    assert told == counted, "docs/reference/limits.md, Every rate limit"
    assert {name for name in TABLE if name not in counted} == {"LIMIT_IPV6_SITE_FACTOR"}


def list_variants(policy: str) -> set[str]:
    """Return the names of a policy with each value of its variable part."""
    for variable, values in VARIANTS.items():
        if variable in policy:
            return {policy.replace(variable, value) for value in values}
    return {policy}
