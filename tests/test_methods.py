"""The page of methods says what is so."""

import methods_page
from methods_page import PAGE, page

from dalib.registry import FILTERS, SMOOTHERS


def test_the_page_is_what_is_found_anew():
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/methods_page.py writes it anew"


def test_what_others_have_is_said_of_methods_that_there_are():
    assert set(methods_page.ELSEWHERE) - set(FILTERS) - set(SMOOTHERS) == set()
