"""Settings: one frozen, typed class, read from `SLIPWAY_*` and the libraries' own variables."""

from __future__ import annotations

import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from slipway.api_keys import RATE
from slipway.errors import SettingsError, suggestion
from slipway.system.files import create_once, open_regular

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "SLIPWAY_"
_NOT_SETTINGS = ("SLIPWAY_TEST_",)
_LEAST_SECRET = 16
_MOST_SECRET = 4096  # bytes
_BODY_WITH_IMAGES, _BODY_OF_ROWS = 64 << 20, 16 << 20
_TRUE = ("1", "true", "t", "yes", "y", "on")
EX_CONFIG = 78  # of sysexits.h: nothing that a restart would mend
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_SECRETS = (
    "mask_key",
    "api_key",
    "redis_url",
    "alert_secret",
    "mlflow_webhook_secret",
    "elasticsearch_api_key",
    "github_token",
)
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?")
_URL = r"^(https?://\S+)?$"
ROOT_PATH = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+"
_OWN_PATHS = ("v1", "v2", "page", "docs")


class Settings(BaseSettings):
    """The settings; a field is the environment variable `SLIPWAY_` and its name in capitals, or the one it names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    var: Path = Field(Path("var"), description="State folder: everything that Slipway writes on a laptop.")
    usecases: Path = Field(Path("usecases"), description="Folder that holds one folder per use case.")
    environment: str = Field("local", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of this environment.")
    alias: str = Field("", description="Alias that servers follow; empty: `challenger` in staging, else `champion`.")

    host: str = Field("127.0.0.1", description="Address that the service binds to.")
    service_port: int = Field(3000, ge=1, le=65535, description="Port of the service.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of the local MLflow server.")
    mlflow_login: bool = Field(False, description="Ask for a login, in MLflow's server with the app `slipway`.")
    mlflow_users: Path | None = Field(
        None,
        description="Folder of the services' passwords in MLflow's login, a file each: `serving`, `watch`, `flow-run`.",
    )
    prefect_port: int = Field(4200, ge=1, le=65535, description="Port of the local Prefect server.")
    status_host: str = Field(
        "127.0.0.1", description="Address of the status page and of the shipper's `/metrics`: neither requires a key."
    )
    status_port: int = Field(8080, ge=1, le=65535, description="Port of the status page.")
    alert_secret: SecretStr | None = Field(
        None,
        description="Bearer token that Alertmanager sends to `/alerts` of the status page; empty: the route is off.",
    )
    mlflow_webhook_secret: SecretStr | None = Field(
        None,
        description="Secret that MLflow signs deliveries to `/mlflow-webhook` with; empty: the route is off.",
    )
    ship_port: int = Field(0, ge=0, le=65535, description="Port of the shipper's `/metrics` and `/livez`; 0: none.")
    prometheus_port: int = Field(
        9090, ge=1, le=65535, description="Port of the local Prometheus, which `slipway up --with prometheus` starts."
    )
    alertmanager_port: int = Field(
        9093, ge=1, le=65535, description="Port of the local Alertmanager (`slipway up --with alertmanager`)."
    )
    elasticsearch_port: int = Field(
        9200, ge=1, le=65535, description="Port of the local Elasticsearch (`slipway up --with elasticsearch`)."
    )
    grafana_port: int = Field(
        3030, ge=1, le=65535, description="Port of the local Grafana (`slipway up --with grafana`)."
    )
    servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="URLs of servers to watch, separated by commas; a name stands for all its addresses; empty: local.",
    )
    prometheus_url: str = Field(
        "",
        pattern=_URL,
        description="Prometheus that the status page reads traffic and error budgets from; empty: none.",
    )
    prometheus_namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]*$",
        description="Label `namespace` of this environment's series and alerts, if Prometheus has several; empty: all.",
    )
    alertmanager_url: str = Field(
        "", pattern=_URL, description="Alertmanager whose firing alerts the status page shows; empty: none."
    )
    workers: int = Field(0, ge=0, description="Worker processes of the service; 0: one per core.")
    root_path: str = Field(
        "",
        pattern=rf"^({ROOT_PATH})?$",
        description="Path under which a proxy publishes the service, such as `/ml`, removed by it or not; empty: none.",
    )
    fast_path: str = Field(
        "on", pattern=r"^(on|off)$", description="Whether small JSON predictions are answered below ASGI."
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|gpu)$", description="Device that predictions run on.")
    batching: str = Field(
        "auto",
        pattern=r"^(auto|off)$",
        description="Batch several requests in one run of the network, if that is faster.",
    )
    container: bool = Field(False, description="Set by the images: refuse to start without credentials.")
    insecure: bool = Field(False, description="Serve other addresses than loopback without credentials.")
    keys: Path | None = Field(
        None, description="File of API keys, written by `slipway keys`; empty: `keys/keys.json` in var."
    )
    require_credentials: bool = Field(
        False, description="Ask for credentials also while there is no API key; always so once there was one."
    )
    keys_outage_seconds: float = Field(
        3600.0, ge=0, description="Time for which known API keys stay valid while their file cannot be read; then 503."
    )
    api_key: SecretStr | None = Field(None, description="Key that Slipway's own commands send to a server.")
    rate: str = Field("", pattern=rf"^({RATE})?$", description="Rate limit of credentials that have none of their own.")
    rows: str = Field(
        "",
        pattern=rf"^({RATE})?$",
        description="Limit of rows (instances, entries of feedback) of credentials that have none of their own.",
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis in which all workers count rate limits together; empty: none."
    )
    jwt_issuer: str = Field("", description="Issuer (`iss`) of OAuth 2 bearer tokens that are accepted; empty: none.")
    jwt_audience: str = Field("", description="Audience (`aud`) that a bearer token must be for.")
    jwt_jwks: str = Field("", description="The issuer's public keys (JWKS): an https URL or a file.")
    jwt_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        ("RS256", "ES256", "EdDSA"), description="Signature algorithms of tokens that are accepted."
    )
    jwks_outage_seconds: float = Field(
        3600.0, ge=0, description="Time for which known public keys stay valid while the JWKS cannot be read; then 503."
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of the certificate of the proxy in front of the service, whose expiry the watch exports; "
        "empty: none.",
    )
    open_metrics: bool = Field(False, description="Answer `/metrics` without credentials.")
    open_docs: bool = Field(False, description="Answer `/docs` and `/openapi.json` without credentials.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose web pages may use the API, such as `https://app.example.com`; empty: none."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Further names by which servers without credentials may be reached, separated by commas; `*`: any.",
    )
    serve: Annotated[tuple[str, ...], NoDecode] = Field((), description="Use cases to serve, separated by commas.")
    serve_file: Path | None = Field(
        None,
        description="File that names further use cases, one a line: the server takes them up while it runs, each when "
        "it has a version that can be served; written by `slipway up`.",
    )
    bundle: Path | None = Field(None, description="Serve only this bundle, regardless of the registry.")
    packaged: Path | None = Field(None, description="Folder of bundles packaged in an image, one folder per use case.")
    start_wait_seconds: float = Field(20.0, ge=0, description="Time that a starting server waits for its alias.")
    follow_seconds: float = Field(2.0, gt=0, description="Interval at which the follower polls the registry.")

    max_instances: int = Field(10_000, ge=1, description="Largest number of instances in a request.")
    max_body_bytes: int | None = Field(
        None, ge=1024, description="Largest request body, in bytes; empty: 64 MiB where a use case has images, else 16."
    )
    max_waiting: int = Field(
        128, ge=1, description="Requests of a worker that may wait for a thread or run on one; more get 503."
    )
    max_waiting_bytes: int = Field(
        256 << 20, ge=1024, description="Bytes of request bodies that a worker may hold; more get 503."
    )
    max_receive_seconds: float = Field(
        15.0,
        gt=0,
        description="Time for a request to be complete, else 408, and for a client to read on, else it is cut off.",
    )
    max_connections: int = Field(
        1024, ge=1, description="Connections of a worker, at most what its file descriptors allow; more get 503."
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        description="Time for which a connection without a request stays open; 5 s at most while more than half of "
        "SLIPWAY_MAX_CONNECTIONS are open.",
    )
    drain_seconds: float = Field(
        0.5, ge=0, description="Time after SIGTERM in which a worker is not ready but still accepts requests."
    )
    max_pixels: int = Field(40_000_000, ge=1, description="Largest number of pixels of an image before it is resized.")
    max_request_pixels: int = Field(
        200_000_000,
        ge=1,
        description="Largest number of pixels of all images of a request; those with transparency count twice.",
    )

    log_url: str = Field(
        "", description="Storage of the prediction log: a folder or `s3://BUCKET/PREFIX`; empty: `log` in var."
    )
    keep_results_days: int = Field(
        90,
        ge=0,
        description="Days that finished runs, verdicts, refusals to retrain and unused bundles are kept; 0: for ever.",
    )
    segment_bytes: int = Field(16 << 20, ge=1024, description="Size at which a segment of the log is closed.")
    segment_seconds: float = Field(15.0, gt=0, description="Age at which a segment of the log is closed.")
    log_format: str = Field(
        "auto",
        pattern=r"^(auto|ecs|text)$",
        description="Form of log lines: `ecs`, JSON in Elastic Common Schema; `text`, for a person; `auto`: text on a "
        "terminal and in the log files of `slipway up`, else `ecs`.",
    )
    spool_logs: bool = Field(
        False,
        description="Write log lines also to the spool, from which `slipway ship` takes them to Elasticsearch; set by "
        "`slipway up` where there is one.",
    )
    mask_key: SecretStr | None = Field(
        None, description="Secret that masks private values, shared by training and serving; created in var if not set."
    )

    signing_key: Path | None = Field(
        None, description="PEM file of the Ed25519 private key that training signs bundles with; empty: none."
    )
    trusted_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="PEM files of Ed25519 public keys, separated by commas; if set, only signed bundles are served."
    )

    mlflow_tracking_uri: str = Field(
        "", validation_alias=AliasChoices("MLFLOW_TRACKING_URI"), description="The registry; empty: the local server."
    )
    prefect_api_url: str = Field(
        "", validation_alias=AliasChoices("PREFECT_API_URL"), description="Prefect's API; empty: the local server."
    )
    retraining_repository: str = Field(
        "",
        pattern=r"^([\w.-]+/[\w.-]+)?$",
        description="GitHub repository, `OWNER/NAME`, whose workflow `train` retrains; empty: Prefect does.",
    )
    github_token: SecretStr | None = Field(
        None,
        description="Token for this repository, with the permissions `contents: write` and `actions: read`.",
    )
    github_api: str = Field(
        "https://api.github.com", pattern=r"^https?://\S+$", description="GitHub's API, another one on your own server."
    )
    elasticsearch_url: str = Field(
        "",
        pattern=_URL,
        validation_alias=AliasChoices("ELASTICSEARCH_URL"),
        description="Elasticsearch, as `https://HOST:9200`, with `USER:PASSWORD@` where there is no key; empty: none.",
    )
    elasticsearch_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("ELASTICSEARCH_API_KEY"),
        description="API key of Elasticsearch, encoded as it prints it, or as `ID:KEY`.",
    )
    elasticsearch_api_key_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("ELASTICSEARCH_API_KEY_FILE"),
        description="File of the API key of Elasticsearch, in place of the variable.",
    )
    elasticsearch_ca_certs: Path | None = Field(
        None,
        validation_alias=AliasChoices("ELASTICSEARCH_CA_CERTS"),
        description="PEM file of the authorities that sign Elasticsearch's certificate; empty: the machine's own.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment alone: looking for a `.env` file, which there is not, takes as long again."""
        return init_settings, env_settings

    @field_validator(
        "servers", "serve", "trusted_keys", "jwt_algorithms", "cors_origins", "allowed_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("mask_key", "api_key", "alert_secret", "mlflow_webhook_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _LEAST_SECRET:
            found = f"has {len(value)} characters" if value else "is empty"
            raise ValueError(f"{found}; at least {_LEAST_SECRET} are needed")
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """With HS… whoever knows the public keys could sign; with `none`, everybody."""
        wrong = [name for name in value if name not in _ALGORITHMS]
        if wrong or not value:
            raise ValueError(f"{', '.join(wrong) or 'nothing'} is not allowed; choose of {', '.join(_ALGORITHMS)}")
        return value

    @field_validator("root_path", "prometheus_url", "alertmanager_url", "elasticsearch_url", mode="before")
    @classmethod
    def _without_last_slash(cls, value: object) -> object:
        return value.rstrip("/") if isinstance(value, str) else value

    @field_validator("elasticsearch_api_key_file", "elasticsearch_ca_certs", mode="before")
    @classmethod
    def _no_file(cls, value: object) -> object:
        """An empty variable names no file; as a path it would be the current folder."""
        return value or None

    @field_validator("root_path")
    @classmethod
    def _no_own_path(cls, value: str) -> str:
        if value.lstrip("/").partition("/")[0] in _OWN_PATHS:
            raise ValueError(f"the service has paths of its own there; choose another beginning than {value}")
        return value

    @field_validator("log_url")
    @classmethod
    def _folder_or_bucket(cls, value: str) -> str:
        if "://" in value and not _BUCKET.fullmatch(value):
            raise ValueError("give a folder, or s3://BUCKET/PREFIX without keys: those are AWS's own variables")
        return value

    @model_validator(mode="after")
    def _tokens_whole(self) -> Settings:
        given = {"JWT_ISSUER": self.jwt_issuer, "JWT_AUDIENCE": self.jwt_audience, "JWT_JWKS": self.jwt_jwks}
        missing = [PREFIX + name for name, value in given.items() if not value]
        if len(missing) not in (0, len(given)):
            raise ValueError(f"bearer tokens need all of issuer, audience and JWKS: set {', '.join(missing)}, too")
        return self

    @model_validator(mode="after")
    def _repository_with_token(self) -> Settings:
        if self.retraining_repository and not (self.github_token and self.github_token.get_secret_value()):
            raise ValueError("SLIPWAY_RETRAINING_REPOSITORY needs a token: set SLIPWAY_GITHUB_TOKEN, too")
        return self

    @property
    def has_registry(self) -> bool:
        """A container has the one that is named, or none; elsewhere there is the local one."""
        return bool(self.mlflow_tracking_uri) or not self.container

    @property
    def registry_uri(self) -> str:
        return (self.mlflow_tracking_uri or f"http://127.0.0.1:{self.mlflow_port}").rstrip("/")

    @property
    def prefect_uri(self) -> str:
        return (self.prefect_api_url or f"http://127.0.0.1:{self.prefect_port}/api").rstrip("/")

    @property
    def server_urls(self) -> tuple[str, ...]:
        return self.servers or (f"http://127.0.0.1:{self.service_port}",)

    @property
    def follow_alias(self) -> str:
        return self.alias or ("challenger" if self.environment == "staging" else "champion")

    @property
    def log_root(self) -> str:
        """A folder's absolute path, or a URL."""
        if "://" in self.log_url:
            return self.log_url.rstrip("/")
        return str(Path(self.log_url or self.var / "log").resolve())

    @property
    def spool(self) -> Path:
        return self.var / "spool"

    @property
    def store(self) -> Path:
        return self.var / "store"

    @property
    def serving(self) -> Path:
        return self.var / "serving"

    @property
    def key_file(self) -> Path:
        return self.keys or self.var / "keys" / "keys.json"

    @property
    def authorization(self) -> dict[str, str]:
        """The header that Slipway's own commands send to a server; empty if no key is set."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}

    @property
    def runs(self) -> Path:
        return self.var / "runs"

    @property
    def logs(self) -> Path:
        return self.var / "logs"

    def body_limit(self, *, images: bool) -> int:
        """The largest request body, in bytes: decoded rows take several times theirs, images are decoded one by one."""
        return self.max_body_bytes or (_BODY_WITH_IMAGES if images else _BODY_OF_ROWS)

    def mask_secret(self) -> bytes:
        """Read the secret of masks and row keys: the one that is set, else this machine's own, created on first use."""
        if self.mask_key is not None:
            return self.mask_key.get_secret_value().encode()
        path = self.var / "mask.key"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                create_once(path, secrets.token_hex(32))
            with open_regular(path) as file:
                secret = file.read(_MOST_SECRET).strip()
        except OSError as error:
            raise SettingsError(
                f"SLIPWAY_MASK_KEY is not set, and {path} cannot be made or read ({error.strerror}): set the variable."
            ) from None
        if len(secret) < _LEAST_SECRET:
            raise SettingsError(
                f"{path} holds {len(secret)} characters, at least {_LEAST_SECRET} are needed: remove it."
            )
        return secret


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the settings of this process, once.

    Raises:
        SettingsError: a variable is unknown or its value is not allowed; the message names it.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(part) for part in error.errors())) from None


def exit_code(error: Exception) -> int:
    """Choose the exit code for an error: 1, or 78 for settings in a container, where 1 means to try again."""
    container = os.environ.get("SLIPWAY_CONTAINER", "").lower() in _TRUE
    return EX_CONFIG if container and isinstance(error, SettingsError) else 1


def _sentence(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if not name:
        return problem["msg"].removeprefix("Value error, ")
    variable = name if name.isupper() else PREFIX + name.upper()
    is_secret = name.lower() in _SECRETS or "@" in str(problem["input"])  # as in scheme://user:password@host
    given = "" if is_secret else f"={problem['input']!r}"
    return f"{variable}{given}: {problem['msg']}"


def _refuse_unknown(environment: os._Environ[str]) -> None:
    known = {PREFIX + name.upper() for name, field in Settings.model_fields.items() if field.validation_alias is None}
    for name in environment:
        if name.startswith(PREFIX) and name not in known and not name.startswith(_NOT_SETTINGS):
            raise SettingsError(
                f"{name} is not a setting.{suggestion(name, known)} docs/reference/settings.md lists them all."
            )
