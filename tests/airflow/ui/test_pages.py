"""pages.py: what every page app of the plugin does."""

from __future__ import annotations

from claude_batch.ui.pages import page_app


def test_an_app_documents_itself_to_nobody_and_requires_a_login_on_every_route() -> None:
    app = page_app()
    assert not app.routes
    assert len(app.router.dependencies) == 1
