"""``unmask corpus``: builds a corpus directory from text, and shows what is in one.

What bites: ``notes=0.9`` is a source with a weight, ``corpus.test=0.1`` a setting; the group before the dot decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.canaries import canaries
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, count, progress_for
from unmask.corpus.build import CorpusSettings, Progress, Source, cached_corpus
from unmask.corpus.build import build_corpus as build_directory
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.segment import spaceless_share
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError, RunError, SettingError, did_you_mean
from unmask.settings import Changes, Settings, read_settings

Where = str | PathLike[str]

MAX_LINES = 20
"""Lines of a table on the terminal; the manifest has them all."""

LOOKED_AT = 200
"""Held-out documents that are looked at for scripts without spaces."""
MUCH_SPACELESS = 0.05
"""Share of such characters from which it is worth a line."""

corpus = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Build a corpus from text, and show what is in it."
)


class CorpusRecipe(Settings):
    """The settings that a corpus is built with."""

    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()


@corpus.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE|group.key=value",
            help="A file, a folder, a 'glob', - for standard input, or docstrings; SOURCE=WEIGHT in a mixture.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The corpus directory to make.")],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Build a corpus directory from text."""
    terminal = Terminal(json=json, quiet=quiet)
    named, recipe = parse_words(sources)
    with terminal.progress() as progress:
        built = build_directory(named, out, recipe.corpus, recipe.tokenizer, progress)
    _show(terminal, built)


def build_corpus(
    sources: Where | Sequence[Where] | Mapping[str, float],
    out: Where,
    *,
    settings: Changes = (),
    progress: bool | Report = True,
) -> Corpus:
    """Build the corpus directory ``out`` from text and open it.

    A source is a file, a folder, a glob or ``docstrings``; a mapping gives each one its weight in the mixture.
    ``settings`` are of the groups corpus and tokenizer. ``progress`` is shown, or not, or told to a function of (stage,
    done, total). Raises UserError where ``out`` exists, a source can not be read or holds too little.
    """
    recipe = read_settings(CorpusRecipe, overrides=settings)
    several = [sources] if isinstance(sources, str | PathLike) else sources
    weighed = several.items() if isinstance(several, Mapping) else [(fspath(where), None) for where in several]
    with progress_for(progress) as told:
        return build_directory(name_sources(list(weighed)), Path(out), recipe.corpus, recipe.tokenizer, told)


@corpus.command()
def show(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A corpus directory.")],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what a corpus is made of."""
    _show(Terminal(json=json, quiet=quiet), open_corpus(directory))


corpus.command()(canaries)


def print_card(terminal: Terminal, shown: Corpus) -> None:
    """Print the data card of a corpus."""
    manifest = shown.manifest
    terminal.result(f"{shown.directory}: vocabulary {count(manifest.vocab_size)}, fingerprint {manifest.fingerprint}")
    terminal.result(_what_became_of(manifest.documents))
    _print_rows(
        terminal,
        ["source", "where", "weight", "documents", "characters"],
        [
            (of["name"], of["where"], _weight(of["weight"]), count(of["documents"]), count(of["characters"]))
            for of in manifest.sources
        ],
        words=2,
    )
    _print_rows(
        terminal,
        ["split", "documents", "tokens", "words", "8-grams also in train"],
        [
            (
                name,
                *(count(of[key]) for key in ("documents", "tokens", "words")),
                _share(manifest.overlap_8gram.get(name)),
            )
            for name, of in manifest.splits.items()
        ],
    )
    if manifest.refused:
        _print_rows(
            terminal,
            ["refused", "first at", "times"],
            [(reason, of["first"], count(of["count"])) for reason, of in manifest.refused.items()],
            words=2,
        )


def say_what_words_are(terminal: Terminal, shown: Corpus) -> None:
    """Say what the word units hide in text without spaces, where there is a lot of it and no segmenter was asked."""
    texts = [record["text"] for record, _ in zip(shown.texts("validation"), range(LOOKED_AT), strict=False)]
    share = spaceless_share("".join(texts))
    if share > MUCH_SPACELESS and CorpusSettings.parse(shown.manifest.settings["corpus"]).words == "pretokenizer":
        one = float(shown.split("validation").num_tokens) / max(1, shown.manifest.splits["validation"]["words"])
        terminal.say(
            f"{share:.0%} of the text is in scripts without spaces. A word is what the pre-tokenizer takes for one, "
            f"here {one:.1f} tokens: units word and span hide that much at once. For Chinese, Japanese and Thai "
            "set corpus.words=segmenter (pip install 'unmask[segment]')."
        )


def open_or_build(where: str, settings: CorpusSettings, tokenizer: TokenizerSettings, progress: Progress) -> Corpus:
    """Return the corpus directory ``where``, or the corpus of the source ``where`` from the user's cache.

    Raises SettingError where a directory was built with other settings than those that were asked for.
    """
    if not (Path(where) / "manifest.json").is_file():
        return cached_corpus(name_sources([(where, None)]), settings, tokenizer, progress)
    opened = open_corpus(Path(where))
    for name, asked in (("corpus", settings), ("tokenizer", tokenizer)):
        built_with = type(asked).parse(opened.manifest.settings[name]).plain()
        for key in sorted(asked.model_fields_set):
            if asked.plain()[key] != built_with[key]:
                raise SettingError(
                    f"{name}.{key} is {asked.plain()[key]!r}, and {where} was built with {built_with[key]!r}; "
                    "leave it out, or build another corpus"
                )
    return opened


def training_corpus(run: Path, recorded: Mapping[str, str]) -> Corpus:
    """Return the corpus that ``run`` was trained on, as it ``recorded`` it. Raises DataError where it is gone."""
    path = Path(recorded["path"])
    if not path.exists():
        raise DataError(path, f"is gone, and {run} was trained on it; bring it back (or evaluate with --corpus DIR)")
    return open_corpus(path)


def same_corpus(run: Path, recorded: Mapping[str, str]) -> Corpus:
    """Return the same. Raises RunError where it is another one now than ``run`` was started on."""
    corpus = training_corpus(run, recorded)
    if corpus.fingerprint != recorded["fingerprint"]:
        raise RunError(
            f"{corpus.directory}: is not the corpus that {run} was started on; bring that one back or start anew"
        )
    return corpus


def parse_words(words: Sequence[str]) -> tuple[list[Source], CorpusRecipe]:
    """Return the sources and the settings that the words of a command line name. Raises SettingError."""
    settings = [word for word in words if _is_setting(word)]
    sources = [_weighed(word) for word in words if not _is_setting(word)]
    if not sources:
        raise SettingError("there is no source; name a file, a folder, or docstrings")
    return name_sources(sources), read_settings(CorpusRecipe, overrides=settings)


def name_sources(weighed: Sequence[tuple[str, float | None]]) -> list[Source]:
    """Return sources under short names: a file's name without its suffixes, or in full where two would be the same."""
    short = [Path(where).name.partition(".")[0] or where for where, _ in weighed]
    return [
        Source(name=name if short.count(name) == 1 else where, where=where, weight=weight)
        for name, (where, weight) in zip(short, weighed, strict=True)
    ]


def _is_setting(word: str) -> bool:
    key, equals, _ = word.partition("=")
    group, dot, _ = key.partition(".")
    groups = CorpusRecipe.model_fields
    meant = group in groups or bool(did_you_mean(group, groups))
    return bool(equals and dot and meant) and not Path(word).exists() and not Path(key).exists()


def _weighed(word: str) -> tuple[str, float | None]:
    """Return a source and its weight, None where none is given."""
    where, equals, text = word.rpartition("=")
    if not equals or Path(word).exists():
        return word, None
    try:
        return where, float(text)
    except ValueError:
        raise SettingError(f"the weight of {where} must be a number above 0, got '{text}'") from None


def _show(terminal: Terminal, shown: Corpus) -> None:
    terminal.emit(shown.manifest.plain())
    print_card(terminal, shown)
    say_what_words_are(terminal, shown)
    terminal.next_step(f"unmask pretrain --corpus {shown.directory} --out RUN")


def _what_became_of(documents: dict[str, int]) -> str:
    return (
        f"{count(documents['read'])} documents read, {count(documents['exact_duplicates'])} exact copies dropped, "
        f"{count(documents['kept'])} kept.\n"
        f"{count(documents['near_duplicates'])} of these are near copies of others, and share their split."
    )


def _print_rows(terminal: Terminal, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> None:
    terminal.table(columns, rows[:MAX_LINES], words=words)
    if len(rows) > MAX_LINES:
        terminal.result(f"and {count(len(rows) - MAX_LINES)} more, in manifest.json")


def _weight(value: float | None) -> str:
    return "natural" if value is None else f"{value:g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
