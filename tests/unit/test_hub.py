"""Models in Hugging Face's form: which files are read, what of them, and what is refused in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.made_text import sentences
from tests.published import LONGEST, configure, publish, tensors_of
from torch import Tensor

import unmask
from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer
from unmask.errors import ModelError, UserError
from unmask.inference.predictor import Predictor
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import convert, read_model
from unmask.model.config import EncoderConfig

TEXT = "The small array returns the large matrix."


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a published model, written once and not to be changed."""
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("published")
            publish(name, folders[name])
        return folders[name]

    return folder_of


@pytest.fixture
def copied(written: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that gives a folder of its own to a test."""
    return lambda name: shutil.copytree(written(name), tmp_path / "model")


def refused(folder: Path) -> str:
    """Return the one line in which the model in ``folder`` is refused."""
    with pytest.raises(ModelError) as raised:
        read_model(resolve(folder))
    line = str(raised.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def is_same(folder: Path, other: Path) -> bool:
    one, two = (read_model(resolve(where)).state_dict() for where in (folder, other))
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def rewrite(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file({name: value.clone() for name, value in edit(tensors_of(folder)).items()}, folder / "model.safetensors")


# Files


def split_up(folder: Path) -> None:
    tensors = tensors_of(folder)
    table = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for file in set(table.values()):
        save_file({name: value for name, value in tensors.items() if table[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    torch.save(tensors_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("rearrange", [split_up, pickled])
def test_other_arrangements_of_the_same_files_are_read(
    copied: Callable[[str], Path], written: Callable[[str], Path], rearrange: Callable[[Path], None]
) -> None:
    folder = copied("bert with its pooler")
    rearrange(folder)
    assert is_same(folder, written("bert with its pooler"))


def test_a_part_that_is_missing_is_named(copied: Callable[[str], Path]) -> None:
    folder = copied("bert")
    split_up(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors: is missing" in refused(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret"}}')
    assert "names no files beside it" in refused(folder)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.where, "it ran")


@pytest.mark.parametrize("protocol", ["torch", "plain"])
def test_a_pickle_with_code_in_it_is_refused_and_nothing_runs(copied: Callable[[str], Path], protocol: str) -> None:
    folder = copied("bert")
    sprung, path = folder / "sprung", folder / "pytorch_model.bin"
    if protocol == "torch":
        torch.save({**tensors_of(folder), "trap": Trap(sprung)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(sprung)))
    (folder / "model.safetensors").unlink()
    assert "pytorch_model.bin: holds more than plain tensors" in refused(folder)
    assert not sprung.exists()
    if protocol == "plain":
        pickle.loads(path.read_bytes())
        assert sprung.exists()  # the trap is a real one


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("model.safetensors", b"no tensors", "model.safetensors: can not be read"),
        ("pytorch_model.bin", b"", "pytorch_model.bin: can not be read"),
        ("pytorch_model.bin", b"PK\x03\x04 cut off", "pytorch_model.bin: can not be read"),
        ("config.json", b"[1]", "config.json: is damaged (it is not a JSON object)"),
        ("config.json", b"\xff", "config.json: is damaged (it is not a JSON object)"),
        ("tokenizer.json", b"{}", "tokenizer.json: can not be read as a tokenizer.json"),
    ],
)
def test_a_file_that_is_damaged_is_named(copied: Callable[[str], Path], name: str, data: bytes, line: str) -> None:
    folder = copied("bert")
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(data)
    assert line in refused(folder)


@pytest.mark.parametrize(
    ("name", "line"),
    [("tokenizer.json", "tokenizer.json: there is no such tokenizer"), ("model.safetensors", "holds no weights")],
)
def test_a_file_that_is_not_there_is_named(copied: Callable[[str], Path], name: str, line: str) -> None:
    folder = copied("bert")
    (folder / name).unlink()
    assert line in refused(folder)


def test_numbers_that_are_not_finite_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("bert")
    rewrite(folder, lambda tensors: {**tensors, "cls.predictions.bias": tensors["cls.predictions.bias"] / 0})
    assert "not finite, in decoder.bias" in refused(folder)


# Tensors

WORDS, BIAS = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
POSITIONS = torch.arange(LONGEST)[None]


@pytest.mark.parametrize(
    "edit",
    [
        lambda old: {
            name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
            for name, value in old.items()
        },
        lambda old: {**old, "cls.predictions.decoder.weight": old[WORDS].clone()},
        lambda old: {**old, "cls.predictions.decoder.bias": old[BIAS].clone()},
        lambda old: {name.replace(BIAS, "cls.predictions.decoder.bias"): value for name, value in old.items()},
        lambda old: {**old, "bert.embeddings.position_ids": POSITIONS},
        lambda old: {**old, "bert.pooler.dense.bias": torch.ones(48), "cls.seq_relationship.weight": torch.ones(2, 48)},
        lambda old: {name: value.double() for name, value in old.items()},
    ],
)
def test_other_writings_of_the_same_weights_are_read(
    copied: Callable[[str], Path], written: Callable[[str], Path], edit: Callable[[Any], Any]
) -> None:
    folder = copied("bert")
    rewrite(folder, edit)
    assert is_same(folder, written("bert"))


def test_what_is_carried_is_kept_as_it_was(copied: Callable[[str], Path]) -> None:
    folder = copied("bert alone")
    rewrite(folder, lambda old: {name: value.bfloat16() for name, value in old.items()})
    carried = convert(resolve(folder)).carried
    assert {name: value.dtype for name, value in carried.items()} == {
        "bert.pooler.dense.weight": torch.bfloat16,
        "bert.pooler.dense.bias": torch.bfloat16,
    }
    assert {value.dtype for value in read_model(resolve(folder)).state_dict().values()} == {torch.float32}


def without(*names: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda old: {name: value for name, value in old.items() if name not in names}


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (
            without("bert.encoder.layer.1.attention.self.key.bias"),
            "it lacks bert.encoder.layer.1.attention.self.key.bias",
        ),
        (without(BIAS), f"it lacks {BIAS}"),
        (
            lambda old: {name: value for name, value in old.items() if "layer.3." not in name},
            "it lacks bert.encoder.layer.3.attention.self.query.weight, ",
        ),
        (
            lambda old: {**old, "bert.encoder.layer.4.output.dense.bias": old[BIAS]},
            "it has, and should not, bert.encoder.layer.4.output.dense.bias",
        ),
        (lambda old: {**old, "classifier.weight": torch.ones(2, 48)}, "it has, and should not, classifier.weight"),
        (
            lambda old: {**old, "embeddings.word_embeddings.weight": old[WORDS]},
            "it has, and should not, embeddings.word_embeddings.weight",
        ),
        (
            lambda old: {**old, WORDS: old[WORDS][:-1]},
            f"it has in another shape than its configuration says {WORDS} (299, 48) for (300, 48)",
        ),
        (
            lambda old: {**old, "bert.encoder.layer.0.attention.self.query.weight": torch.ones(40, 48)},
            "self.query.weight (40, 48) for (48, 48)",
        ),
        (lambda old: {**old, BIAS: torch.ones(300, dtype=torch.int8)}, f"other than floating point numbers in {BIAS}"),
        (
            lambda old: {**old, "cls.predictions.decoder.weight": old[WORDS] + 1},
            f"it ties in name only cls.predictions.decoder.weight to {WORDS}",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_listed(
    copied: Callable[[str], Path], edit: Callable[[Any], Any], line: str
) -> None:
    folder = copied("bert")
    rewrite(folder, edit)
    assert line in refused(folder)


def test_a_long_list_is_counted(copied: Callable[[str], Path]) -> None:
    folder = copied("bert")
    configure(folder, num_hidden_layers=5)
    assert refused(folder).endswith(" and 11 more")


# Configurations


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("bert", {"model_type": "gpt2"}, "config.json: its model_type is 'gpt2'; what can be read is bert, camembert"),
        ("bert", {"model_type": None}, "its model_type is 'None'"),
        ("bert", {"hidden_act": "relu"}, "hidden_act must be 'gelu', the only one that is computed here, got 'relu'"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type must be 'absolute'"),
        ("bert", {"tie_word_embeddings": False}, "tie_word_embeddings must be True"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention must be False"),
        ("bert", {"hidden_size": "48"}, "hidden_size must be a whole number of at least 1, got '48'"),
        ("bert", {"hidden_size": None}, "hidden_size must be a whole number of at least 1, got None"),
        ("bert", {"layer_norm_eps": 0}, "layer_norm_eps must be a number above 0, got 0"),
        ("bert", {"is_decoder": 1}, "is_decoder must be true or false, got 1"),
        ("bert", {"num_attention_heads": 5}, "hidden_size must be a multiple of model.num_attention_heads"),
        ("roberta", {"pad_token_id": 0}, "pad_token_id is 0, and the tokenizer pads with 1; it is another model's"),
        ("roberta", {"max_position_embeddings": 2}, "max_position_embeddings must leave room behind the first 2"),
        ("modernbert", {"norm_bias": True}, "norm_bias must be False"),
        ("modernbert", {"mlp_bias": True}, "mlp_bias must be False"),
        ("modernbert", {"attention_bias": True}, "attention_bias must be False"),
        ("modernbert", {"classifier_bias": True}, "classifier_bias must be False"),
        ("modernbert", {"decoder_bias": False}, "decoder_bias must be True"),
        ("modernbert", {"hidden_activation": "silu"}, "hidden_activation must be 'gelu'"),
        ("modernbert", {"layer_types": ["sliding_attention"] * 4}, "layer_types must be full_attention at every n-th"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_parameters must be the"),
        ("modernbert", {"rope_scaling": {"type": "linear"}}, "rope_scaling must be None"),
        ("distilbert", {"activation": "relu"}, "activation must be 'gelu'"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(
    copied: Callable[[str], Path], name: str, values: dict[str, Any], line: str
) -> None:
    folder = copied(name)
    configure(folder, **values)
    with pytest.raises(ModelError) as raised:
        resolve(folder)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "thetas"),
    [
        ({"global_rope_theta": 5e4, "local_rope_theta": 2e3}, (5e4, 2e3)),
        ({"global_rope_theta": 5e4, "local_rope_theta": None}, (5e4, 5e4)),
        ({}, (160_000.0, 10_000.0)),
    ],
)
def test_an_older_configuration_of_modernbert_is_read(
    copied: Callable[[str], Path], values: dict[str, float | None], thetas: tuple[float, float]
) -> None:
    folder = copied("modernbert")
    found = json.loads((folder / "config.json").read_text())
    for newer in ("rope_parameters", "layer_types"):
        del found[newer]
    (folder / "config.json").write_text(json.dumps({**found, "global_attn_every_n_layers": 2, **values}))
    config = resolve(folder).config
    assert (config.global_rope_theta, config.local_rope_theta) == thetas
    assert config.layer_kinds == ("global", "local", "global", "local")


def test_the_shape_is_that_of_the_configuration(written: Callable[[str], Path]) -> None:
    roberta, electra, distilbert = (resolve(written(name)).config for name in ("roberta", "electra", "distilbert"))
    assert (roberta.position_offset, roberta.longest_row, roberta.norm_eps, roberta.pad_id) == (2, LONGEST, 1e-5, 1)
    assert (electra.embedding_width, electra.hidden_size) == (32, 48)
    assert (distilbert.type_vocab_size, distilbert.num_hidden_layers) == (0, 3)
    assert resolve(written("electra of one width")).config.embedding_size is None
    with pytest.raises(ModelError, match=f"rows of {LONGEST + 1} tokens do not fit"):
        roberta.check_row_length(LONGEST + 1)


def test_a_configuration_of_an_older_run_still_opens() -> None:
    old: dict[str, Any] = {"family": "bert", "vocab_size": 9, "pad_id": 0, "hidden_size": 4, "num_hidden_layers": 1}
    config = EncoderConfig(**old, num_attention_heads=1, intermediate_size=4, max_position_embeddings=8)
    assert (config.eps, config.embedding_width, config.longest_row) == (1e-12, 4, 8)


# Tokenizers


@pytest.mark.parametrize("size", [350, 64])
def test_the_tokenizer_of_another_model_is_refused(copied: Callable[[str], Path], size: int) -> None:
    folder = copied("bert")
    train_tokenizer(sentences(400), TokenizerSettings(vocab_size=size)).save(str(folder / "tokenizer.json"))
    if size < 300:
        configure(folder, vocab_size=300 + 1024)
    line = refused(folder)
    assert f"its tokenizer has {resolve_size(folder)} tokens and its model" in line
    assert line.endswith("it is another model's tokenizer")


def resolve_size(folder: Path) -> int:
    return len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])


def test_a_table_that_is_larger_than_its_tokenizer_never_speaks_of_the_rest(tmp_path: Path) -> None:
    publish("bert", tmp_path, vocab_size=320)
    rewrite(tmp_path, lambda old: {**old, BIAS: torch.cat([old[BIAS][:300], torch.full((20,), 50.0)])})
    model = unmask.load(tmp_path)
    assert isinstance(model, Predictor)
    [answers] = model.fill([TEXT.replace("small", "[MASK]")], top_k=295)
    assert max(answer["token"] for answer in answers) < 300
    assert model.score([TEXT])[0]["score"] < 0


# Use


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "distilbert", "electra"])
def test_it_fills_scores_and_embeds(written: Callable[[str], Path], name: str) -> None:
    model = unmask.load(written(name))
    assert isinstance(model, Predictor)
    [answers] = model.fill([TEXT.replace("small", model.mask_token)])
    assert answers[0]["score"] >= answers[-1]["score"] > 0
    assert model.score([TEXT])[0]["tokens"] > 5
    assert model.embed([TEXT]).shape == (1, 48)
    assert model.info["model_type"] == name


def test_an_encoder_without_a_head_embeds_and_does_not_guess(written: Callable[[str], Path]) -> None:
    model = unmask.load(written("bert alone"))
    assert isinstance(model, Predictor)
    assert model.embed([TEXT]).shape == (1, 48)
    for ask in (lambda: model.fill(["The [MASK]."]), lambda: model.score([TEXT])):
        with pytest.raises(ModelError, match="published without a head.*unmask pretrain --init MODEL"):
            ask()
    assert is_same(written("bert alone"), written("bert alone"))  # its new head is the same every time


# The hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of a cache of the hub that is this test's own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def test_a_name_on_the_hub_is_answered_from_the_cache(
    hub: Path, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = hub / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(written("bert"), cached / "snapshots" / ("0" * 40))
    found = resolve(Path("some/model"))
    assert found.origin["path"] == "some/model"
    assert found.weights[0].is_relative_to(hub)
    model = unmask.load("some/model")
    assert model.embed([TEXT]).shape == (1, 48)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("some/other", "some/other: there is no such folder, it is not whole in the cache of the hub, and the hub can"),
        ("other", "other: there is no such model; give a run, a Hugging Face folder, or ORG/NAME on its hub"),
        ("a/b/c", "a/b/c: there is no such model; give"),
        ("some/mo--del", "some/mo--del: can not be fetched from the hub"),
        (".", ".: is not a model (there is no run.json in it, and no config.json)"),
    ],
)
def test_a_name_that_names_nothing_is_answered_in_one_line(hub: Path, name: str, line: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(Path(name))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
