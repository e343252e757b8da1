# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patterns find what Python's ``re`` finds, and never backtrack."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import pattern
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples

PatternError, read_pattern = pattern.PatternError, pattern.read_pattern


@pytest.mark.parametrize(
    ("text", "searched", "found"),
    [
        ("", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^a.c$", "abc", True),
        ("^a.c$", "a\nc", False),
        ("(?s)^a.c$", "a\nc", True),
        ("b$", "b\n", False),
        ("(?m)^b$", "a\nb\nc", True),
        (r"\Ab\z", "b", True),
        (r"\Ab\z", "ab", False),
        (r"\bok\b", "is ok.", True),
        (r"\bok\b", "book", False),
        (r"\Bok", "book", True),
        ("(?i)ÄB[c-d]", "äbC", True),
        ("colou?r", "color", True),
        ("^(a|b)*c+$", "abbacc", True),
        ("^(a|b)*c+$", "abba", False),
        ("^a{2}$", "aa", True),
        ("^a{2,}$", "aaa", True),
        ("^a{2,3}$", "aaaa", False),
        ("^a{,3}$", "a{,3}", True),
        ("a{x", "a{x", True),
        ("^(?:ab){2}$", "abab", True),
        ("^(?P<name>a)$", "a", True),
        ("^.*?x$", "aax", True),
        (r"^v\d+\.\d+$", "v2.10", True),
        (r"^v\d+\.\d+$", "v٢.1", False),
        (r"^\w+\s\W\D\S$", "a_1 -x9", True),
        ("[]a]", "]", True),
        ("[^]a]", "]", False),
        ("^[a-c-]+$", "a-b", True),
        (r"^[\d\-x]+$", "1-x", True),
        (r"^[\]\\]+$", r"]\ "[:2], True),
        (r"\t\n", "\t\n", True),
        ("()*", "", True),
        ("(a*)*b", "aab", True),
        ("a||b", "", True),
        ("5xx|4..", "HTTP 404", True),
    ],
)
def test_what_is_found(text: str, searched: str, found: bool) -> None:
    assert read_pattern(text).found_in(searched) is found


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("(", "a bracket ( is not closed"),
        (")", "closes a bracket ) that was not opened"),
        ("a)b", "closes a bracket ) that was not opened"),
        ("[a", "it ends in the middle"),
        ("a\\", "it ends in the middle"),
        ("*a", "nothing stands before * to be repeated"),
        ("a**", "it repeats a repetition"),
        ("a{2}{3}", "it repeats a repetition"),
        ("a{3,2}", "at most less than at least"),
        ("a{1001}", "more than 1000 times"),
        ("a{" + "9" * 500 + "}", "more than 1000 times"),
        ("(a{100}){100}", "it is too large"),
        ("((((){1000}){1000}){1000}){1000}", "it is too large"),
        ("(" * 500, "more than 30 groups"),
        ("(?=a)", "not supported"),
        ("(?<=a)b", "not supported"),
        ("a(?i)b", "not supported"),
        (r"(a)\1", r"\1 is not supported"),
        (r"\pL", r"\p is not supported"),
        (r"[a-\d]", r"\d is not supported"),
        ("[z-a]", "the range z-a is the wrong way round"),
        ("[[:alpha:]]", "write a-z"),
        ("a" * 1001, "more than 1000 characters"),
    ],
)
def test_what_is_refused(text: str, clause: str) -> None:
    with pytest.raises(PatternError, match=re.escape(clause)):
        read_pattern(text)


@pytest.mark.parametrize(
    "text", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(a*)*$", "(.*a){20}c"]
)
def test_a_pattern_that_would_backtrack_is_followed(text: str) -> None:
    searched = read_pattern(text)
    assert not searched.found_in("a" * 3000 + "b")
    assert searched.cost("a" * 3000) < 1_000_000


@given(st.text(max_size=30), st.text(max_size=10))
@settings(max_examples=examples(300))
def test_no_text_raises_anything_else(text: str, searched: str) -> None:
    try:
        assert read_pattern(text).found_in(searched) in (True, False)
    except PatternError as error:
        assert "\n" not in str(error) or "\n" in text


atoms = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        r"\d",
        r"\w",
        r"\s",
        r"\.",
        "^",
        r"\b",
        "1",
        "[a-c1]",
    ]
)
patterns = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda p: f"({'|'.join(p)})")
        | st.tuples(
            inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])
        ).map(lambda p: f"(?:{p[0]}){p[1]}")
    ),
    max_leaves=8,
)


@given(
    patterns, st.text("ab1. c_\n", max_size=10), st.sampled_from(["", "(?i)", "(?s)"])
)
@settings(max_examples=examples(600))
def test_it_finds_what_re_finds(text: str, searched: str, flags: str) -> None:
    expected = re.search(flags + text, searched, re.ASCII) is not None
    assert read_pattern(flags + text).found_in(searched) is expected
