"""Which stage of the compiler an error is of, by its code or, where it has none, its message. Pure.

rustc goes on after most errors, so how far a candidate came is the earliest stage with an error. A stage is told to
people and counted; by itself it earns nothing, for errors are easy to make and to leave out.
"""

from __future__ import annotations

from collections.abc import Iterable

from reward_farm.verdict import Diagnostic, Outcome, Stage

_CODES = {
    Stage.PARSE: "E0178 E0584 E0585 E0586 E0670 E0748 E0753 E0758 E0762 E0763 E0765 E0766 E0768",
    Stage.RESOLVE: (
        "E0252 E0254 E0255 E0259 E0260 E0261 E0364 E0365 E0401 E0403 E0404 E0405 E0407 E0408 E0411 E0412 E0415 E0416 "
        "E0422 E0423 E0424 E0425 E0426 E0428 E0429 E0430 E0431 E0432 E0433 E0434 E0435 E0437 E0438 E0463 E0530 E0531 "
        "E0532 E0573 E0574 E0575 E0576 E0577 E0578 E0603 E0659 E0742"
    ),
    Stage.BORROW: (
        "E0004 E0005 E0309 E0310 E0311 E0373 E0381 E0382 E0383 E0384 E0478 E0491 E0492 E0493 E0499 E0501 E0502 E0503 "
        "E0505 E0506 E0507 E0508 E0509 E0510 E0515 E0521 E0594 E0596 E0597 E0621 E0626 E0700 E0712 E0713 E0716"
    ),
    Stage.LINT: "E0080 E0453 E0602",
}
"""Every other code is of the type checker."""
_BY_CODE = {code: stage for stage, codes in _CODES.items() for code in codes.split()}

_MESSAGES = (
    ("lifetime may not live long enough", Stage.BORROW),
    ("higher-ranked lifetime error", Stage.BORROW),
    ("implementation of ", Stage.BORROW),  # "... is not general enough"
    ("cannot find ", Stage.RESOLVE),
    ("cannot determine resolution", Stage.RESOLVE),
    ("recursion limit reached while expanding", Stage.RESOLVE),
    ("cannot use ", Stage.RESOLVE),
)
"""How errors without a code begin. The rest of those come from the parser and from macros."""
_ORDER = {stage: place for place, stage in enumerate(Stage)}


def stage_of(outcome: Outcome, diagnostics: Iterable[Diagnostic]) -> Stage | None:
    """The earliest stage with an error; None where the compiler found none, or did not end."""
    if outcome is Outcome.PARSE_ERROR:
        return Stage.PARSE
    if outcome is Outcome.LINK_FAILED:
        return Stage.CODEGEN
    if outcome is not Outcome.COMPILE_ERROR:
        return None
    found = (_stage(each) for each in diagnostics if each.level == "error")
    return min(found, key=_ORDER.__getitem__, default=None)


def _stage(error: Diagnostic) -> Stage:
    if error.code is None:
        return next((stage for start, stage in _MESSAGES if error.message.startswith(start)), Stage.PARSE)
    if not error.code.startswith("E"):
        return Stage.LINT
    return _BY_CODE.get(error.code, Stage.TYPES)
