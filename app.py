"""ctviz in a browser: ``streamlit run app.py``, from a checkout."""

from ctviz.pages.app import main

main()
