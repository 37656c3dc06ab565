"""What a client is told when a model cannot answer: to come again, or that it is the input's fault."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import MissingInputError, ModelAwayError, UnavailableError
from indexer.models.engine import Engine
from indexer.models.host import CallError
from indexer.models.hosted import Hosted
from indexer.models.states import EngineAwayError, GuiltError

_NO_MEMORY = 30  # seconds until there may be some


@contextmanager
def asked() -> Iterator[None]:
    """Around whatever asks a model.

    Raises:
        ModelAwayError: its engine is away.
        UnavailableError: its engine lacks memory.
        MissingInputError: its engine is well, and cannot take this input.
    """
    try:
        yield
    except EngineAwayError as error:
        raise ModelAwayError(str(error), error.retry_after) from error
    except GuiltError as error:
        raise MissingInputError(f"the model cannot take it: {error}") from error
    except CallError as error:
        if error.lacks_memory:
            raise UnavailableError(f"there is too little memory: {error}", _NO_MEMORY) from error
        raise


def engines_of(**models: object) -> dict[str, Engine]:
    """Those of `models` that have one, by the same names."""
    return {name: model.engine for name, model in models.items() if isinstance(model, Hosted)}
