from pathlib import Path

import pytest

from plinth.config import Settings, SettingsError, load_settings
from tests.support.environment import COMPLETE, FINE_KEY, run_python

CONTRACT = {
    "PROJECT_NAME": "MyApp",
    "VERSION": "1.0.0",
    "API_V1_PREFIX": "/api/v1",
    "ENVIRONMENT": "development",
    "DEBUG": False,
    "DATABASE_URL": None,
    "TEST_DATABASE_URL": None,
    "DB_POOL_SIZE": 5,
    "DB_MAX_OVERFLOW": 10,
    "DB_POOL_TIMEOUT": 30,
    "DB_POOL_RECYCLE": 3600,
    "DB_ECHO": False,
    "REDIS_URL": None,
    "ALGORITHM": "HS256",
    "ACCESS_TOKEN_EXPIRE_MINUTES": 30,
    "REFRESH_TOKEN_EXPIRE_DAYS": 7,
    "BACKEND_CORS_ORIGINS": ["http://localhost:3000", "http://localhost:8000"],
    "DEFAULT_PAGE_SIZE": 20,
    "MAX_PAGE_SIZE": 100,
}
PARTS = {
    "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB",
    "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD", "SECRET_KEY",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove settings from the environment, and use a separate `.env`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")


def test_defaults_match_the_contract() -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in CONTRACT} == CONTRACT
    assert set(Settings.model_fields) >= PARTS


def test_environment_overrides_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PROJECT_NAME=file\nVERSION=2\n")
    monkeypatch.setenv("PROJECT_NAME", "environment")
    settings = load_settings()
    assert (settings.PROJECT_NAME, settings.VERSION) == ("environment", "2")


def test_names_are_case_sensitive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("project_name", "lower")
    Path(".env").write_text("version=lower\n")
    settings = load_settings()
    assert (settings.PROJECT_NAME, settings.VERSION) == ("MyApp", "1.0.0")


def test_an_unknown_setting_is_kept() -> None:
    Path(".env").write_text("FOO=bar\nfoo=other\n")
    settings = load_settings()
    assert settings.FOO == "bar"  # type: ignore[attr-defined]
    assert settings.foo == "other"  # type: ignore[attr-defined]


def test_an_empty_setting_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_POOL_SIZE", "BACKEND_CORS_ORIGINS", "DATABASE_URL", "POSTGRES_PASSWORD"):
        monkeypatch.setenv(name, "")
    Path(".env").write_text("REDIS_PASSWORD=\nREDIS_URL=\nSECRET_KEY=\n")
    settings = load_settings()
    assert settings.DB_POOL_SIZE == 5
    assert len(settings.BACKEND_CORS_ORIGINS) == 2
    assert settings.DATABASE_URL is None
    assert settings.REDIS_URL is None
    assert len(settings.SECRET_KEY) > 32


def test_origins_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_CORS_ORIGINS", '["https://app.example.com"]')
    assert load_settings().BACKEND_CORS_ORIGINS == ["https://app.example.com"]


@pytest.mark.parametrize("value", ["https://hush.example.com", "[hush", '{"hush": 1}', '"hush"'])
def test_malformed_origins_are_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BACKEND_CORS_ORIGINS", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "BACKEND_CORS_ORIGINS" in str(refused.value)
    assert "list" in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_POOL_SIZE", "hush"),
        ("DB_POOL_SIZE", "0"),
        ("DB_POOL_TIMEOUT", "-1"),
        ("POSTGRES_PORT", "70000"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),  # Kubernetes sets this for a service named redis
        ("ALGORITHM", "none"),
        ("ALGORITHM", "RS256"),
        ("DEBUG", "hush"),
        ("MAX_PAGE_SIZE", "0"),
        ("DATABASE_URL", "mysql://hush@host/db"),
        ("DATABASE_URL", "postgresql:hush"),
        ("DATABASE_URL", "hush"),
        ("REDIS_URL", "http://hush"),
    ],
)
def test_error_names_the_setting_and_hides_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert name in str(refused.value)
    assert "hush" not in str(refused.value)


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(DB_POOL_SIZE="x", MAX_PAGE_SIZE="x")
    assert len(str(refused.value).splitlines()) == 3


def test_max_buffered_body_bytes_holds_at_least_one_body() -> None:
    with pytest.raises(SettingsError, match="set it to at least 10065536"):
        load_settings(MAX_BODY_SIZE=10_000_000, MAX_BUFFERED_BODY_BYTES=10_000_000)
    load_settings(MAX_BODY_SIZE=10_000_000, MAX_BUFFERED_BODY_BYTES=10_065_536)


def test_default_page_size_cannot_exceed_max_page_size() -> None:
    with pytest.raises(SettingsError, match="DEFAULT_PAGE_SIZE is larger than MAX_PAGE_SIZE"):
        load_settings(DEFAULT_PAGE_SIZE=50, MAX_PAGE_SIZE=10)


def test_env_file_in_another_encoding_is_reported() -> None:
    Path(".env").write_bytes(b"FOO=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8"):
        load_settings()


def test_malformed_lines_of_the_env_file_are_reported() -> None:
    """Otherwise `ALLOWED_HOSTS ["x"]` would allow any host, with only a warning on stderr."""
    lines = ["DEBUG=true", 'ALLOWED_HOSTS ["x"]', "PROJECT_NAME='My", "DB_POOL_SIZE=no"]
    Path(".env").write_text("\n".join(lines))

    with pytest.raises(SettingsError) as caught:
        load_settings()

    odd = [f".env line {line} is not NAME=value: correct it" for line in (2, 3)]
    assert caught.value.faults[:2] == odd
    assert caught.value.faults[2].startswith("DB_POOL_SIZE: ")


def test_env_file_that_is_a_folder_is_reported() -> None:
    """Docker creates a folder in place of a mounted file that does not exist."""
    Path(".env").mkdir()
    with pytest.raises(SettingsError, match=r"\.env cannot be read \(Is a directory\)"):
        load_settings()


@pytest.mark.parametrize("name", ["none", ".", "n" * 5000, "~/none"])
def test_unreadable_plinth_env_file_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise all settings, such as ALLOWED_HOSTS, would have their defaults."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLINTH_ENV_FILE", name)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL", "SECRET_KEY"])
@pytest.mark.parametrize("environment", ["production", "staging", "Development"])
def test_production_requires_urls_and_secret_key(missing: str, environment: str) -> None:
    given = COMPLETE | {"ENVIRONMENT": environment}
    assert not load_settings(**given).is_development
    del given[missing]
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        load_settings(**given)
    assert not Path(".data").exists()


@pytest.mark.parametrize(
    ("key", "weakness"),
    [
        ("", "is not set"),
        (FINE_KEY[:31], "is shorter than the 32 bytes"),
        ("your-secret-key-change-in-production-0123456789", "published example"),
        ("CHANGEME-bSWJ0rJZ1fhW9SmYbQyz2Gk3nVx8pLtA", "published example"),
        ("abcdefghi" * 5, "different characters"),
    ],
)
def test_production_refuses_a_weak_secret_key_with_advice(key: str, weakness: str) -> None:
    with pytest.raises(SettingsError, match=weakness) as refused:
        load_settings(**COMPLETE | {"SECRET_KEY": key})
    assert "secrets.token_urlsafe(48)" in str(refused.value)
    assert not key or key not in str(refused.value)


def test_smtp_password_requires_tls() -> None:
    given = COMPLETE | {
        "SMTP_HOST": "mail.internal", "MAIL_FROM": "a@b.example", "FRONTEND_URL": "https://b.example",
    }  # fmt: skip
    load_settings(**given, SMTP_TLS="none")
    load_settings(**given, SMTP_TLS="starttls", SMTP_USERNAME="u")
    with pytest.raises(SettingsError, match="SMTP_TLS=none would send SMTP_PASSWORD"):
        load_settings(**given, SMTP_TLS="none", SMTP_USERNAME="u")


def test_longer_hash_requires_a_longer_key() -> None:
    load_settings(**COMPLETE, ALGORITHM="HS256")
    for algorithm, length in (("HS384", 48), ("HS512", 64)):
        with pytest.raises(SettingsError, match=f"shorter than the {length} bytes"):
            load_settings(**COMPLETE, ALGORITHM=algorithm)


def test_advised_command_creates_a_key_for_each_algorithm(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**COMPLETE | {"SECRET_KEY": ""})
    code = str(refused.value).partition("-c '")[2].partition("'")[0]
    made = run_python(code, cwd=tmp_path).stdout.strip()
    load_settings(**COMPLETE | {"SECRET_KEY": made, "ALGORITHM": "HS512"})


def test_repr_of_settings_shows_no_secret() -> None:
    Path(".env").write_text("SMTP_PASSWORD=hush5\n")
    settings = load_settings(
        SECRET_KEY="hush1" + FINE_KEY,
        DATABASE_URL="postgresql://u:hush2@h/d",
        REDIS_URL="redis://:hush3@h/0",
        TEST_DATABASE_URL="postgresql://u:hush4@h/d",
        POSTGRES_PASSWORD="hush6",
        REDIS_PASSWORD="hush7",
    )
    assert settings.SMTP_PASSWORD == "hush5"
    assert "hush" not in f"{settings!r} {settings}"


def test_invalid_settings_exit_without_a_traceback(tmp_path: Path) -> None:
    ended = run_python("import app.main", cwd=tmp_path, ENVIRONMENT="production", REDIS_PORT="x")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[0] == "Plinth cannot start:"
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("environment", "mode"),
    [("development", "warn"), ("production", "refuse"), ("staging", "refuse")],
)
def test_password_blocklist_default_depends_on_the_environment(environment: str, mode: str) -> None:
    given = COMPLETE | {"ENVIRONMENT": environment}
    assert load_settings(**given).password_blocklist == mode
    for chosen in ("off", "warn", "refuse"):
        assert load_settings(**given, PASSWORD_BLOCKLIST=chosen).password_blocklist == chosen


def test_password_blocklist_refuses_other_values() -> None:
    with pytest.raises(SettingsError, match="PASSWORD_BLOCKLIST"):
        load_settings(PASSWORD_BLOCKLIST="maybe")
