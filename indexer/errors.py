"""All errors that are meant for people. Each says how to solve the problem."""

# Explanations for errors without a text, most of them from broken connections. The first match counts.
_SILENT = (
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "nothing listens there"),
    (ConnectionError, "the connection was cut"),
    (EOFError, "it ends too early"),
    (MemoryError, "no memory is left"),
)


def words_of(error: BaseException) -> str:
    """The text of `error`, or an explanation. Never empty."""
    said = str(error).strip()
    return said or next((words for kind, words in _SILENT if isinstance(error, kind)), type(error).__name__)


class IndexerError(Exception):
    """Base of all errors raised on purpose. Their text is for people."""


class SettingsError(IndexerError):
    """A setting is missing or wrong. The text names it."""


class PictureError(IndexerError):
    """This one picture cannot be read. Other pictures are not affected."""


class ModelError(IndexerError):
    """A model returned an impossible answer. The text says what is wrong with it."""


class WeightsError(IndexerError):
    """A model's weights are missing or are not the right ones. The text says which file to put where."""


class SchemaError(IndexerError):
    """The database is not as it must be. The text says what to run."""


class RequestError(IndexerError):
    """A person's request cannot be fulfilled. The text says what is wrong with it."""


class ColumnWidthError(SchemaError):
    """Immich's vector column cannot hold the model's vectors."""

    def __init__(self, width: int, needed: int, advice: str) -> None:
        super().__init__(
            f"smart_search.embedding is vector({width}), the CLIP model needs {needed} dimensions: {advice}"
        )
        self.width = width
        self.needed = needed


class QueryError(IndexerError):
    """A query cannot be searched for. The text says why."""
