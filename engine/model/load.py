"""From a hub id or a folder to loaded models, and back to a folder that loads again (spec section 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.contract.errors import ModelError, as_disk_error, is_disk_failure
from engine.contract.files import write_atomic
from engine.contract.model_files import (
    DIFFUSERS_WEIGHTS,
    HUB_ID,
    LAYOUT_HINT,
    SUB_FOLDERS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    allow_patterns,
    check_tokenizer,
    default_weights,
    has_variant,
    read_config,
    variant_name,
    weight_files,
)
from engine.contract.paths import expanded
from engine.memory.copies import require_room_for_blocks
from engine.model.autoencoder import MusicCodec
from engine.model.card import TransformerConfig
from engine.model.codec_load import BOTH_PARTS, Part
from engine.model.parameter_names import checkpoint_shape, checkpoint_shapes, is_projector, unused_shapes
from engine.model.quantise import Quantisation, QuantisedLinear, codes_bytes, put_quantised_layers, quantised_blocks
from engine.model.quantised_copy import Layers, QuantisedCopy
from engine.model.tensor_file import TensorEntry, TensorReader, read_header, write_tensors
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import AceStepTransformer
from engine.planning.block_ring import swapped_blocks


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the four parts of a model stand; a part may be taken from elsewhere (a full fine-tune: `transformer`)."""

    root: Path
    transformer: Path
    dcae: Path
    vocoder: Path
    text_encoder: Path
    variant: str | None = None

    def parts_without_variant(self) -> tuple[str, ...]:
        """The parts whose folders hold no weights of the wanted variant; none where no variant is wanted."""
        folders = zip(SUB_FOLDERS, (self.transformer, self.dcae, self.vocoder, self.text_encoder), strict=True)
        variant = self.variant
        return tuple(
            name
            for name, folder in folders
            if variant is not None and not has_variant(folder, variant, default_name=default_weights(name))
        )


def resolve_checkpoint(
    name_or_path: str | Path, *, revision: str | None = None, variant: str | None = None
) -> Checkpoint:
    """Find a checkpoint: a folder when there is one of that name, else a hub repository, fetched when not cached.

    Only names, configurations and file headers are looked at here, so that a missing or cut-off file shows before
    anything large is loaded.

    Args:
        name_or_path: A folder in the hub's layout, or a hub id such as ``ACE-Step/ACE-Step-v1-3.5B``.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        variant: Which weight files are read where there are several: ``fp16`` for ``….fp16.safetensors``.

    Raises:
        ModelError: Nothing there, no way to the hub, or a sub-folder or file is missing or damaged; no part has the
            variant.
        DiskError: The disk is too full for the download.
    """
    folder = expanded(name_or_path)
    if not folder.is_dir():
        folder = _download(str(name_or_path), revision)
    missing = [name for name in SUB_FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise ModelError(f"{folder} lacks the sub-folder {', '.join(missing)}", hint=LAYOUT_HINT)
    for name in SUB_FOLDERS:
        read_config(folder / name)
        for path in weight_files(folder / name, default_name=default_weights(name), variant=variant):
            read_header(path)
    check_tokenizer(folder / TEXT_ENCODER_FOLDER)
    checkpoint = Checkpoint(folder, *(folder / name for name in SUB_FOLDERS), variant=variant)
    if len(checkpoint.parts_without_variant()) == len(SUB_FOLDERS):
        raise ModelError(
            f"{folder} holds no weights of the variant {variant}",
            hint=f"Such a file is called {variant_name(DIFFUSERS_WEIGHTS, variant or '')}. Leave variant out to use "
            "the ordinary ones.",
        )
    return checkpoint


def resolve_transformer(name_or_path: str | Path, *, revision: str | None = None, variant: str | None = None) -> Path:
    """The transformer's folder of another model: found or fetched like a checkpoint, but nothing else of it is needed.

    Args:
        name_or_path: A folder with ``ace_step_transformer/`` in it, that folder itself, or a hub id.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        variant: As for `resolve_checkpoint`.

    Raises:
        ModelError: Nothing there, no way to the hub, or damaged.
        DiskError: The disk is too full for the download.
    """
    root = expanded(name_or_path)
    if not root.is_dir():
        root = _download(str(name_or_path), revision, parts=(TRANSFORMER_FOLDER,))
    folder = root / TRANSFORMER_FOLDER
    if not folder.is_dir() and (root / "config.json").is_file():
        folder = root
    if not folder.is_dir():
        raise ModelError(
            f"{root} lacks the sub-folder {TRANSFORMER_FOLDER}", hint="Only the transformer is needed there."
        )
    read_transformer_config(folder)
    for path in weight_files(folder, variant=variant):
        read_header(path)
    return folder


def _download(name: str, revision: str | None, *, parts: tuple[str, ...] = SUB_FOLDERS) -> Path:
    """The local snapshot of a hub repository; only what is read of the wanted sub-folders is fetched."""
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"no folder {name}, and it is not the id of a hub repository (OWNER/NAME)", hint=LAYOUT_HINT)
    # Imported here: a folder needs no hub, and the import takes a tenth of a second.
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=allow_patterns(parts)))
    # Any exception: by version the client lets through the classes of several HTTP libraries.
    except Exception as error:
        if is_disk_failure(error):
            raise as_disk_error(error, action="downloading the model", path=name) from error
        raise _no_way_to_hub(name, error) from error


def _no_way_to_hub(name: str, error: Exception) -> ModelError:
    reason = (str(error).strip() or repr(error)).splitlines()[0]
    return ModelError(
        f"{name} is no folder here and could not be fetched from the hub: {reason}",
        hint="Check the name and the network (and HF_HUB_OFFLINE). Offline: copy the repository from another machine"
        f" and give its folder. {LAYOUT_HINT}",
    )


def read_transformer_config(folder: Path) -> TransformerConfig:
    """The configuration of a transformer folder.

    Raises:
        ModelError: ``config.json`` is missing, unreadable or contradicts itself.
    """
    return TransformerConfig.from_dict(read_config(folder))


def load_transformer(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    with_projectors: bool = False,
    quantisation: Quantisation | None = None,
    num_waiting: int = 0,
) -> AceStepTransformer:
    """Load the transformer straight to its dtype and device, tensor by tensor; in eval mode.

    The module is built without memory and each parameter takes the tensor that was read: host memory never holds more
    than the model itself (on the CPU) or one tensor (on a device). Never-used projections are not read at all.
    What became of a kept copy of the quantised weights is said in the model's ``notices``.

    Args:
        checkpoint: Where the files are.
        dtype: That of every parameter; of those that are not quantised, with ``quantisation``.
        device: Where the model computes.
        with_projectors: Read the self-supervised projectors too.
        quantisation: Store most weights with fewer digits: each is rounded as it is read.
        num_waiting: So many blocks stay in main memory, for `engine.memory.block_swap`.

    Raises:
        ModelError: The files are missing or damaged, or their tensors do not fit the configuration.
        OutOfMemoryError: Main memory has no room for the blocks that wait there.
    """
    config = read_transformer_config(checkpoint.transformer)
    entries = _entries(checkpoint)
    with torch.device("meta"):
        model = AceStepTransformer(config, with_projectors=with_projectors)
    _check_names(entries, config, checkpoint.transformer, with_projectors=with_projectors)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    if quantisation is not None:
        put_quantised_layers(model, quantisation)
    device = torch.device(device)
    here = tuple(f"transformer_blocks.{index}." for index in swapped_blocks(num_waiting, config.num_layers))
    blocks = quantised_blocks(model)
    if device.type != "cpu":
        plain = {name: shape for name, shape in shapes.items() if name.startswith(here)}
        require_room_for_blocks(_bytes_of(model, plain, dtype), len(here))
    copy = None if quantisation is None else _copy_of(checkpoint, quantisation, blocks)
    with TensorReader() as reader:
        for name, shape in shapes.items():
            path, _, leaf = name.rpartition(".")
            owner = model.get_submodule(path)
            if not isinstance(owner, QuantisedLinear) or leaf != "weight":
                tensor = reader.read(entries[name]).view(shape)
                place = torch.device("cpu") if name.startswith(here) else device
                setattr(owner, leaf, nn.Parameter(tensor.to(device=place, dtype=dtype)))
        for block, layers in blocks.items():
            place = torch.device("cpu") if f"{block}.".startswith(here) else device
            if copy is not None and copy.fill(block, layers, device=place, dtype=dtype):
                continue
            for name, layer in layers.items():
                weight = reader.read(entries[f"{name}.weight"]).view(layer.out_features, layer.in_features)
                layer.store(weight, device=device, dtype=dtype)
                layer.to(place)  # rounded where that is quick, then sent away
            if copy is not None:
                copy.write(block, layers)
    model.notices = () if copy is None else tuple(copy.notices)
    return model.eval()


def _bytes_of(model: AceStepTransformer, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> int:
    """Bytes of some of a model's parameters as they are stored."""
    total = 0
    for name, shape in shapes.items():
        owner = model.get_submodule(name.rpartition(".")[0])
        is_stored = isinstance(owner, QuantisedLinear) and name.endswith(".weight")
        total += codes_bytes(owner) if is_stored else math.prod(shape) * dtype.itemsize
    return total


def _copy_of(checkpoint: Checkpoint, quantisation: Quantisation, blocks: Mapping[str, Layers]) -> QuantisedCopy | None:
    """The kept copy of a quantised transformer, with room made for what it lacks; None where none is wanted."""
    if quantisation.copies is None:
        return None
    files = weight_files(checkpoint.transformer, variant=checkpoint.variant)
    copy = QuantisedCopy(quantisation.copies, transformer=checkpoint.transformer, files=files, bits=quantisation.bits)
    copy.make_room(list(blocks.values()))
    return copy


def load_codec(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    parts: tuple[Part, ...] = BOTH_PARTS,
) -> MusicCodec:
    """Load the audio codec; ``parts`` leaves the encoder or the decoder (with the vocoder) out.

    Raises:
        ModelError: A file is missing or damaged, or its tensors do not fit its configuration.
    """
    return MusicCodec.from_folders(
        checkpoint.dcae, checkpoint.vocoder, dtype=dtype, device=device, parts=parts, variant=checkpoint.variant
    )


def load_text_encoder(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    max_length: int = 256,
    quantisation: Quantisation | None = None,
) -> TextEncoder:
    """Load the text encoder and its tokenizer; captions are cut to ``max_length`` tokens.

    Raises:
        ModelError: A file is missing or damaged, or its tensors do not fit its configuration.
    """
    return TextEncoder.from_folder(
        checkpoint.text_encoder,
        dtype=dtype,
        device=device,
        max_length=max_length,
        quantisation=quantisation,
        variant=checkpoint.variant,
    )


def save_transformer(model: AceStepTransformer, source: Checkpoint, folder: Path, *, dtype: torch.dtype) -> None:
    """Write a fully trained transformer as a folder that loads wherever the original does.

    Holds every tensor of a checkpoint: the model's own in the checkpoint's shapes, the never-used projections and the
    projectors it was built without as they stand in ``source``. ``config.json`` is the source's, byte for byte.

    Args:
        model: Without an adapter inside.
        source: What the model was loaded from.
        folder: The transformer folder to fill, such as ``checkpoint-500/ace_step_transformer``.
        dtype: What is stored.

    Raises:
        ModelError: ``source`` is no longer readable.
        DiskError: The disk is full or not writable; what stood in ``folder`` is as it was.
    """
    config = model.config
    trained = dict(model.named_parameters())
    entries = _entries(source)
    shapes = checkpoint_shapes(config)
    copied = [name for name in shapes if name not in trained]
    missing = [name for name in copied if name not in entries]
    if missing:
        raise ModelError(f"{source.transformer} lacks tensors to copy through: {', '.join(missing[:3])}")
    with TensorReader() as reader:

        def produce(name: str) -> Tensor:
            if name in trained:
                return trained[name].reshape(checkpoint_shape(name, tuple(trained[name].shape), config))
            return reader.read(entries[name])

        write_tensors(folder / DIFFUSERS_WEIGHTS, shapes, produce, dtype=dtype)
    write_atomic(folder / "config.json", (source.transformer / "config.json").read_bytes(), action="saving the model")


def _entries(checkpoint: Checkpoint) -> dict[str, TensorEntry]:
    """Every tensor of a checkpoint's transformer by name, over all its files."""
    files = weight_files(checkpoint.transformer, variant=checkpoint.variant)
    return {name: entry for path in files for name, entry in read_header(path).items()}


def _check_names(
    entries: Mapping[str, TensorEntry], config: TransformerConfig, folder: Path, *, with_projectors: bool
) -> None:
    """Compare a file with what its configuration announces; what will not be read may be absent."""
    shapes = checkpoint_shapes(config)
    optional = unused_shapes(config).keys() | {name for name in shapes if is_projector(name) and not with_projectors}
    wrong = [
        f"{name} is {entries[name].shape}, not {shape}"
        for name, shape in shapes.items()
        if name in entries and entries[name].shape != shape
    ]
    groups = {
        "missing": sorted(shapes.keys() - optional - entries.keys()),
        "unexpected": sorted(entries.keys() - shapes.keys()),
        "of another shape": wrong,
    }
    problems = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in groups.items() if names]
    if problems:
        raise ModelError(
            f"{folder} does not fit its config.json: tensors {'; '.join(problems)}",
            hint="The weights and config.json beside them must come from the same model. Download the folder again.",
        )
