"""Every error that a person may meet, each carrying what is needed to mend it."""

# What errors mean that are raised without a word, most of them where a line is cut. The first that fits.
_SILENT = (
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "nobody listens there"),
    (ConnectionError, "the connection was cut"),
    (EOFError, "it ends too early"),
    (MemoryError, "no memory is left"),
)


def words_of(error: BaseException) -> str:
    """What `error` says, in one piece; never empty."""
    said = str(error).strip()
    return said or next((words for kind, words in _SILENT if isinstance(error, kind)), type(error).__name__)


class IndexerError(Exception):
    """Base of all errors raised on purpose; its text is meant for a person."""


class SettingsError(IndexerError):
    """A setting is missing or wrong; the text names it."""


class PictureError(IndexerError):
    """This one picture cannot be read; other pictures are not concerned."""


class ModelError(IndexerError):
    """A model answered with something that cannot be; the text says with what."""


class WeightsError(IndexerError):
    """A model's weights are missing or are not what they should be; the text says which file goes where."""


class SchemaError(IndexerError):
    """The database does not look as it must; the text says what to run."""


class RequestError(IndexerError):
    """What a person asked for cannot be done; the text says what is wrong with it."""


class ColumnWidthError(SchemaError):
    """Immich's vector column cannot hold the model's vectors."""

    def __init__(self, width: int, needed: int, advice: str) -> None:
        super().__init__(
            f"smart_search.embedding is vector({width}), the CLIP model needs {needed} dimensions: {advice}"
        )
        self.width = width
        self.needed = needed


class QueryError(IndexerError):
    """What a person typed cannot be searched for; the text says why."""
