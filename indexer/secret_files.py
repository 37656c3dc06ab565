"""Settings whose value is in a file: `DB_PASSWORD_FILE=/run/secrets/password`, as in Immich."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from indexer.errors import SettingsError

# The settings that Immich can read from a file. Besides these we read all secrets from files.
_AS_IN_IMMICH = frozenset({"db_url", "db_hostname", "db_database_name", "db_username", "db_password"})


class SecretFiles(PydanticBaseSettingsSource):
    """The content of the file that `NAME_FILE` names, or of the file NAME in CREDENTIALS_DIRECTORY (systemd's).

    Args:
        settings: the class whose fields are looked for.
        environment: the variables by their names in lower case. An empty one counts as not set.

    Raises:
        SettingsError: a named file cannot be read. Raised by the call.
    """

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str | None]) -> None:
        super().__init__(settings)
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value, the field's name, and that the value is not JSON. The value is None without a file."""
        if field_name not in _AS_IN_IMMICH and "SecretStr" not in str(field.annotation):
            return None, field_name, False
        name = field_name.upper()
        path = self._environment.get(f"{field_name}_file")
        folder = self._environment.get("credentials_directory")
        if not path and folder and (Path(folder) / name).exists():
            path = str(Path(folder) / name)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise SettingsError(f"wrong settings: {name}_FILE: cannot read {path}: {reason}") from None

    def __call__(self) -> dict[str, Any]:
        """The fields whose values are in files."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}
