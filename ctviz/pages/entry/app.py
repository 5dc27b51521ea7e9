"""The script that Streamlit runs.

It is alone in its folder, which Streamlit puts in front of where Python looks for modules: the
pages are called inspect and run, as modules of others are.
"""

from ctviz.pages.app import main

if __name__ == "__main__":
    main()
