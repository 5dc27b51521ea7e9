"""Pages of the app without a browser: opened by a link, and all that they say."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from ctviz import paths

__all__ = ["open_page", "page_file", "said"]


def page_file(name: str) -> str:
    """The file of a page."""
    return str(paths.pages() / f"{name}.py")


def open_page(name: str, query: dict[str, str], **session: object) -> AppTest:
    """A page as a link opens it, in a session that holds something already."""
    app = AppTest.from_file(page_file(name), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    for key, kept in session.items():
        app.session_state[key] = kept
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    """All text of a page, as it is read: without the backslashes that make it text."""
    assert not app.exception
    texts = [app.markdown, app.subheader, app.caption, app.info, app.warning, app.error, app.text]
    found = [element.value for part in texts for element in part]
    found += [element.label for element in app.expander]
    return "\n".join(found).replace("\\", "")
