"""The settings, read once from the environment and `.env`."""

from plinth import config


class Settings(config.Settings):
    PROJECT_NAME: str = "Conduit"
    API_V1_PREFIX: str = "/api"
    ACCESS_TOKEN_EXPIRE_MINUTES: int = 7 * 24 * 60  # its clients have no refresh token
    PASSWORD_RULES = config.PasswordRules(min_length=8, max_length=200, kinds=())


settings = config.bind(Settings)
