"""Dates and times of day: leap years, lengths of months, and texts such as 07:05."""

from __future__ import annotations

import calendar
from random import Random

from reward_farm.problem import Err, Ok, Value
from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.task import Split

LEAP = "$year % 4 == 0 && ($year % 100 != 0 || $year % 400 == 0)"
YEARS = (1900, 1999, 2000, 2023, 2024, 2100, 2400)


def _year(rng: Random) -> int:
    return rng.choice(YEARS) if rng.random() < 0.6 else rng.randint(1800, 2500)


@family("dates", "logic", difficulty=0.61)
def leap_years(rng: Random) -> Draft:
    t = rng.choice(("u32", "i32", "u16"))
    check = Draft(
        entry="is_leap_year",
        params={"year": t},
        returns="bool",
        docs=("Checks whether `$year` is a leap year.", "Returns true if `$year` has 366 days."),
        bodies=(LEAP,),
        oracle=calendar.isleap,
        inputs=lambda rng: (_year(rng),),
        edges=((1900,), (2000,), (2024,)),
    )
    days = Draft(
        entry="days_in_year",
        params={"year": t},
        returns=t,
        docs=("Returns the number of days of `$year`.", "Counts the days of `$year`, leap years included."),
        bodies=(f"if {LEAP} {{\n    366\n}} else {{\n    365\n}}",),
        oracle=lambda year: 365 + calendar.isleap(year),
        inputs=lambda rng: (_year(rng),),
        edges=((1900,), (2000,), (2024,)),
    )
    return rng.choice((check, days))


@family("dates", "match", "option", difficulty=0.65)
def months(rng: Random) -> Draft:
    def draw(rng: Random) -> tuple[Value, ...]:
        return _year(rng), rng.choice((2, rng.randint(0, 13)))

    days = Draft(
        entry="days_in_month",
        params={"year": "u32", "month": "u32"},
        returns="Option<u32>",
        docs=(
            "Returns the number of days of `$month` (1 to 12) in `$year`, or `None` if there is no such month.",
            "Counts the days of the month `$month` of `$year`; `None` for a month outside 1 to 12.",
        ),
        bodies=(
            rust("""
                match $month {
                    1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
                    4 | 6 | 9 | 11 => Some(30),
                    2 if $year % 4 == 0 && ($year % 100 != 0 || $year % 400 == 0) => Some(29),
                    2 => Some(28),
                    _ => None,
                }
            """),
        ),
        oracle=lambda year, month: calendar.monthrange(year, month)[1] if 1 <= month <= 12 else None,
        inputs=draw,
        edges=((1900, 2), (2000, 2), (2023, 13)),
    )
    quarter = Draft(
        entry="quarter",
        params={"month": "u32"},
        returns="Option<u32>",
        docs=(
            "Returns the quarter (1 to 4) of `$month`, or `None` if it is not 1 to 12.",
            "Computes which quarter of the year `$month` lies in; `None` for a month outside 1 to 12.",
        ),
        bodies=("(1..=12).contains(&$month).then(|| ($month - 1) / 3 + 1)",),
        oracle=lambda month: (month - 1) // 3 + 1 if 1 <= month <= 12 else None,
        inputs=lambda rng: (rng.randint(0, 14),),
        edges=((0,), (3,), (4,), (13,)),
    )
    return rng.choice((days, days, quarter))


@family("times", "format", difficulty=0.64)
def show_time(rng: Random) -> Draft:
    kind = rng.choice(
        (
            Variant(
                "format_duration",
                "Formats `$seconds` as hours, minutes and seconds, such as `01:02:03`.",
                "let (hours, minutes) = ($seconds / 3600, $seconds / 60 % 60);\n"
                'format!("{hours:02}:{minutes:02}:{:02}", $seconds % 60)',
                lambda s: f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}",
            ),
            Variant(
                "format_minutes",
                "Formats `$seconds` as minutes and seconds, such as `75:09`.",
                'format!("{}:{:02}", $seconds / 60, $seconds % 60)',
                lambda s: f"{s // 60}:{s % 60:02}",
            ),
            Variant(
                "format_hours",
                "Formats `$seconds` as whole hours and minutes, such as `3h 07m`.",
                'format!("{}h {:02}m", $seconds / 3600, $seconds / 60 % 60)',
                lambda s: f"{s // 3600}h {s // 60 % 60:02}m",
            ),
        )
    )
    return Draft(
        entry=kind.name,
        params={"seconds": rng.choice(("u32", "u64"))},
        returns="String",
        docs=(kind.words, kind.words.replace("Formats", "Writes")),
        bodies=(kind.rust,),
        oracle=kind.apply,
        inputs=lambda rng: (rng.choice((rng.randint(0, 70), rng.randint(0, 4000), rng.randint(0, 90_000))),),
        edges=((0,), (59,), (3600,)),
    )


def _clock(rng: Random) -> str:
    if rng.random() < 0.65:
        return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    return rng.choice(("24:00", "12:60", "7", "", "ab:cd", "1:2", "12:", ":30", "23:59", "99:99", "12-30"))


def _minutes(text: str) -> int | None:
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdigit() and minutes.isdigit()) or int(hours) > 23 or int(minutes) > 59:
        return None
    return int(hours) * 60 + int(minutes)


@family("times", "parsing", "option", "result", difficulty=0.75, split=Split.VALIDATION)
def parse_time(rng: Random) -> Draft:
    as_result = rng.random() < 0.5
    option = Draft(
        entry="minutes_of_day",
        params={"time": "&str"},
        returns="Option<u32>",
        docs=("Parses `$time`, such as `07:05`, as minutes since midnight; `None` unless it is a time of day.",),
        bodies=(
            rust("""
                let (hours, minutes) = $time.split_once(':')?;
                let hours: u32 = hours.parse().ok()?;
                let minutes: u32 = minutes.parse().ok()?;
                (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
            """),
        ),
        oracle=_minutes,
        inputs=lambda rng: (_clock(rng),),
        edges=(("00:00",), ("24:00",), ("",)),
    )
    result = Draft(
        entry="parse_minutes_of_day",
        params={"time": "&str"},
        returns="Result<u32, String>",
        docs=("Parses `$time`, such as `07:05`, as minutes since midnight; the error is `$time` if it is no time.",),
        bodies=(
            rust("""
                let parsed = $time.split_once(':').and_then(|(hours, minutes)| {
                    let hours: u32 = hours.parse().ok()?;
                    let minutes: u32 = minutes.parse().ok()?;
                    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
                });
                parsed.ok_or_else(|| $time.to_string())
            """),
        ),
        oracle=lambda time: Err(time) if (found := _minutes(time)) is None else Ok(found),
        inputs=lambda rng: (_clock(rng),),
        edges=(("00:00",), ("24:00",), ("",)),
    )
    return result if as_result else option


FAMILIES = (leap_years, months, show_time, parse_time)
