"""All settings. They are read once, from the environment and a file `.env` in the working directory, and checked."""

import contextlib
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from yarl import URL

from indexer import limits
from indexer.addresses import http_url, http_urls
from indexer.database.dsn import Dsn, Mode
from indexer.errors import SettingsError
from indexer.images import PathMap
from indexer.secret_files import SecretFiles

Task = Literal["clip", "ocr"]

# The settings that are addresses, each with an example.
_ADDRESSES = {
    "immich_url": "http://immich-server:2283",
    "immich_public_url": "https://photos.example",
    "immich_ml_url": "http://immich-machine-learning:3003",
    "hf_endpoint": "https://hf-mirror.com",
    "modelscope_endpoint": "https://www.modelscope.cn",
}


class Settings(BaseSettings):
    """The settings of one process. Field names are the environment variables in lower case.

    Build it with `Settings.load()`: its errors name the variable. The descriptions are the table in docs/settings.md.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    db_url: SecretStr | None = Field(
        None,
        description="PostgreSQL URL of Immich's database, as in Immich; wins over the next five. In a password, `#` is "
        "`%23`, `/` is `%2F`, `?` is `%3F`",
    )
    db_hostname: str = Field("database", description="Host of Immich's database, as in Immich; or a socket directory")
    db_port: int = Field(5432, ge=1, le=65535, description="Its port")
    db_username: str = Field("postgres", description="Role to connect as; sql/role.sql makes a least-privileged one")
    db_password: SecretStr = Field(SecretStr("postgres"), description="Its password")
    db_database_name: str = Field("immich", description="Name of Immich's database")
    db_ssl_mode: Mode = Field(
        "prefer",
        description="TLS to the database, as in Immich: `disable`; `allow`, `prefer` take it where the server has it; "
        "`require`; `verify-full` checks the certificate too. `sslmode` in `DB_URL` wins",
    )
    indexer_db_password: SecretStr | None = Field(
        None, description="`immich-indexer role`: the password it gives the role `ii`; nothing else reads it"
    )

    media_path_map: str = Field(
        "", description="Where Immich's folders are for us: `/data=/mnt/photos`, several separated by `;`"
    )
    tasks: Annotated[tuple[Task, ...], NoDecode] = Field(
        ("clip", "ocr"), description="What to do for each photo: `clip` (search by meaning), `ocr` (search by text)"
    )

    device: Literal["auto", "cpu", "cuda", "openvino:GPU"] = Field(
        "auto",
        description="Where the models run; `auto` takes an NVIDIA GPU if any. `openvino:GPU`: CLIP's pictures on "
        "[Intel's graphics](install.md#intel-graphics), if they are faster",
    )
    cpu_threads: int = Field(
        0, ge=0, le=256, description="CPU threads for the models; 0 takes every core that the container may use"
    )
    batch_size: int = Field(0, ge=0, le=1024, description="Photos claimed at once; 0 is 8, and 64 on an NVIDIA GPU")

    clip_model: str = Field(
        "ViT-B-16",
        description="`ViT-B-16`, `ViT-L-14`, `ViT-L-14-336`, `ViT-H-14`, `RN50`; a name that Immich has for a model; "
        "OWNER/NAME of Hugging Face; or a path: a `.pt` with its `.json`, or a folder",
    )
    switch_at: str = Field(
        "complete",
        description="When a change of `CLIP_MODEL` is done: once the new model has read every photo (`complete`), or a "
        "share of them, such as 0.3; the others are then not found by meaning until they were read",
    )
    clip_download_root: Path = Field(Path("~/.cache/clip"), description="Folder of CLIP's weight files")
    clip_precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="Number format of cn-clip; `auto` is fp16 on a GPU, and on a CPU whichever it is fastest at. Other "
        "models keep theirs; with `bf16`, on a CPU that has it, OpenVINO computes them faster. `int8`: see "
        "[below](#int8)",
    )
    weights_source: Literal["auto", "huggingface", "modelscope", "none"] = Field(
        "auto",
        description="Who is asked first for weights that are missing. `auto`: Hugging Face, its mirror hf-mirror.com, "
        "ModelScope, in turn; `none`: nobody, a person puts them there",
    )
    hf_endpoint: str = Field("", description="A mirror of Hugging Face, asked before it: `https://hf-mirror.com`")
    modelscope_endpoint: str = Field("", description="A mirror of ModelScope, asked before it")

    ocr_engine: Literal["rapidocr", "rapidocr-onnxruntime"] = Field(
        "rapidocr", description="`rapidocr` (PP-OCRv6) or `rapidocr-onnxruntime` (PP-OCRv4)"
    )
    ocr_runtime: Literal["auto", "onnxruntime", "openvino", "torch"] = Field(
        "auto",
        description="What runs its models on a processor: `onnxruntime`, `openvino`; `auto` takes OpenVINO where it is "
        "installed (as in the image, or `pip install 'immich-indexer[openvino]'`), clearly faster, and may use 2 GB of "
        "memory: it takes 0.1 to 0.3 GB more. Both read the same lines. `torch`: for an NVIDIA GPU, see "
        "[below](#text-on-an-nvidia-gpu)",
    )
    ocr_precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Number format of its models on a processor; `auto` is bf16 for PP-OCRv6 where OpenVINO is clearly "
        "faster with it. One line in some 600 is read otherwise, and boxes differ by a pixel or two. `int8`: see "
        "[below](#int8)",
    )
    ocr_min_box_score: float = Field(0.5, ge=0, le=1, description="Boxes the detector is less sure of are dropped")
    ocr_min_text_score: float = Field(0.8, ge=0, le=1, description="Lines the recogniser is less sure of are dropped")
    ocr_detect_side: int = Field(960, ge=320, le=4096, description="Long side in pixels at which text is looked for")

    max_preview_megabytes: int = Field(64, ge=1, description="A larger preview file is refused")
    max_megapixels: int = Field(64, ge=1, description="A preview with more pixels is refused before it is decoded")
    megapixels_in_flight: int = Field(48, ge=1, description="Decoded pictures held at once, which bounds memory")
    read_timeout_seconds: float = Field(
        30, gt=0, description="A preview that takes longer to read is tried again later"
    )

    max_attempts: int = Field(4, ge=1, le=100, description="After so many failures a photo is given up until `retry`")
    retry_seconds: float = Field(15, ge=0, description="Pause before the second attempt; doubles with each further one")
    lease_seconds: float = Field(10, ge=1, description="An indexer not heard of for so long loses its photos to others")
    poll_seconds: float = Field(2, gt=0, description="How often to look for work when notifications do not arrive")
    reconcile_seconds: float = Field(300, gt=0, description="How often to look for what every event missed")

    gateway_host: str = Field("0.0.0.0", description="Gateway: address to listen on")  # noqa: S104 - as Immich's own
    gateway_port: int = Field(8080, ge=0, le=65535, description="Gateway: port; 0 takes any that is free")
    gateway_token: SecretStr | None = Field(
        None,
        description="Gateway: if set, what Immich asks for begins with it: `http://gateway:8080/TOKEN/` in Immich 3, "
        "with the last slash; Immich 2 knows no such address",
    )
    gateway_deadline_seconds: float = Field(
        240, gt=0, description="Gateway: a request not answered by then gets 504; Immich itself gives up after 300"
    )
    gateway_body_seconds: float = Field(30, gt=0, description="Gateway: time a request's body may take to arrive")
    gateway_wait_seconds: float = Field(
        120, ge=0, description="Gateway: how long a picture may wait for the indexer that is reading it, or soon will"
    )
    gateway_text_queue: int = Field(256, ge=1, description="Gateway: texts waiting at once; more get 503")
    gateway_picture_queue: int = Field(64, ge=1, description="Gateway: pictures waiting at once; more get 503")
    gateway_megabytes_in_flight: int = Field(256, ge=1, description="Gateway: bodies held at once; more get 503")
    lexical_weight: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Gateway: how much nearer, in cosine similarity, photos come that have a search's words in text, "
        "description, place or file name; more if at most 25 have them; 0 leaves all to CLIP. Needs a wide column",
    )
    gateway_text_cache: int = Field(10_000, ge=0, description="Gateway: vectors of texts kept in memory")

    search_text_weight: float = Field(
        0.7, ge=0, le=1, description="Hybrid search: share of the words in a photo's score, the rest is the meaning's"
    )

    immich_ml_url: str = Field(
        "",
        validation_alias=AliasChoices("immich_ml_url", "immich_api"),
        description="Immich's own machine-learning server, for faces and what we do not know: "
        "`http://immich-machine-learning:3003`, several separated by `,`; also read from `IMMICH_API`",
    )
    immich_ml_wait_seconds: float = Field(
        60, ge=0, description="How long a request is tried again while no such server takes it"
    )
    immich_ml_check_seconds: float = Field(10, gt=0, description="How often such a server is asked how it is")
    face_model: str = Field("buffalo_l", description="Face model for where no such server is named; as set in Immich")
    face_download_root: Path = Field(
        Path("~/.insightface/models"), description="Folder of the face models, each in a folder of its name"
    )
    immich_url: str = Field(
        "",
        description="Immich itself, `http://immich-server:2283`: tells who may search what, starts its jobs for photos "
        "it has forgotten, and takes the tag `reindex` off",
    )
    immich_public_url: str = Field(
        "",
        description="Where people's browsers find Immich, `https://photos.example`: links lead there; without it to "
        "`IMMICH_URL`",
    )
    immich_api_key: SecretStr | None = Field(
        None,
        description="Key of one of its administrators, with the permissions `job.create`, for those jobs, "
        "and `tag.asset`",
    )
    recovery_seconds: float = Field(3600, ge=60, description="Least time between two starts of the same job")
    mt_photos_api_key: SecretStr | None = Field(
        None, description="If set, the gateway answers MT Photos too, whose API key this is"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")
    log_format: Literal["auto", "human", "json"] = Field("auto", description="`auto` is human on a terminal, else JSON")

    @field_validator("tasks", mode="before")
    @classmethod
    def _split_tasks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("tasks")
    @classmethod
    def _some_task(cls, value: tuple[Task, ...]) -> tuple[Task, ...]:
        if not value:
            raise ValueError("name at least one of clip, ocr")
        return value

    @field_validator("switch_at")
    @classmethod
    def _check_share(cls, value: str) -> str:
        with contextlib.suppress(ValueError):
            if value == "complete" or 0 < float(value) <= 1:
                return value
        raise ValueError("`complete`, or a share of the photos above 0, up to 1, such as 0.3")

    @field_validator("gateway_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not re.fullmatch(r"[A-Za-z0-9._~-]{8,}", value.get_secret_value()):
            raise ValueError("use at least 8 letters and digits, of the English alphabet")
        return value

    @field_validator(*_ADDRESSES)
    @classmethod
    def _check_address(cls, value: str, info: ValidationInfo) -> str:
        example = _ADDRESSES[str(info.field_name)]
        if info.field_name == "immich_ml_url":
            return ",".join(str(url) for url in http_urls(value, example))
        return str(http_url(value, example)).rstrip("/") if value.strip() else ""

    @field_validator("db_url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        return SecretStr(str(Dsn.parse(value.get_secret_value())))

    @field_validator("db_hostname")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not re.fullmatch(r"/.*|[\w.,-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?", value):
            raise ValueError("name the host alone; the port is DB_PORT, a whole URL is DB_URL")
        return value.strip("[]")

    @field_validator("media_path_map")
    @classmethod
    def _check_path_map(cls, value: str) -> str:
        PathMap.parse(value)
        return value

    @field_validator("clip_download_root", "face_download_root")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("immich_api_key", "mt_photos_api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # an empty key in a compose file must not open anything

    @model_validator(mode="after")
    def _check_mode(self) -> "Settings":
        try:
            self.dsn  # noqa: B018 - raises where the mode does not fit the URL, or needs a certificate
        except ValueError as error:
            raise ValueError(f"DB_SSL_MODE: {error}") from None
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """A file that is named for a setting has precedence over the variable, as in Immich."""
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101 - as in pydantic's documentation
        assert isinstance(dotenv_settings, DotEnvSettingsSource)  # noqa: S101
        files = SecretFiles(settings_cls, {**dotenv_settings.env_vars, **env_settings.env_vars})
        return init_settings, files, env_settings, dotenv_settings

    @classmethod
    def load(cls, **overrides: object) -> "Settings":
        """Read the environment. `overrides` (by field name) have precedence over it.

        Raises:
            SettingsError: it names each wrong variable and what is wrong. It never contains the value of a secret.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            problems = "; ".join(
                ": ".join([*(_variable(str(name)) for name in e["loc"][:1]), e["msg"].removeprefix("Value error, ")])
                for e in error.errors()
            )
            raise SettingsError(f"wrong settings: {problems}") from None

    @property
    def dsn(self) -> str:
        """The database's URL, with its password. Never log it."""
        if self.db_url is not None:
            return str(self._with_mode(Dsn.parse(self.db_url.get_secret_value())))
        socket = self.db_hostname.startswith("/")
        hosts = () if socket else tuple((host, self.db_port) for host in self.db_hostname.split(","))
        parameters = {"host": self.db_hostname, "port": str(self.db_port)} if socket else {}
        password = self.db_password.get_secret_value()
        return str(self._with_mode(Dsn(hosts, self.db_username, password, self.db_database_name, parameters)))

    def _with_mode(self, dsn: Dsn) -> Dsn:
        if "db_ssl_mode" not in self.model_fields_set:
            return dsn  # asyncpg's default is the same, and uses PGSSLMODE
        # Immich's `allow` demands TLS where libpq's `allow` first tries without. We use TLS where the server has it.
        return dsn.with_mode("prefer" if self.db_ssl_mode == "allow" else self.db_ssl_mode)

    @property
    def threads(self) -> int:
        """CPU threads for the models: the setting, or as many processors as this process or its container may use."""
        return self.cpu_threads or limits.processors()

    @property
    def switch_share(self) -> float:
        """The share of the photos that a new model must have read before it is used, above 0, up to 1."""
        return 1.0 if self.switch_at == "complete" else float(self.switch_at)

    @property
    def ml_urls(self) -> list[URL]:
        """Immich's own machine-learning servers."""
        return http_urls(self.immich_ml_url, _ADDRESSES["immich_ml_url"])

    @property
    def immich_pages(self) -> str:
        """The address of Immich's pages, without a slash at its end. Empty where it is not known."""
        return (self.immich_public_url or self.immich_url).rstrip("/").removesuffix("/api")

    def path_map(self) -> PathMap:
        """Where a path of Immich's database is on this machine."""
        return PathMap.parse(self.media_path_map)


def _variable(field_name: str) -> str:
    return "IMMICH_ML_URL (or IMMICH_API)" if field_name == "immich_ml_url" else field_name.upper()
