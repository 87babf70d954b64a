"""The first-block cache: where a step's first block changes little, the other blocks' last result is taken again.

This is an approximation, for `--quality draft` alone. Source: "ParaAttention", first block cache, as diffusers has it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import ModelMixin

_THRESHOLD = 0.05  # mean change of the first block's residual below which the others are skipped; diffusers' default


@contextmanager
def step_cache(transformer: "ModelMixin", wanted: bool) -> Iterator[None]:
    """Skip blocks where a step changes little, while the block lasts.

    Args:
        transformer: The network; each call must be inside of a `cached_as`.
        wanted: Whether to do so.
    """
    if not wanted:
        yield
        return
    from diffusers import FirstBlockCacheConfig

    transformer.enable_cache(FirstBlockCacheConfig(threshold=_THRESHOLD))
    try:
        yield
    finally:
        transformer.disable_cache()


def cached_as(transformer: "ModelMixin", name: str) -> AbstractContextManager[None]:
    """Return the context of calls whose inputs follow each other from step to step: a window, with or without text."""
    context: AbstractContextManager[None] = transformer.cache_context(name)
    return context
