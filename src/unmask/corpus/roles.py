"""Which token of a tokenizer plays which role: padding, the unknown, both ends of a text, the mask.

A tokenizer.json has no field for roles. They are read from its post-processor and from the names of the known families,
and before all from the files that Hugging Face keeps beside it. What bites: a corpus and a run keep tokenizer.json
alone, so roles that only those files know are written into its post-processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, processors

from unmask.errors import ModelError

Role = Literal["pad", "unk", "cls", "sep", "mask"]
Roles = dict[Role, int]

NAMES: dict[Role, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>", "<|padding|>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<cls>", "<s>", "<bos>"),
    "sep": ("[SEP]", "<sep>", "</s>", "<eos>"),
    "mask": ("[MASK]", "<mask>"),
}
"""What the tokens are called in the known families; the first one that a vocabulary holds counts."""

_DECLARED: dict[Role, tuple[str, ...]] = {
    "pad": ("pad_token",),
    "unk": ("unk_token",),
    "cls": ("cls_token", "bos_token"),
    "sep": ("sep_token", "eos_token"),
    "mask": ("mask_token",),
}
_FILES = ("tokenizer_config.json", "special_tokens_map.json")  # the first one that speaks of a role counts


def roles_of(tokenizer: Tokenizer) -> Roles:
    """Return the ids of the tokens whose roles ``tokenizer`` itself shows; a role that none plays is left out."""
    state = json.loads(tokenizer.post_processor.__getstate__()) if tokenizer.post_processor else {}
    roles = _by_name(tokenizer) | _by_processor(state)
    unknown = getattr(tokenizer.model, "unk_token", None)
    number = tokenizer.token_to_id(unknown) if unknown else None
    if "unk" not in roles and number is not None and number not in roles.values():
        roles["unk"] = number
    return roles


def _by_name(tokenizer: Tokenizer) -> Roles:
    ids = tokenizer.get_vocab(with_added_tokens=True)
    roles: Roles = {role: ids[name] for role, names in NAMES.items() for name in reversed(names) if name in ids}
    special = {n: token.content.lower() for n, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    likely: tuple[Role, ...] = ("mask", "pad")  # as in <|mask|>
    for role in likely:
        found = [number for number, name in special.items() if role in name]
        if role not in roles and len(found) == 1:
            roles[role] = found[0]
    return roles


def _by_processor(state: dict[str, Any]) -> Roles:
    """Return the roles that the ``state`` of a post-processor tells: what it puts before and behind a text."""
    roles: Roles = {}
    for part in state.get("processors", ()):
        roles |= _by_processor(part)
    if "cls" in state:
        roles |= {"cls": state["cls"][1], "sep": state["sep"][1]}
    if "single" in state:
        ids = {name: entry["ids"][0] for name, entry in state["special_tokens"].items()}
        pieces = [next(iter(piece.values()))["id"] for piece in state["single"]]
        text = pieces.index("A")
        if before := pieces[:text]:
            roles["cls"] = ids[before[0]]
        if behind := pieces[text + 1 :]:
            roles["sep"] = ids[behind[0]]
        roles |= {role: ids[role] for role in NAMES if role in ids}
    return roles


def declared_roles(file: Path, ids: Mapping[str, int]) -> Roles:
    """Return the roles that the Hugging Face files beside the tokenizer ``file`` declare.

    A token that is not among ``ids`` plays none. Raises ModelError for a file that can not be read.
    """
    roles: Roles = {}
    for beside in (file.with_name(name) for name in reversed(_FILES)):
        declared = _declared_in(beside) if beside.is_file() else {}
        for role, keys in _DECLARED.items():
            if known := [ids[declared[key]] for key in keys if declared.get(key) in ids]:
                roles[role] = known[0]
    return roles


def _declared_in(file: Path) -> dict[str, str]:
    """Return what ``file`` says that each special token is."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        tokens = {key: entries.get(key) for keys in _DECLARED.values() for key in keys}
        return {
            key: str(token["content"] if isinstance(token, dict) else token) for key, token in tokens.items() if token
        }
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(f"{file}: can not be read as what Hugging Face writes beside a tokenizer ({error})") from None


def require_roles(roles: Roles) -> None:
    """Raise ModelError that names the tokens that are missing in ``roles``, and how to add them."""
    missing = [role for role in NAMES if role not in roles and role != "unk"]
    if missing:
        names = [NAMES[role][0] for role in missing]
        raise ModelError(
            f"the tokenizer has no {', '.join(missing)} token; add it in Python: import tokenizers; "
            'found = tokenizers.Tokenizer.from_file("tokenizer.json"); '
            f'found.add_special_tokens({names}); found.save("tokenizer.json")'
        )


def write_roles(tokenizer: Tokenizer, roles: Roles) -> None:
    """Give ``tokenizer`` a post-processor that shows ``roles`` to roles_of."""
    tokens = {role: {"id": role, "ids": [n], "tokens": [tokenizer.id_to_token(n)]} for role, n in roles.items()}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="cls $A sep", pair="cls $A sep $B:1 sep:1", special_tokens=list(tokens.values())
    )
