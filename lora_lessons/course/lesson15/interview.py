"""The 20 interview questions: an answer, its measured row, a common wrong answer, a follow-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from . import interview_rows as rows


@dataclass(frozen=True)
class Question:
    """One question. `row` reads its numbers off a recording when it is shown."""

    asked: str
    lesson: str
    answer: str
    row: Callable[[], str]
    wrong: str
    follow_up: str


@dataclass(frozen=True)
class Interview:
    """Questions whose answers are folded; as text, all of them are open."""

    questions: Sequence[Question]

    def __repr__(self) -> str:
        return "\n\n".join(
            f"{place}. {q.asked} (lesson {q.lesson})\n{q.answer}\nMeasured: {q.row()}\n"
            f"Often said, and wrong: {q.wrong}\nThen asked: {q.follow_up}"
            for place, q in enumerate(self.questions, 1)
        )

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<details><summary>{place}. {escape(q.asked)}</summary>"
            f"<p>{escape(q.answer)} (Lesson {q.lesson}.)</p>"
            f"<p><b>Measured.</b> {escape(q.row())}</p>"
            f"<p><b>Often said, and wrong.</b> {escape(q.wrong)}</p>"
            f"<p><b>Then asked.</b> {escape(q.follow_up)}</p></details>"
            for place, q in enumerate(self.questions, 1)
        )


QUESTIONS = (
    Question(
        "Why does B start at zero, and not A as well?", "02",
        "The product BA must be zero at the start, so that training begins at the base model. One "
        "factor zero is enough. If both were, each gradient would contain the other factor, "
        "zero, and "
        "nothing would ever move.",
        rows.start,
        "\"So that no weight has a large gradient.\" At the first step B's gradient is as "
        "large as any.",
        "What would change if A were zero and B random?",
    ),
    Question(
        "What rank does the update of full fine-tuning have?", "01",
        "Full rank. What is true is weaker: a low-rank part of it holds much of what the "
        "loss gained. "
        "LoRA does not approximate that update; it looks for a good one of low rank, which is "
        "another search.",
        rows.spectrum,
        "\"Fine-tuning updates are low-rank, which is why LoRA works.\"",
        "How would you measure how much a truncated update keeps?",
    ),
    Question(
        "Is lora_alpha a learning rate?", "03",
        "Nearly, for AdamW, and of B's. AdamW's steps do not depend on the size of the "
        "gradient, so "
        "a larger alpha multiplies what a step of B does. It also multiplies what a step of "
        "A does, "
        "once B is not zero. So the best learning rate falls as alpha rises.",
        rows.alpha_rate,
        "\"alpha must be 2r.\" That is one rule to pair it with a rate, not a law.",
        "What is different with plain SGD?",
    ),
    Question(
        "You double r. What happens to the learning rate?", "03, 10",
        "It depends on the rule for alpha. With alpha fixed and alpha / r, the best rate "
        "stays over "
        "wide ranges of r. With alpha = 2r the scaling stays and the update grows with r, so "
        "the best "
        "rate falls.",
        rows.rank_rate,
        "\"More parameters, so a smaller rate.\" Count what the scaling does first.",
        "Why can a U-shaped curve over r be a curve over the learning rate?",
    ),
    Question(
        "What does lora_dropout do when you merge?", "04",
        "Nothing: it is off in evaluation, and a merged weight has no branch to drop. In "
        "training it "
        "acts on the input of the branch alone, and what it asks for is a penalty on the update.",
        rows.dropout,
        "\"The merged model must be scaled by 1 - p.\" The kept inputs were already divided by it.",
        "When is dropout worth trying, and what is beside it?",
    ),
    Question(
        "Which layers would you adapt?", "05",
        "At one budget of parameters, more layers with a lower rank: all linear layers, or "
        "the MLP. "
        "Then measure on the task, with the learning rate tuned for each choice: a verdict at one "
        "rate is a verdict on that rate.",
        rows.targets,
        "\"q_proj and v_proj, as in the paper.\" The paper compared few choices, on "
        "attention alone.",
        "Why must r differ between the choices?",
    ),
    Question(
        "You misspell one of two target modules. What happens?", "05",
        "In many libraries nothing is said: an entry that matches nothing is left out while "
        "another "
        "matches. You train half of what you meant. So ask for the list of what matched, and "
        "let an "
        "entry without a match be an error.",
        rows.typo,
        "\"It raises an error.\" Only where no entry at all matches.",
        "How does a string differ from a list of one?",
    ),
    Question(
        "What does bias=\"all\" cost you?", "06",
        "All biases of the base train, not only those of adapted layers. They are saved with the "
        "adapter, and switching the adapter off no longer gives the base back, since the "
        "base's own "
        "biases moved.",
        rows.biases,
        "\"It adds a bias to LoRA.\" It trains those that the base has; some bases have none.",
        "Which biases can have no gradient at all, and why?",
    ),
    Question(
        "What does task_type change?", "07",
        "The wrapper, and which new layers are saved with the adapter. It changes neither the loss "
        "nor the layers that are adapted: those belong to the model's class and to target_modules.",
        rows.task_type,
        "\"It selects the loss.\" The model's class does.",
        "For which task types does forgetting it lose something?",
    ),
    Question(
        "You reload a classifier's adapter, and it guesses. Why?", "08",
        "Its head was new. If neither the task type nor modules_to_save named it, it was "
        "trained or "
        "left random in memory, and not written. The next process draws another head. A new pooler "
        "needs naming too.",
        rows.random_head,
        "\"The adapter file is broken.\" It is whole; it never had the head.",
        "How would you test for this before shipping?",
    ),
    Question(
        "What is lost when you merge in bfloat16?", "09",
        "A weight keeps eight bits of precision. An update smaller than half a step of the weight "
        "rounds away. The loss may hardly notice; but subtracting the update again does not "
        "give the "
        "base back: keep a copy.",
        rows.merging,
        "\"Nothing, merging is exact algebra.\" It is, on paper.",
        "How do you unmerge to the last bit?",
    ),
    Question(
        "\"LoRA learns less and forgets less.\" At equal what?", "10",
        "After equal steps, each at its best rate, that is what was seen here. Part of it is "
        "moving "
        "less. At an equal loss on the target the order of the forgetting can turn: compare "
        "along the "
        "whole curve.",
        rows.forgets,
        "\"LoRA protects the base's knowledge.\" A rate that is low protects it too.",
        "Which rivals of LoRA belong in this comparison?",
    ),
    Question(
        "Is LoRA's learning rate ten times that of full fine-tuning?", "10",
        "It is higher, often several times. The factor depends on the scaling, on r, on the "
        "length of "
        "training and on the grid that was searched. Ten is a place to begin a search.",
        rows.ten_times,
        "\"Ten times, always.\"",
        "How do you know that the best rate is inside your grid?",
    ),
    Question(
        "Which memory does LoRA save?", "11",
        "Gradients and the optimizer's state of the frozen weights. Not the weights "
        "themselves, and "
        "hardly the activations: the backward pass still runs through every layer. So the "
        "saving is "
        "large where states dominate, and small in a small model with a large batch.",
        rows.memory,
        "\"All but one percent, since one percent trains.\"",
        "Out of memory at r = 8: what do you change first?",
    ),
    Question(
        "Your LoRA step is slower than full fine-tuning. How?", "11",
        "Each adapted layer starts several small kernels more. In a small model the processor that "
        "starts them is the limit. Captured in a graph, or with larger layers, that goes away.",
        rows.launches,
        "\"Impossible: it computes fewer gradients.\"",
        "What must a timing on a GPU wait for?",
    ),
    Question(
        "How many bits does a weight take in QLoRA, and where do they go?", "12",
        "Four of code, and its share of a scale: one float for a block of 64. Double quantization "
        "stores the scales in eight bits, in blocks of 256, with one float for each of those.",
        rows.bits,
        "\"Four.\"",
        "Why blocks at all?",
    ),
    Question(
        "May you merge an adapter into a 4-bit base?", "12",
        "Not into the codes: what the update moves by less than half a step is lost, and the "
        "rest is "
        "rounded anew. Keep it apart, or merge it into the decoded floats.",
        rows.merge_4bit,
        "\"QLoRA trains the 4-bit weights.\" They never change.",
        "Why not into the original floats?",
    ),
    Question(
        "Is rsLoRA better than LoRA?", "03, 13",
        "It is another scaling: alpha / sqrt(r). At one r that is another alpha, so a "
        "comparison at one "
        "learning rate compares rates. Tune both. What it may buy is a rate that carries "
        "over when r "
        "grows.",
        rows.rslora,
        "\"It won in the benchmark.\" At which scaling, which rate, and how many seeds?",
        "Where would you use it?",
    ),
    Question(
        "A hundred adapters on one base, in one server. What can leak?", "14",
        "The cache of keys and values: a prefix computed under one adapter, served to a request of "
        "another, gives another text and no error. Its key must hold the adapter, its "
        "version and the "
        "tokens. Names that the server does not know must be errors too.",
        rows.many_adapters,
        "\"Nothing, the weights are separate.\" What was computed with them is not.",
        "When would you rather merge?",
    ),
    Question(
        "How would you prove a LoRA library right?", "15",
        "Bits and laws: the base's output at step 0, the base unchanged after training, a gradient "
        "computed by hand, a planted rank that is found again. Another library: the same "
        "output from "
        "the same file, both ways. And tests that fail: each likely mistake is refused.",
        rows.proof,
        "\"The loss goes down.\" It does with many mistakes in.",
        "Which mistake would no test of the loss find?",
    ),
)  # fmt: skip


def interview() -> Interview:
    """All 20 questions."""
    return Interview(QUESTIONS)
