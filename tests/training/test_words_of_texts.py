"""Are texts cut into words and numbered as they must be?"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets.reads import Tokens
from rai_bigmodel.training.words import cut, decode, encode, vocabulary


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't know, Zoë!", ["i", "don't", "know", ",", "zoë", "!"]),
        ("我是德国人。", ["我", "是", "德", "国", "人", "。"]),
        ("GPT-4 写得很好", ["gpt", "-", "4", "写", "得", "很", "好"]),
        ("カフェで会う", ["カ", "フ", "ェ", "で", "会", "う"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_words_are_cut_by_script(text: str, words: list[str]) -> None:
    """English at spaces and signs, Chinese and Japanese at every character."""
    assert cut(text, level="word") == words


def test_two_ways_of_writing_one_letter_are_one_word() -> None:
    """An accent may be a code point of its own; NFC makes them one."""
    assert cut("Zoe\u0308", level="word") == cut("Zoë", level="word")


def test_characters_stay_as_they_are() -> None:
    """Case, spaces and line ends are part of what a language model gives back."""
    assert cut("Ab c\n", level="character") == ["A", "b", " ", "c", "\n"]


def test_the_most_frequent_words_come_first_and_equals_in_alphabetical_order() -> None:
    """So the same texts in another order give the same ids."""
    texts = ["b a", "c a", None, "b c d"]

    assert vocabulary(texts, level="word", size=3) == ("a", "b", "c")
    assert vocabulary(texts[::-1], level="word", size=10) == ("a", "b", "c", "d")


def test_ids_are_padded_behind_and_cut_off_at_the_length() -> None:
    """0 is padding, 1 an unknown word, 2 the first word."""
    tokens = Tokens(words=("you", "are"), length=3)

    ids = encode(["You are kind you", "are", "", None], tokens)

    assert ids.dtype == np.int64
    assert ids.tolist() == [[2, 3, 1], [3, 0, 0], [1, 0, 0], [1, 0, 0]]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_known_characters_come_back(texts: list[str]) -> None:
    """Encoding and decoding gives each text back, in its normal form."""
    if not any(texts):
        return
    tokens = Tokens(words=vocabulary(texts, level="character", size=1_000), length=80, level="character")

    back = decode(encode(texts, tokens), tokens)

    assert back == ["".join(cut(t, level="character")) or "\ufffd" for t in texts]


def test_without_a_word_there_is_no_vocabulary() -> None:
    """One clear line."""
    with pytest.raises(InputError, match="no word in any of the texts"):
        vocabulary(["", None, "  "], level="word", size=10)
    with pytest.raises(InputError, match="size must be positive, got 0"):
        vocabulary(["a"], level="word", size=0)


def test_texts_are_numbered_without_torch() -> None:
    """An exported file is run where torch is not installed."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from rai_bigmodel.training.words import encode\n"
        "from rai_bigmodel.nets import Tokens\n"
        "print(encode(['b'], Tokens(words=('b',), length=1)).tolist())"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)

    assert done.stdout.strip() == "[[2]]", done.stderr
