"""Lesson 15: no words, one stem, none or all in the validation part, ties, short words."""

from collections import Counter
from itertools import accumulate

from hypothesis import strategies as st

from . import Edge, whole


def stem(word):
    return word[:1]


@st.composite
def _words(draw):
    words = draw(st.lists(st.text("abC", min_size=1, max_size=4), unique=True, max_size=12))
    return words, stem, draw(whole(0, len(words))), draw(whole(0, 9))


def _promise(words, stem, valid, seed):
    """Every word once, no stem on both sides, no stem more than are needed."""
    return [True, True, True]


def _kept(result, words, stem, valid, seed):
    train, asked = result
    sizes = Counter(map(stem, asked))
    # some stem came last: without it the part would be too small
    needed = not asked or any(len(asked) - size < valid for size in sizes.values())
    return [
        sorted([*train, *asked]) == sorted(words),
        not {*map(stem, train)} & {*map(stem, asked)},
        len(asked) >= valid and needed,
    ]


@st.composite
def _endings(draw):
    word = st.text("ab", max_size=4)
    train = draw(st.lists(st.tuples(word, whole(0, 3)), min_size=1, max_size=12))
    return train, draw(st.lists(word | st.just("zz"), max_size=6)), draw(whole(0, 4))


def _by_sorting(train, asked, longest):
    """The votes of the words that share the most letters at the end."""

    def shared(one, other):
        pairs = zip(one[::-1][:longest], other[::-1][:longest], strict=False)
        return sum(accumulate((a == b for a, b in pairs), min))

    answers = []
    for word in asked:
        most = max(shared(word, other) for other, _ in train)
        votes = [kind for other, kind in train if shared(word, other) == most]
        answers.append(min(votes, key=lambda kind: (-votes.count(kind), kind)))
    return answers


EDGES = {
    "split_by_stem": Edge(_words(), _promise),
    "by_ending": Edge(_endings(), _by_sorting),
}
SEEN = {"split_by_stem": _kept}
