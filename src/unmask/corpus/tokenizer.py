"""Tokenizers: trained on the corpus or brought along, and what the rest must know of their vocabulary.

All kinds come out the same to the byte every time but ``unigram``, since its trainer in the tokenizers library sums in
the order of a randomly seeded hash table. All read text in NFC, however it is typed. What bites: nobody relies on
post-processors, texts are encoded without special tokens and windows get their [CLS] and [SEP] when they are gathered.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from unmask.corpus.beside import OLDER, TOKENIZER, WAY_OUT, read_older, require_same_case, tokenizer_file
from unmask.corpus.roles import declared_roles, require_roles, roles_of, write_roles
from unmask.errors import ModelError
from unmask.settings import Settings

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
"""Special tokens of the tokenizers that are trained here; their ids are 0 to 4."""

_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|<extra_id_\d+>|<madeupword\d+>")
_ALPHABET_SHARE = 4  # single characters take at most one in four places of a WordPiece vocabulary, the rest is [UNK]
_BYTES = 256

_LETTER = r"[\w&&[^\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
_LONGEST_RUN = 32  # letters; a longer one is a sequence of symbols, no word
_WORD_OR_SYMBOL = Regex(rf"(?<!{_LETTER}){_LETTER}{{1,{_LONGEST_RUN}}}(?!{_LETTER})|\X")


class TokenizerSettings(Settings):
    """Which tokenizer a corpus gets."""

    kind: Literal["wordpiece", "bpe", "unigram", "characters"] = "wordpiece"
    """BERT's WordPiece, ModernBERT's byte-level BPE, a Unigram language model, or one token a character."""
    vocab_size: Annotated[int, Field(ge=64, le=1 << 24)] = 8192
    """Size of the vocabulary, special tokens included; less where the text does not give more."""
    lowercase: bool = False
    """Fold case (and, in WordPiece, accents) before tokens are made."""
    path: Path | None = None
    """A tokenizer.json to use as it stands, or the Hugging Face folder that holds one, instead of training one."""
    grow: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """How many words of the text, those that it cuts most, a tokenizer that is brought along learns as whole tokens."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        brought = {"path", "grow"}
        trained = {name: field.default for name, field in type(self).model_fields.items() if name not in brought}
        if self.path is not None and self.model_dump(exclude=brought) != trained:
            raise ValueError(f"path brings a finished tokenizer; leave out {', '.join(trained)}")
        if self.kind == "bpe" and self.vocab_size < _BYTES + len(SPECIAL):
            raise ValueError(f"vocab_size must be at least {_BYTES + len(SPECIAL)} for kind bpe, got {self.vocab_size}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What the tokens of a tokenizer are for."""

    size: int
    """One more than the highest id."""
    pad_id: int
    unk_id: int | None
    """None where a tokenizer knows every byte and has no such token."""
    cls_id: int
    sep_id: int
    mask_id: int
    special_ids: tuple[int, ...]
    """Every special token, [UNK] and unused ones included, ascending: never hidden, never drawn."""
    ordinary_ids: npt.NDArray[np.int32] = field(repr=False, compare=False)
    """(V,) all other ids, ascending: random replacements come from these alone."""


def train_tokenizer(texts: Sequence[str], settings: TokenizerSettings) -> Tokenizer:
    """Return a tokenizer of ``settings.kind`` trained on ``texts``."""
    kinds = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram, "characters": _characters}
    return kinds[settings.kind](texts, settings)


def word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """Return a tokenizer that knows exactly ``words``, one token each, and takes all else for [UNK]."""
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _finished(tokenizer)


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer in the file ``path`` or in the folder ``path``, its padding and truncation switched off.

    Roles of tokens that only the Hugging Face files beside it declare are written into its post-processor. Raises
    ModelError where there is none, it lacks a token that is needed, or those files say otherwise of its case.
    """
    file = tokenizer_file(path)
    try:
        text = read_older(file) if file.name in OLDER else file.read_text(encoding="utf-8")
        tokenizer = parse_tokenizer(text)
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename}: there is no such tokenizer; {WAY_OUT}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        kind = file.name if file.name in OLDER else TOKENIZER
        raise ModelError(f"{file}: can not be read as a {kind} ({error})") from None
    require_same_case(file, tokenizer)
    declared = declared_roles(file, tokenizer.get_vocab(with_added_tokens=True))
    shown = roles_of(tokenizer)
    try:
        require_roles(shown | declared)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None
    if shown | declared != shown:
        write_roles(tokenizer, shown | declared)
    return tokenizer


def parse_tokenizer(text: str) -> Tokenizer:
    """Return the tokenizer that ``text`` (JSON) describes, padding and truncation off. Raises ValueError."""
    described = json.loads(text)
    if not isinstance(described, dict) or "model" not in described:
        raise ValueError("it describes no model")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(str(error)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """Return the vocabulary, its special tokens found by their roles.

    Raises ModelError that names the tokens that are missing.
    """
    ids, roles = tokenizer.get_vocab(with_added_tokens=True), roles_of(tokenizer)
    require_roles(roles)
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= {number for token, number in ids.items() if _UNUSED.fullmatch(token)}
    special |= set(roles.values())
    return Vocabulary(
        size=max(ids.values()) + 1,
        pad_id=roles["pad"],
        unk_id=roles.get("unk"),
        cls_id=roles["cls"],
        sep_id=roles["sep"],
        mask_id=roles["mask"],
        special_ids=tuple(sorted(special)),
        ordinary_ids=np.array(sorted(set(ids.values()) - special), dtype=np.int32),
    )


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """Return the hexadecimal name of all that decides which ids a text gets; padding and truncation do not count."""
    described = json.loads(tokenizer.to_str())
    described.update(padding=None, truncation=None)
    return blake2b(json.dumps(described, sort_keys=True).encode("utf-8"), digest_size=16).hexdigest()


def _wordpiece(texts: Sequence[str], settings: TokenizerSettings) -> Tokenizer:
    """Return BERT's arrangement (Devlin et al. 2019).

    The trainer numbers ``##`` characters in the order of a randomly seeded hash table and breaks ties between merges by
    number. So a first run only finds the alphabet, and the second one is handed it in sorted order.
    """
    tokenizer = _bert_shell(models.WordPiece(unk_token=UNK), settings)
    visible = [character for character in _by_frequency(texts, tokenizer.normalizer) if not character.isspace()]
    kept = sorted(visible[: settings.vocab_size // _ALPHABET_SHARE])
    found = _train_wordpiece(tokenizer, texts, 0, SPECIAL, kept)
    alphabet = sorted(found.keys() - set(SPECIAL), key=lambda token: (token.startswith("##"), token))
    learned = _train_wordpiece(tokenizer, texts, settings.vocab_size, (*SPECIAL, *alphabet), kept)
    return _finished(_bert_shell(models.WordPiece(learned, unk_token=UNK), settings))


def _bert_shell(model: models.Model, settings: TokenizerSettings) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.BertNormalizer(lowercase=settings.lowercase)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _train_wordpiece(
    shell: Tokenizer, texts: Iterable[str], vocab_size: int, first: Sequence[str], alphabet: list[str]
) -> dict[str, int]:
    """Return the vocabulary learned from ``texts``, with the tokens ``first`` at its beginning."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer, tokenizer.pre_tokenizer = shell.normalizer, shell.pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=list(first),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return dict(tokenizer.get_vocab())


def _bpe(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    """Return ModernBERT's arrangement (Warner et al. 2024): byte-level, so nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _unicode(settings)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _finished(tokenizer)


def _unigram(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    """Return XLM-R's arrangement: a Unigram language model (Kudo 2018) with spaces shown as part of the words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = _unicode(settings)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=settings.vocab_size, special_tokens=list(SPECIAL), unk_token=UNK, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _finished(tokenizer)


def _characters(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    """Return a tokenizer of one token a character, white space included: merges are what BPE is here without.

    A word is a run of letters and digits, or what a reader takes for one symbol (an emoji, an ideograph, a mark). In
    scripts without spaces and in runs that are too long for a word, as in a protein, each symbol stands alone.
    """
    normalizer = _unicode(settings)
    kept = sorted(_by_frequency(texts, normalizer)[: settings.vocab_size - len(SPECIAL)])
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *kept))}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=UNK, fuse_unk=False))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_WORD_OR_SYMBOL, "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _finished(tokenizer)


def _by_frequency(texts: Iterable[str], normalizer: normalizers.Normalizer) -> list[str]:
    """Return the characters of ``texts``, the most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    return sorted(counts, key=lambda character: (-counts[character], character))


def _unicode(settings: TokenizerSettings) -> normalizers.Normalizer:
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if settings.lowercase else [])]
    return normalizers.Sequence(steps)


def _finished(tokenizer: Tokenizer) -> Tokenizer:
    """Declare the special tokens of a trained ``tokenizer`` and give it the template that other libraries rely on."""
    swallows_space = isinstance(tokenizer.decoder, decoders.ByteLevel | decoders.Metaspace)  # spaces are part of words
    tokenizer.add_special_tokens(
        [AddedToken(name, lstrip=swallows_space and name == MASK, normalized=False, special=True) for name in SPECIAL]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return tokenizer
