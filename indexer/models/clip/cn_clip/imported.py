"""Imports `cn_clip` without torchvision, which it wants for preparing pictures alone: we do that ourselves (pixels.py).

Torchvision takes 80 MB and a second. Beside a torch of another build it cannot be imported at all.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_WANTED = ("Compose", "ToTensor", "Normalize", "Resize", "InterpolationMode")


def import_cn_clip() -> None:
    """Import `cn_clip.clip`. Where torchvision was imported before, cn_clip has that."""
    if "cn_clip.clip" in sys.modules or "torchvision" in sys.modules:
        importlib.import_module("cn_clip.clip")
        return
    transforms: Any = ModuleType("torchvision.transforms")
    for name in _WANTED:
        setattr(transforms, name, None)
    sys.modules |= {"torchvision": ModuleType("torchvision"), transforms.__name__: transforms}
    try:
        importlib.import_module("cn_clip.clip")
    finally:
        del sys.modules["torchvision"], sys.modules[transforms.__name__]
