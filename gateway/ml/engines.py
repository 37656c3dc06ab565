"""Errors for a client when a model cannot answer: to come again later, or that its input is the cause."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import NO_MEMORY, MissingInputError, ModelAwayError, UnavailableError
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import Hosted
from indexer.models.engines.messages import CallError
from indexer.models.engines.states import EngineAwayError, GuiltError


@contextmanager
def asked() -> Iterator[None]:
    """A context for calling a model.

    Raises:
        ModelAwayError: its engine is not ready.
        UnavailableError: its engine has too little memory.
        MissingInputError: its engine works, but cannot process this input.
    """
    try:
        yield
    except EngineAwayError as error:
        raise ModelAwayError(str(error), error.retry_after) from error
    except GuiltError as error:
        raise MissingInputError(f"the model cannot process it: {error}") from error
    except CallError as error:
        if error.lacks_memory:
            raise UnavailableError(f"there is too little memory: {error}", NO_MEMORY) from error
        raise


def engines_of(**models: object) -> dict[str, Engine]:
    """The engines of those `models` that have one, by the same names."""
    return {name: model.engine for name, model in models.items() if isinstance(model, Hosted)}
