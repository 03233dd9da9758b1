"""pipeline.py: the request that a pipeline makes of each row, and the options of a run."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from include.enrichment.answers.evidence.sent_output import CITED_TEXT
from include.enrichment.answers.evidence.wrapped_schema import wrap_schema
from include.enrichment.cost.caching import PrefixSize
from include.enrichment.errors import ParamError, SpecError
from include.enrichment.requests.request import Request, make_request
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.settings import OutputSettings
from tests.fixtures.folder import SCHEMA, YAML, Load, in_yaml


class TestRenderer:
    """A loaded pipeline meets the columns of its query."""

    def _params(self, pipeline: Pipeline) -> dict[str, Any]:
        return dict(json.loads(self._render(pipeline).params))

    def test_the_params_contain_all_settings(self, load: Load) -> None:
        params = self._params(load(yaml=YAML + "  thinking: disabled\n  cache: 1h\n"))
        assert params == {
            "model": "claude-haiku-5-5",
            "max_tokens": 300,
            "thinking": {"type": "disabled"},
            "output_config": {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}},
            "system": [{"type": "text", "text": "Classify.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [{"role": "user", "content": "Hello"}],
        }

    @pytest.mark.parametrize(("system", "prompt"), [("Classify.", "Classify.\n\n"), ("", "")])
    def test_what_all_requests_share_follows_the_system_prompt_in_the_cached_block(
        self, load: Load, system: str, prompt: str
    ) -> None:
        cached = load(yaml=YAML + "  cache: 1h\n", system=system)
        params = self._params(cached.model_copy(update={"shared": "# {{ text }}"}))
        mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        assert params["system"] == [{"type": "text", "text": f"{prompt}# {{{{ text }}}}", **mark}]

    def test_what_all_requests_share_follows_a_system_prompt_with_a_column(self, load: Load) -> None:
        pipeline = load(system="Classify {{ text }}.").model_copy(update={"shared": "# Words"})
        assert self._params(pipeline)["system"] == [{"type": "text", "text": "Classify Hello.\n\n# Words"}]

    def test_with_evidence_the_schema_has_the_data_and_its_quotes(self, load: Load) -> None:
        pipeline = load()
        settings = pipeline.settings.model_copy(update={"output": OutputSettings(evidence=True)})
        asking = pipeline.model_copy(update={"settings": settings})
        schema = self._params(asking)["output_config"]["format"]["schema"]
        assert schema == json.loads(wrap_schema(SCHEMA)) == json.loads(asking.loaded_schema or "")
        assert [field.name for field in asking.output.fields] == ["label"]
        text = asking.model_copy(update={"schema_text": None})
        assert "output_config" not in self._params(text)
        assert text.loaded_schema == CITED_TEXT

    def test_without_a_schema_no_format_is_sent(self, load: Load) -> None:
        text, structured = self._params(load(schema=None)), self._params(load())
        del structured["output_config"]
        assert text == structured

    def test_unset_settings_are_not_sent(self, load: Load) -> None:
        params = self._params(load())
        assert "thinking" not in params
        assert params["system"] == [{"type": "text", "text": "Classify."}]

    def _render(self, pipeline: Pipeline, *, run_id: str = "run-1", sample: int = 1) -> Request:
        return pipeline.renderer(["id", "text"], run_id=run_id, sample=sample).render({"id": 1, "text": "Hello"})

    @pytest.mark.parametrize(("reuse", "same"), [("true", True), ("false", False)])
    def test_reuse_decides_whether_two_runs_share_their_answers(self, load: Load, reuse: str, same: bool) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\n")
        first, second, again = (
            pipeline.renderer(["id", "text"], run_id=run_id).render({"id": 1, "text": "a"})
            for run_id in ("run-1", "run-2", "run-1")
        )
        assert (first == second) is same
        assert first == again

    @pytest.mark.parametrize("reuse", ["true", "false"])
    def test_each_sample_is_a_request_of_its_own_with_the_same_params(self, load: Load, reuse: str) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\nsamples: 3\n")
        requests = [self._render(pipeline, sample=sample) for sample in (1, 2, 3)]
        assert len({request.request_id for request in requests}) == 3
        assert len({request.params for request in requests}) == 1
        assert requests == [self._render(pipeline, sample=sample) for sample in (1, 2, 3)]

    @pytest.mark.parametrize("reuse", ["true", "false"])
    def test_more_samples_pay_only_for_the_new_ones(self, load: Load, reuse: str) -> None:
        one = load(yaml=YAML + f"reuse: {reuse}\n")
        first = self._render(one)
        three = load(yaml=YAML + f"reuse: {reuse}\nsamples: 3\n")
        assert first == self._render(three, sample=1) == self._render(three)

    @pytest.mark.parametrize(("reuse", "same"), [("true", True), ("false", False)])
    def test_reuse_decides_for_every_sample(self, load: Load, reuse: str, same: bool) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\nsamples: 2\n")
        first, second = (self._render(pipeline, run_id=run_id, sample=2) for run_id in ("run-1", "run-2"))
        assert (first == second) is same

    def test_the_ids_of_samples_and_runs_stay_the_same_from_release_to_release(self, load: Load) -> None:
        """Another id for the same row would make every stored answer billed again."""
        reused, fresh = (load(yaml=YAML + f"reuse: {reuse}\nsamples: 2\n") for reuse in ("true", "false"))
        params = self._render(reused).params.encode()
        for pipeline, sample, salt in [
            (reused, 1, ""),
            (reused, 2, "sample 2"),
            (fresh, 1, "run-1"),
            (fresh, 2, "run-1 sample 2"),
        ]:
            assert self._render(pipeline, sample=sample) == make_request(params, salt=salt)

    def test_all_missing_columns_are_reported_at_once_with_the_closest_names(self, load: Load) -> None:
        pipeline = load(
            system="\n\n{{ tone }}", user="{{ txt }}\n{{ text }}\n\n{{ zzz }}", yaml=in_yaml("{id:", "{idd:")
        )
        with pytest.raises(SpecError) as raised:
            pipeline.renderer(["id", "text"], run_id="r")
        assert str(raised.value).splitlines() == [
            "tickets/system.md:3: the query has no column 'tone'",
            "tickets/user.md:1: the query has no column 'txt'; did you mean 'text'?",
            "tickets/user.md:4: the query has no column 'zzz'",
            "tickets/pipeline.yaml:3: source.key: the query has no column 'idd'; did you mean 'id'?",
            "Columns of extract.sql: id, text. Nothing was sent.",
        ]

    def test_all_shadowed_columns_are_reported_at_once(self, load: Load) -> None:
        pipeline = load(
            system="Classify.\n{{ none }}", user="{{ text }}{% for x in [1] %}\n{{ loop.index }}{% endfor %}"
        )
        with pytest.raises(SpecError) as raised:
            pipeline.renderer(["id", "text", "loop", "none"], run_id="r")
        fact = "is a Jinja keyword here and hides the column of that name: rename the column, or avoid the keyword"
        assert str(raised.value).splitlines() == [
            f"tickets/system.md:2: 'none' {fact}",
            f"tickets/user.md:2: 'loop' {fact}",
            "Columns of extract.sql: id, text, loop, none. Nothing was sent.",
        ]

    def test_line_numbers_survive_storage(self, load: Load) -> None:
        stored = Pipeline.model_validate_json(load(user="\n\n{{ text.x.y }}").model_dump_json())
        with pytest.raises(SpecError, match=r"^tickets/user\.md:3: cannot be rendered"):
            stored.renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})

    def test_its_columns_are_those_of_the_prompts_and_the_key(self, load: Load) -> None:
        pipeline = load(
            system="Classify {{ kind }}.", user="{% for tag in tags %}{{ tag }}{% endfor %} {{ text.body }}"
        )
        assert pipeline.columns == {"kind", "tags", "text", "id"}

    def test_unused_columns_are_ignored(self, load: Load) -> None:
        request = load().renderer(["id", "text", "more"], run_id="r").render({"id": 1, "text": "a", "more": object()})
        assert "more" not in request.params


#: Of some 2,000 tokens: claude-sonnet-4-6 keeps it, claude-haiku-4-5 does not.
LONG = "Classify. " + "A rule that all rows share. " * 300
AUTO = in_yaml("claude-haiku-5-5", "claude-sonnet-4-6\n  other_models: [claude-haiku-4-5]\n  cache: auto")


class TestCaching:
    """The resolved ``request.cache``."""

    def _marked(self, pipeline: Pipeline) -> Any:
        params = json.loads(pipeline.renderer(["id", "text"], run_id="r").render({"text": "x"}).params)
        return params["system"][0].get("cache_control", {}).get("ttl")

    def test_an_explicit_setting_is_kept(self, load: Load) -> None:
        for cache in ("off", "5m", "1h"):
            assert load(yaml=YAML + f"  cache: {cache}\n").caching.cache == cache

    def test_auto_marks_the_requests(self, load: Load) -> None:
        assert self._marked(load(yaml=AUTO, system=LONG)) == "1h"
        assert self._marked(load(yaml=AUTO + "limits: {canary_rows: 0}\n", system=LONG)) == "5m"
        assert self._marked(load(yaml=AUTO)) is None

    def test_auto_counts_what_all_requests_share(self, load: Load) -> None:
        assert self._marked(load(yaml=AUTO).model_copy(update={"shared": LONG})) == "1h"
        assert self._marked(load(yaml=AUTO, system="").model_copy(update={"shared": LONG})) == "1h"

    def test_auto_marks_requests_for_text_too(self, load: Load) -> None:
        assert self._marked(load(yaml=AUTO, system=LONG, schema=None)) == "1h"
        assert load(system="Label.", schema=None).prefix_size == PrefixSize(system_bytes=6, format_bytes=0)

    def test_auto_depends_on_the_model_of_the_run(self, load: Load) -> None:
        pipeline = load(yaml=AUTO, system=LONG)
        other = pipeline.for_run(RunOptions(model="claude-haiku-4-5"))
        assert (pipeline.caching.cache, other.caching.cache) == ("1h", "off")
        assert "claude-haiku-4-5 caches no prefix below 4,096" in other.caching.why

    def test_auto_does_not_depend_on_other_options(self, load: Load) -> None:
        pipeline = load(yaml=AUTO, system=LONG)
        runs = [RunOptions(), RunOptions(rows=1), RunOptions(reuse=False), RunOptions(only_rejects=True)]
        assert {pipeline.for_run(options).caching for options in runs} == {pipeline.caching}

    def test_the_resolved_setting_is_stored_with_the_run(self, load: Load) -> None:
        decided = load(yaml=AUTO, system=LONG).with_resolved_cache()
        stored = Pipeline.model_validate_json(decided.model_dump_json())
        assert stored.settings.request.cache == stored.caching.cache == "1h"
        assert load(yaml=AUTO).with_resolved_cache().settings.request.cache == "off"

    def test_auto_gives_the_same_requests_as_the_explicit_setting(self, load: Load) -> None:
        by_hand = load(yaml=AUTO.replace("auto", "1h"), system=LONG)
        auto = load(yaml=AUTO, system=LONG)
        row = {"text": "x"}
        first, second = (one.renderer(["id", "text"], run_id="r").render(row) for one in (by_hand, auto))
        assert first == second
        assert by_hand.cached_prefix == auto.cached_prefix == auto.with_resolved_cache().cached_prefix

    def test_auto_is_off_for_a_system_prompt_with_a_column(self, load: Load) -> None:
        caching = load(yaml=AUTO, system=LONG + "\n{{ text }}").caching
        assert caching.cache == "off"
        assert caching.why.startswith("tickets/system.md:2: the column 'text' differs from row to row")

    def test_a_column_named_like_a_jinja_helper_is_a_column(self, load: Load) -> None:
        """All rows would share the prefix of the first one."""
        caching = load(yaml=AUTO, system=LONG + "\n{{ range }}").caching
        assert (caching.cache, "the column 'range' differs" in caching.why) == ("off", True)

    def test_without_a_cache_the_system_prompt_may_use_a_column(self, load: Load) -> None:
        pipeline = load(system="{{ text }}")
        assert (pipeline.caching.cache, pipeline.cached_prefix) == ("off", None)

    def test_without_a_system_prompt_nothing_is_cached(self, load: Load) -> None:
        assert load(yaml=YAML + "  cache: 1h\n", system="").cached_prefix is None

    def test_a_change_to_the_cached_members_makes_another_prefix(self, load: Load) -> None:
        cached = YAML + "  cache: 1h\n"
        others = [
            load(yaml=cached.replace("haiku", "sonnet")),
            load(yaml=cached.replace("1h", "5m")),
            load(yaml=cached + "  thinking: disabled\n"),
            load(yaml=cached, system="Classify it."),
            load(yaml=cached, schema=SCHEMA.replace("What", "All that")),
            load(yaml=cached, schema=None),
            load(yaml=cached).model_copy(update={"shared": "# Words"}),
        ]
        prefixes = {pipeline.cached_prefix for pipeline in [load(yaml=cached), *others]}
        assert (len(prefixes), None in prefixes) == (8, False)

    def test_other_changes_keep_the_prefix(self, load: Load) -> None:
        cached = YAML + "  cache: 1h\n"
        others = [
            load(yaml=cached.replace("300", "400")),
            load(yaml=cached + "reuse: false\nsamples: 2\n"),
            load(yaml=cached, user="Now {{ text }}"),
        ]
        assert {pipeline.cached_prefix for pipeline in others} == {load(yaml=cached).cached_prefix}


class TestForRun:
    """The pipeline with the options of one run."""

    OTHERS = in_yaml("model: claude-haiku-5-5", "model: claude-haiku-5-5\n  other_models: [claude-sonnet-5-5]")

    def test_without_options_it_is_unchanged(self, load: Load) -> None:
        assert load().for_run(RunOptions()) == load()

    def test_the_options_are_stored_with_the_run(self, load: Load) -> None:
        options = RunOptions(rows=5, dry_run=True, reuse=False, model="claude-sonnet-5-5")
        pipeline = load(yaml=self.OTHERS).for_run(options)
        assert Pipeline.model_validate_json(pipeline.model_dump_json()).options == options

    def test_a_run_stored_before_there_were_options_has_none(self, load: Load) -> None:
        stored = load().model_dump(mode="json")
        del stored["options"], stored["settings"]["request"]["other_models"]
        assert Pipeline.model_validate_json(json.dumps(stored)) == load()

    @pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-5-5"])
    def test_a_model_that_the_file_names_is_used(self, load: Load, model: str) -> None:
        pipeline = load(yaml=self.OTHERS).for_run(RunOptions(model=model))
        assert pipeline.settings.request.model == model
        assert json.loads(pipeline.renderer(["id", "text"], run_id="r").render({"text": "x"}).params)["model"] == model

    def test_another_model_is_rejected_with_the_closest_name(self, load: Load) -> None:
        with pytest.raises(
            ParamError, match=r"'claude-sonet-5-5', which tickets/pipeline\.yaml .*did you mean 'claude-sonnet-5-5'"
        ):
            load(yaml=self.OTHERS).for_run(RunOptions(model="claude-sonet-5-5"))

    @pytest.mark.parametrize(("param", "same"), [(None, True), (True, True), (False, False)])
    @pytest.mark.parametrize("reuse", ["", "reuse: false\n"])
    def test_the_runs_reuse_replaces_the_pipelines(
        self, load: Load, reuse: str, param: bool | None, same: bool
    ) -> None:
        pipeline = load(yaml=YAML + reuse).for_run(RunOptions(reuse=param))
        ids = {
            pipeline.renderer(["id", "text"], run_id=run_id).render({"text": "x"}).request_id for run_id in ("r1", "r2")
        }
        assert (len(ids) == 1) == (not reuse if param is None else same)

    @pytest.mark.parametrize(("reuse", "param"), [("", False), ("reuse: false\n", None), ("reuse: false\n", False)])
    def test_only_rejects_without_reuse_is_rejected(self, load: Load, reuse: str, param: bool | None) -> None:
        with pytest.raises(ParamError, match=r"`only_rejects` requires reuse.*Nothing was read"):
            load(yaml=YAML + reuse).for_run(RunOptions(only_rejects=True, reuse=param))

    def test_only_rejects_is_allowed_if_the_run_turns_reuse_on(self, load: Load) -> None:
        load(yaml=YAML + "reuse: false\n").for_run(RunOptions(only_rejects=True, reuse=True))


class TestBudget:
    """A run may have a budget of its own, up to a ceiling."""

    @pytest.mark.parametrize(
        ("limits", "param", "budget"),
        [
            ("{}", None, None),
            ("{}", 3, "3"),
            ("{budget_usd: 25}", None, "25"),
            ("{budget_usd: 25}", 0.1, "0.1"),
            ("{budget_usd: 25, budget_ceiling_usd: 100}", None, "25"),
            ("{budget_usd: 25, budget_ceiling_usd: 100}", 100, "100"),
        ],
    )
    def test_it_is_the_pipelines_unless_the_run_sets_another(
        self, load: Load, limits: str, param: float | None, budget: str | None
    ) -> None:
        run = load(yaml=f"{YAML}limits: {limits}\n").for_run(RunOptions.model_validate({"budget_usd": param}))
        assert run.settings.limits.budget_usd == (budget and Decimal(budget))
        assert Pipeline.model_validate_json(run.model_dump_json()) == run

    @pytest.mark.parametrize("limits", ["{budget_usd: 25}", "{budget_usd: 1, budget_ceiling_usd: 25}"])
    def test_more_than_the_ceiling_is_rejected(self, load: Load, limits: str) -> None:
        with pytest.raises(ParamError, match=r"allows at most 25 .*Nothing was read or sent"):
            load(yaml=f"{YAML}limits: {limits}\n").for_run(RunOptions(budget_usd=Decimal("25.01")))
