"""Roles of special tokens: from names, from the post-processor, from the files of Hugging Face, kept in one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.roles import roles_of
from unmask.corpus.tokenizer import TokenizerSettings, Vocabulary, load_tokenizer, tokenizer_fingerprint, vocabulary_of
from unmask.errors import ModelError


def tokenizer_of(*special: str, ordinary: tuple[str, ...] = ("a", "b")) -> Tokenizer:
    """Return a tokenizer with the tokens ``special``, then ``ordinary``, numbered as they stand."""
    tokenizer = Tokenizer(models.WordLevel({name: n for n, name in enumerate((*special, *ordinary))}, special[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def around(tokenizer: Tokenizer, template: str) -> Tokenizer:
    """Give ``tokenizer`` the post-processor ``template``."""
    names = [name for name in template.split() if name != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, tokenizer.token_to_id(name)) for name in dict.fromkeys(names)]
    )
    return tokenizer


def five(vocabulary: Vocabulary) -> tuple[int, int | None, int, int, int]:
    return (vocabulary.pad_id, vocabulary.unk_id, vocabulary.cls_id, vocabulary.sep_id, vocabulary.mask_id)


def test_both_ends_are_what_the_post_processor_adds_whatever_else_the_vocabulary_holds() -> None:
    """In Gemma's vocabulary <s> is a tag of HTML."""
    tokenizer = tokenizer_of("<pad>", "<unk>", "<bos>", "<eos>", "<mask>", ordinary=("<s>", "</s>", "a"))
    around(tokenizer, "<bos> $A <eos>")
    assert five(vocabulary_of(tokenizer)) == (0, 1, 2, 3, 4)
    assert vocabulary_of(tokenizer).ordinary_ids.tolist() == [5, 6, 7]


def test_a_sequence_of_processors_and_names_that_only_contain_the_role() -> None:
    tokenizer = tokenizer_of("<|unknown|>", "<|begin|>", "<|end|>", "<|pad|>", "<|mask|>")
    around(tokenizer, "<|begin|> $A <|end|>")
    ends = processors.Sequence([processors.ByteLevel(), tokenizer.post_processor])
    tokenizer.post_processor = ends
    assert five(vocabulary_of(tokenizer)) == (3, 0, 1, 2, 4)


def test_a_template_that_ends_with_a_language_names_no_start() -> None:
    tokenizer = around(tokenizer_of("<pad>", "<unk>", "<s>", "</s>", "<mask>", "en_XX"), "$A </s> en_XX")
    assert five(vocabulary_of(tokenizer)) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("kind", [processors.BertProcessing, processors.RobertaProcessing])
def test_the_older_processors_name_both_ends(
    kind: type[processors.BertProcessing | processors.RobertaProcessing],
) -> None:
    tokenizer = tokenizer_of("<pad>", "<unk>", "[s]", "[e]", "<mask>")
    tokenizer.post_processor = kind(("[e]", 3), ("[s]", 2))
    assert five(vocabulary_of(tokenizer)) == (0, 1, 2, 3, 4)


def test_of_two_known_names_the_first_counts() -> None:
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<pad>", "<unk>", "<s>", "</s>", "<mask>")
    assert five(vocabulary_of(tokenizer_of(*names))) == (0, 1, 2, 3, 4)


def test_two_tokens_with_mask_in_their_names_are_no_mask() -> None:
    assert "mask" not in roles_of(tokenizer_of("<unk>", "<mask_1>", "<mask_2>"))


@pytest.mark.parametrize("name", ["special_tokens_map.json", "tokenizer_config.json"])
def test_roles_that_the_files_beside_declare_stay_with_the_tokenizer(tmp_path: Path, name: str) -> None:
    tokenizer = tokenizer_of("<nil>", "<?>", "<from>", "<to>", "<blank>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    declared = {"pad_token": "<nil>", "unk_token": "<?>", "bos_token": "<from>", "eos_token": "<to>"}
    mask = {"content": "<blank>", "lstrip": True, "special": True}
    (tmp_path / name).write_text(json.dumps({**declared, "mask_token": mask, "sep_token": None}))
    loaded = load_tokenizer(tmp_path)
    assert five(vocabulary_of(loaded)) == (0, 1, 2, 3, 4)
    kept = tmp_path / "corpus" / "tokenizer.json"
    kept.parent.mkdir()
    loaded.save(str(kept))
    again = load_tokenizer(kept)
    assert five(vocabulary_of(again)) == (0, 1, 2, 3, 4)
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(loaded)
    assert again.encode("a b").ids == [2, 5, 6, 3]


def test_a_folder_that_transformers_wrote(tmp_path: Path) -> None:
    names = {"pad_token": "<nil>", "unk_token": "<?>", "cls_token": "<from>", "sep_token": "<to>"}
    tokenizer = tokenizer_of(*names.values(), "<blank>")
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="<blank>", **names)  # type: ignore[no-untyped-call]
    whole.save_pretrained(tmp_path)
    assert five(vocabulary_of(load_tokenizer(tmp_path))) == (0, 1, 2, 3, 4)


def test_the_configuration_counts_before_the_map_and_a_token_that_is_not_there_for_nothing(tmp_path: Path) -> None:
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[GAP]", "[HOLE]")
    tokenizer_of(*names).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"mask_token": "[GAP]", "pad_token": "[NONE]"}))
    assert five(vocabulary_of(load_tokenizer(tmp_path))) == (0, 1, 2, 3, 5)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": "[HOLE]"}))
    assert five(vocabulary_of(load_tokenizer(tmp_path))) == (0, 1, 2, 3, 6)


def test_a_tokenizer_that_shows_its_roles_is_kept_as_it_is(tmp_path: Path) -> None:
    names = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
    before = around(tokenizer_of(*names), "<s> $A </s>")
    before.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"cls_token": "<s>", "mask_token": "<mask>"}))
    assert load_tokenizer(tmp_path).to_str() == before.to_str()


@pytest.mark.parametrize("content", ["{", "[]", '{"mask_token": {"lstrip": true}}'])
def test_a_damaged_file_beside_is_one_line(tmp_path: Path, content: str) -> None:
    tokenizer_of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text(content)
    with pytest.raises(ModelError, match=r"special_tokens_map.json: can not be read") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_the_refusal_of_a_missing_mask_says_to_do_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer_of("[PAD]", "[UNK]", "[SEP]").save("tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json: the tokenizer has no cls, mask token; add") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
    exec(re.sub(r".*in Python: ", "", str(caught.value)), {})
    assert five(vocabulary_of(load_tokenizer(tmp_path))) == (0, 1, 5, 2, 6)


def test_a_tokenizer_that_does_not_serve_is_refused_before_any_text_is_read(tmp_path: Path) -> None:
    tokenizer_of("[PAD]", "[UNK]", "[CLS]", "[SEP]").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("a b\n\n" * 20)
    told: list[str] = []
    with pytest.raises(ModelError, match="no mask token"):
        build_corpus(
            [Source(name="a", where=str(tmp_path / "text.txt"))],
            tmp_path / "out",
            CorpusSettings(),
            TokenizerSettings(path=tmp_path),
            progress=lambda stage, done, total: told.append(stage),
        )
    assert not told
