"""What is taken out of answers of the kinds that models give."""

import pytest

from reward_farm.problem import Problem
from trainer.evaluation.extraction import extract
from trainer.evaluation.sample import PromptForm
from trainer.tasks.task import Form, Split, Task

PROMPT = "use std::collections::HashMap;\n\n/// Doubles.\nfn double(x: i32) -> i32 {"
BODY = "\n    helper(x)\n}\n"
HELPER = "\nfn helper(x: i32) -> i32 {\n    x * 2\n}\n"


def task(prompt: str = PROMPT, suffix: str = "", form: Form = Form.COMPLETE) -> Task:
    problem = Problem("double", ("i32",), "i32")
    return Task("t", "f", Split.BENCHMARK, prompt, "Double it.", "", problem, form=form, suffix=suffix)


def base(answer: str) -> tuple[str, str]:
    found = extract(task(), answer, PromptForm.BASE)
    return found.strict.removeprefix(PROMPT), found.lenient.removeprefix(PROMPT)


def test_strict_ends_with_the_function_and_lenient_keeps_its_helpers():
    strict, lenient = base(BODY + HELPER)
    assert strict == BODY.rstrip()
    assert lenient == (BODY + HELPER).rstrip()


@pytest.mark.parametrize(
    "tail",
    [
        "\nfn main() {\n    println!(\"{}\", double(2));\n}\n",
        "\n#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn works() {}\n}\n",
        "\n#[test]\nfn works() {\n    assert_eq!(double(1), 2);\n}\n",
        "\nThis function doubles its argument, as was asked.\n",
        "\n```\n\nExplanation: it doubles.\n",
        "\nuse std::collections::HashMap;\n",
        "\nfn half(x: i32) -> i32 {\n    x / ",
        "\nfn double(x: i32) -> i32 {\n    x\n}\nfn other() {}\n",
    ],
)  # fmt: skip
def test_what_is_no_helper_is_dropped(tail: str):
    strict, lenient = base(BODY + HELPER + tail)
    assert strict == BODY.rstrip()
    assert lenient == (BODY + HELPER).rstrip()


def test_helpers_after_main_are_kept_and_a_use_line_of_its_own_too():
    tail = "\nfn main() {}\n\nuse std::fmt;\n" + HELPER
    _, lenient = base(BODY + tail)
    assert "main" not in lenient and "use std::fmt;" in lenient and "fn helper" in lenient


def test_a_body_on_one_line_and_braces_in_strings_end_where_the_function_ends():
    assert base(" x * 2 }\nfn more() {}")[0] == " x * 2 }"
    tricky = '\n    let s = "}\n}";\n    s.len() as i32\n}'
    assert base(tricky + "\nand so on")[0] == tricky


def test_what_never_ends_stays_whole_and_prose_ends_nothing_too_early():
    assert base("\n    x +")[0] == "\n    x +"
    assert base("\n    x\n}\n\nNow } some { prose\n}")[0] == "\n    x\n}"


CHAT = """Sure! Here it is:

```rust
use std::collections::HashMap;

/// Doubles its argument.
pub fn double(x: i32) -> i32 {
    helper(x)
}

fn helper(x: i32) -> i32 {
    x * 2
}

fn main() {
    println!("{}", double(2));
}
```

It works by `x * 2`."""


def test_a_chat_answer_is_a_file_of_its_own_with_the_prompts_prelude_once():
    found = extract(task(), CHAT, PromptForm.CHAT)
    assert found.strict.count("use std::collections::HashMap;") == 1
    assert found.strict.endswith("helper(x)\n}")
    assert found.lenient.endswith("x * 2\n}") and "main" not in found.lenient


def test_a_helper_above_and_a_main_above_in_chat():
    answer = "```rust\nfn main() {}\nfn helper(x: i32) -> i32 { x * 2 }\nfn double(x: i32) -> i32 { helper(x) }\n```"
    found = extract(task(), answer, PromptForm.CHAT)
    assert "fn main" in found.strict and "fn main" not in found.lenient
    assert found.lenient.startswith("use std::collections::HashMap;") and "fn helper" in found.lenient


def test_a_base_model_that_answers_in_a_fence_is_read_and_a_chat_model_may_go_on():
    assert extract(task(), CHAT, PromptForm.BASE).lenient == extract(task(), CHAT, PromptForm.CHAT).lenient
    found = extract(task(), "```rust\n    x * 2\n}\n```", PromptForm.CHAT)
    assert found.strict == f"{PROMPT}    x * 2\n}}"


def test_a_hole_is_filled_and_what_follows_it_kept():
    holed = task("fn double(x: i32) -> i32 {", "\n}\n", Form.FIM)
    assert extract(holed, " x * 2", PromptForm.FIM).strict == "fn double(x: i32) -> i32 { x * 2\n}\n"


@pytest.mark.parametrize("answer", ["", "}", "}" * 500, "\x00", "é" * 50 + "}", "```", "```rust\n```"])
@pytest.mark.parametrize("form", list(PromptForm))
def test_no_text_makes_it_fail(answer: str, form: PromptForm):
    extract(task(), answer, form)
