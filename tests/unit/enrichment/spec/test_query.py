from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.spec.query import error_line, parameters, query_problems

POSTGRES, SQLITE, MYSQL, BIGQUERY, SNOWFLAKE = "postgresql", "sqlite", "mysql", "bigquery", "snowflake"


def _names(sql: str, dialect: str) -> list[str]:
    found = parameters(sql, dialect)
    assert [sql[parameter.start : parameter.end] for parameter in found] == [f":{each.name}" for each in found]
    return [parameter.name for parameter in found]


@pytest.mark.parametrize(
    "dialect", [POSTGRES, SQLITE, MYSQL, BIGQUERY, SNOWFLAKE, "mssql", "duckdb", "oracle", "a database of tomorrow"]
)
@pytest.mark.parametrize(
    "sql",
    [
        "select 'a:x' {}",
        "select ':x' {}",
        "select '(?:sale|deal)' {}",
        "select 'it''s :x' {}",
        'select "a "":x""" {}',
        "select `a :x` {}",
        "select $$ it's :x $$ {}",
        "select $tag$ :x $$ :x $tag$ {}",
        "-- where :x\n {}",
        "-- it's where :x\r\n {}",
        "/* it's :x */ {}",
        "/**/ {} /* :x",
        "select a::text {}",
        r"select '\:x', \:x {}",
        "select body[1:n] {}",
        'select src:customer.name, "src":x, f(src):x, col[0]:x {}',
        "select f(a := 1, b=> 2) {}",
        "select 10:x {}",
        "select a$b$c, b$c {} $b$ :x",
        "select ': x', :: x, : x {}",
        "{} -- :x",
        "{} 'never ends :x",
    ],
)
def test_a_colon_elsewhere_begins_no_parameter(sql: str, dialect: str) -> None:
    assert _names(sql.format(":partition_start"), dialect) == ["partition_start"]


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (POSTGRES, r"select E'it\'s :x', e'\\' {}"),
        (POSTGRES, "select e'a' \n '\\':x' {}"),
        (POSTGRES, r"select '\' {}"),
        ("mssql", "select [a]] :x] {}"),
        (POSTGRES, r"select U&'\0041 :x' {}"),
        (POSTGRES, "/* /* :x */ :x */ {}"),
        (POSTGRES, "select a #> '{{b}}', a # b {}"),
        (POSTGRES, "select body[:2], body[1 :n], body[ :n], (array[1])[ :n] {}"),
        (POSTGRES, "select x ? 'a' and x ?| array['b'] {}"),
        (SQLITE, "select [a :x] {}"),
        (SQLITE, r"select '\' {}"),
        (SQLITE, "/* /* :x */ {}"),
        ("mssql", "select [a :x], /* /* :x */ :x */ {}"),
        (MYSQL, r"select 'it\'s :x', " + '"it\\"s :x", "it\'s :x" {}'),
        (MYSQL, "# where :x\n {}"),
        ("mariadb", "# it's :x\n {}"),
        (BIGQUERY, r"select '''it's \''' :x''', `a \` :x` {}"),
        (BIGQUERY, 'select """say ":x" """ {}'),
        (BIGQUERY, "# where :x\n {}"),
        (SNOWFLAKE, "// where it's :x\n {}"),
        (SNOWFLAKE, r"select 'it\'s :x' {}"),
        ("databricks", r"select 'it\'s :x' {}"),
    ],
)
def test_each_database_has_its_own_quotes_and_comments(dialect: str, sql: str) -> None:
    assert _names(sql.format(":partition_end"), dialect) == ["partition_end"]


@pytest.mark.parametrize(
    "sql",
    [
        "where day>=:partition_start",
        "where day >= :partition_start::timestamp",
        "where day >= cast(:partition_start as timestamp)",
        "where day in (:partition_start)",
        "where day = any(array[:partition_start])",
        "where day >= /* from */:partition_start",
        "where 'a''b' <> body and day =:partition_start;",
        "where day -- :partition_end\n>= :partition_start",
    ],
)
def test_a_parameter_is_found_wherever_a_value_may_stand(sql: str) -> None:
    assert _names(sql, POSTGRES) == ["partition_start"]


# The strategies below assemble whole queries from parts with known meaning.
_INNER = st.lists(
    st.sampled_from(
        [
            *(":partition_start", ":x", "::", "--", "/*", "*/", "'", '"', "`", "E'", "$$", "$a$", "\\", "\n", "#"),
            *("[", "]", "(", ";", "a", "é", "%s", "%(x)s", "?", " "),
        ]
    ),
    max_size=6,
).map("".join)


def _without(text: str, *parts: str) -> str:
    for part in parts:
        text = text.replace(part, "")
    return text


def _doubled(quote: str) -> st.SearchStrategy[str]:
    return _INNER.map(lambda text: quote + text.replace(quote, quote * 2) + quote)


def _escaped(quote: str) -> st.SearchStrategy[str]:
    return _INNER.map(lambda text: quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote)


def _comment(start: str) -> st.SearchStrategy[str]:
    return _INNER.map(lambda text: start + _without(text, "\n") + "\n")


_BLOCK = _INNER.map(lambda text: f"/*{_without(text, '*', '/')}*/")
_NESTED = st.recursive(_BLOCK, lambda inner: st.tuples(_BLOCK, inner).map(lambda two: f"/*{two[0]} :x {two[1]}*/"))
_DOLLARS = st.tuples(st.sampled_from(["", "a", "tag_1"]), _INNER).map(
    lambda two: f"${two[0]}${_without(two[1], '$')}${two[0]}$"
)
_CODE = st.sampled_from(
    ["a", "a::text", "x$y", "body[1:n]", "f(a := 1)", "1.5", r"\:x", "<> (b)", "é", "a - -1", "*", "/"]
)
_SHARED = [_BLOCK, _comment("--"), _CODE]
_PARTS = {
    POSTGRES: [
        *(_doubled("'"), _doubled('"'), _escaped("'").map(lambda text: f"E{text}"), _NESTED, _DOLLARS),
        st.just("body[:2] body[1 :n] a #> b"),
    ],
    SQLITE: [
        _doubled("'"),
        _doubled('"'),
        _doubled("`"),
        _INNER.map(lambda text: f"[{_without(text, ']')}]"),
        _DOLLARS,
    ],
    MYSQL: [_escaped("'"), _escaped('"'), _doubled("`"), _comment("#")],
    BIGQUERY: [
        *(_escaped("'"), _escaped('"'), _escaped("`"), _comment("#")),
        _INNER.map(lambda text: f"'''{_without(text, chr(39), chr(92))}'''"),
    ],
    SNOWFLAKE: [_escaped("'"), _doubled('"'), _comment("//"), _DOLLARS],
}
_NAMES = st.sampled_from(["partition_start", "partition_end", "nobody", "größe"])


@pytest.mark.parametrize("dialect", _PARTS)
@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
def test_the_scan_finds_exactly_the_parameters_of_any_query(dialect: str, data: st.DataObject) -> None:
    other = st.one_of(*_SHARED, *_PARTS[dialect]).map(lambda text: (text, False))
    parts = data.draw(st.lists(st.one_of(other, _NAMES.map(lambda name: (f":{name}", True))), max_size=12))
    sql, expected = "select", []
    for text, is_parameter in parts:
        sql += data.draw(st.sampled_from([" ", "\n", ", ", " =", " ("]))
        if is_parameter:
            expected.append((len(sql), text))
        sql += text
    assert [(each.start, f":{each.name}") for each in parameters(sql, dialect)] == expected


def test_a_valid_query_has_no_problems() -> None:
    assert query_problems("select ';' where day >= :partition_start -- and\n;;\n-- the end") == []
    assert query_problems("", POSTGRES) == query_problems("-- nothing", POSTGRES) == query_problems(";") != []


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        (
            "select *\nfrom t\n-- where day = :partition_start",
            "extract.sql:3: uses neither :partition_start nor :partition_end: every run would read, and pay for, the"
            " whole table (:partition_start on this line is in a comment, a string or a name)",
        ),
        (
            "select *\nwhere day >= :partition_strat\nand day <= :partition_strat or :partition_end",
            "extract.sql:2: unknown parameter :partition_strat; did you mean 'partition_start'? Known:"
            r" :partition_start and :partition_end. Write a plain colon as \:",
        ),
        (
            "select 1 where :partition_start;\n\n/* and */ drop table t; select 2",
            "extract.sql:3: a second statement begins here; only one select is allowed",
        ),
    ],
)
def test_each_problem_has_its_line(sql: str, fact: str) -> None:
    assert query_problems(sql) == query_problems(sql, POSTGRES) == [fact]


@pytest.mark.parametrize(
    "sql",
    [
        r"select E'it\'s :x' where day = :partition_start",
        "select `it's`, '\\' where day = :partition_start and b <> ':x'",
        "select [:x] from t where day = :partition_start",
        "select /* /* */ 1 where day = :partition_start",
        "select 1 # where day = :partition_start",
    ],
)
def test_an_unknown_database_has_only_the_problems_of_all_databases(sql: str) -> None:
    assert query_problems(sql) == []


def test_a_known_database_has_its_own_problems() -> None:
    sql = "select 1 # where day = :partition_start"
    (fact,) = query_problems(sql, BIGQUERY)
    assert "every run would read, and pay for, the whole table" in fact
    assert query_problems(sql, POSTGRES) == []


_QUERY = "select a, -- no such b\n  b, t.b2\nfrom t\nwhere a = ':c'\n  and c(d) > :partition_start"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ('syntax error at or near "frm" LINE 3: frm t', 3),
        ("You have an error in your SQL syntax; check the manual near 'x' at line 4", 4),
        ("SQL compilation error: error line 2 at position 7 invalid identifier 'B'", 2),
        ('near "FROM": syntax error', 3),
        ('near ">": syntax error', None),
        ('near "(": syntax error', 5),
        ("no such column: b", 2),
        ("no such column: t.b2", 2),
        ("no such column: a", None),
        ("no such function: c", 5),
        ("no such table: elsewhere", None),
        ("database is locked", None),
    ],
)
def test_the_line_of_an_error_is_in_its_message_or_that_of_the_only_such_word(message: str, line: int | None) -> None:
    assert error_line(_QUERY, message, SQLITE) == line
