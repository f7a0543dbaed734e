"""Whether a card, its driver and the installed PyTorch fit together, with the one line that mends it. No torch.

Facts of NVIDIA's and PyTorch's release notes: builds for CUDA 13 want driver 580 and compute capability 7.5 (they
dropped Maxwell, Pascal and Volta); builds for CUDA 12 want driver 525, and those for 12.6 still know Volta and older.
"""

from __future__ import annotations

Capability = tuple[int, int]

NEWEST_BUILD, OLDER_BUILD = "torch==2.11.0+cu130", "torch==2.11.0+cu126"
"""Builds to install: the usual one, and the one for older drivers and cards."""

BF16_CAPABILITY: Capability = (8, 0)
"""From here on cards compute in bf16; below, fp16 with a loss scaler."""

# Oldest driver of each CUDA generation (minor versions are compatible among themselves).
_LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
# Oldest compute capability that builds for a CUDA version have kernels for, the newest first.
_LEAST_CAPABILITY: tuple[tuple[tuple[int, int], Capability], ...] = (
    ((13, 0), (7, 5)),
    ((12, 8), (7, 0)),
    ((0, 0), (5, 0)),
)


def install_line(build: str) -> str:
    """The command that installs a build of PyTorch: PyPI has none with a CUDA version in its name."""
    return f"pip install {build} --index-url https://download.pytorch.org/whl/{build.partition('+')[2]}"


def least_capability(torch_cuda: str | None) -> Capability:
    """The oldest generation of cards that a PyTorch for this CUDA computes on; of the newest where it is not known."""
    version = _version(torch_cuda) or (13, 0)
    return next(least for since, least in _LEAST_CAPABILITY if version >= since)


def build_problem(torch_cuda: str | None, *, driver_cuda: str | None, capability: Capability | None = None) -> str:
    """What is wrong with a PyTorch without CUDA beside a card; empty when it has CUDA or nothing is known."""
    if torch_cuda != "":
        return ""
    older = (_version(driver_cuda) or (13, 0)) < (13, 0) or (capability or (7, 5)) < (7, 5)
    line = install_line(OLDER_BUILD if older else NEWEST_BUILD)
    return f"This PyTorch is built without CUDA, so the card stays unused. Install one with it: {line}"


def driver_problem(torch_cuda: str | None, *, driver: str | None, driver_cuda: str | None) -> str:
    """Why a driver cannot run the installed PyTorch, with what to do; empty when it can or nothing is known."""
    wanted, has = _version(torch_cuda), _version(driver_cuda)
    if wanted is None or has is None or has[0] >= wanted[0]:
        return ""
    least = _LEAST_DRIVER.get(wanted[0])
    cure = f"Update it to {least} or newer" if least else "Update it"
    named = f"Driver {driver}" if driver else "The driver"
    fact = f"{named} ends at CUDA {driver_cuda}; torch needs {torch_cuda}."
    if has[0] >= 12 and wanted[0] > 12:
        return f"{fact} {cure}, or install a PyTorch for it: {install_line(OLDER_BUILD)}"
    return f"{fact} {cure}."


def card_problem(torch_cuda: str | None, capability: Capability | None, *, name: str = "This card") -> str:
    """Why the installed PyTorch does not compute on a card, with what to do; empty when it does or nothing is known."""
    least = least_capability(torch_cuda)
    if not torch_cuda and torch_cuda is not None:
        return ""  # without CUDA it is the build, not the card
    if capability is None or capability >= least:
        return ""
    fact = (
        f"{name} is too old for this PyTorch: it has compute capability {_text(capability)}, {_text(least)} is needed."
    )
    if capability < (5, 0):
        return f"{fact} Use a newer card."
    return f"{fact} Use a newer card, or a PyTorch built for CUDA 12.6: {install_line(OLDER_BUILD)}"


def format_problem(number_format: str, *, kind: str, capability: Capability | None = None) -> str:
    """Why a device does not train in a value of ``mixed_precision``, with what to do; empty when it does."""
    if kind == "mps" and number_format == "fp16":
        return "A Mac trains in bf16 or fp32, not in fp16. Set mixed_precision to bf16 (or no)."
    if kind == "cuda" and number_format == "bf16" and capability is not None and capability < BF16_CAPABILITY:
        has = _text(capability)
        return f"This card (compute capability {has}) has no bf16. Set mixed_precision to fp16 (with a loss scaler)."
    return ""


def _version(text: str | None) -> tuple[int, int] | None:
    major, _, rest = (text or "").partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor) if minor.isdigit() else 0) if major.isdigit() else None


def _text(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
