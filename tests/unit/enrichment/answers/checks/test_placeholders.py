from __future__ import annotations

import pytest

from include.enrichment.answers.checks.placeholders import Placeholders, placeholders

PLURAL = "{count, plural, one {# file by {name}} other {# files by {name}}}"


def problem(source: str | None, text: str) -> str | None:
    check = Placeholders(["text"], "source")
    return check.problem(text, check.facts({"source": source}))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello {name}, {0} of {n:.2f}", ["{name}", "{0}", "{n:.2f}"]),
        ("%s of %d, %1$s, %.2f, %@ and 100%% or 5% off", ["%s", "%d", "%1$s", "%.2f", "%@"]),
        ("%(name)s ${name} %{name} {{ name }}", ["%(name)s", "${name}", "%{name}", "{{name}}"]),
        ('<a href="/x">link</a><br/><B>', ["<a>", "</a>", "<br>", "<b>"]),
        ("<br> <br/> <br /> <x/> <x y='{z}'/>", ["<br>", "<br>", "<br>", "<x/>", "<x/>", "{z}"]),
        ("<a href=\"{url}\" title='%s'>", ["<a>", "{url}", "%s"]),
        ("{{ a | upper }} {{- b -}}", ["{{a|upper}}", "{{-b-}}"]),
        ("20%discount, 100%%s, 5%off, 7%d, 20%s", ["%d", "%s"]),
        ("%dpx, 100%%, %-5d", ["%d", "%-5d"]),
        (PLURAL, ["{count,plural}", "{name}"]),
        ("{sex, select, male {his} female {her} other {their}}", ["{sex,select female/male/other}"]),
        ("{n, number, percent} {d, date}", ["{n,number,percent}", "{d,date}"]),
        ("{a, plural, one {{b, plural, one {x} other {y}}} other {z}}", ["{a,plural}", "{b,plural}"]),
        ("a < b and c > d, { not one", []),
    ],
)
def test_every_kind_of_placeholder_is_found(text: str, found: list[str]) -> None:
    assert list(placeholders(text)) == found


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{count} of {total}", "von {total} sind {count} da"),
        (PLURAL, "{count, plural, one {# Datei von {name}} few {x {name}} other {# Dateien von {name}}}"),
        ('<a href="/en">here</a>', '<a href="/de">hier</a>'),
        ("nothing", "nichts"),
        (None, "{any}"),
        ("one<br>two", "eins<br/>zwei"),
        ("20% discount", "20%discount"),
    ],
)
def test_the_same_placeholders_in_any_order_pass(source: str | None, text: str) -> None:
    assert problem(source, text) is None


@pytest.mark.parametrize(
    ("source", "text", "fact"),
    [
        ("{count} left", "noch da", "lacks {count}"),
        ("{count} left", "noch {cuont}", "has {cuont} instead of {count}"),
        ("left", "noch %s", "has %s, which source does not have"),
        ("{a} {a}", "{a}", "lacks {a}"),
        ("<b>x</b>", "<b>x", "lacks </b>"),
        ("{s, select, a {x} other {y}}", "{s, select, b {x} other {y}}", "has {s,select b/other} instead of"),
        (PLURAL, "{count, plural, other {# Dateien}}", "lacks {name}"),
        ("%(name)s", "%(name)", "lacks %(name)s"),
        ("{{ a | upper }}", "{{ b | upper }}", "has {{b|upper}} instead of {{a|upper}}"),
        ('<a href="{url}">x</a>', '<a href="/">x</a>', "lacks {url}"),
    ],
)
def test_missing_altered_and_extra_ones_are_listed(source: str, text: str, fact: str) -> None:
    assert fact in (problem(source, text) or "")


@pytest.mark.parametrize(
    "text",
    [
        *("{" * 3_000, "{a, plural, one {" * 3_000, "<a " * 3_000, "%(" * 3_000),
        *("{" + " " * 200_000, "%(a)" + "0" * 200_000, "{" + "a" * 200_000, "%s {a} " * 2_000),
    ],
    ids=lambda text: f"{text[:12]}…",
)
def test_broken_texts_end(text: str) -> None:
    problem("{b} %d", text)
